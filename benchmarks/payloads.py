"""The bytes of every benchmark: requests as callers send them, answers as the provider gives them.

Out: prebuilt bytes, so that neither the load nor the provider encodes anything while it measures.
An answer has 780 bytes and an event 330, the sizes at which the parts were measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

ANSWER_BYTES = 780
EVENT_BYTES = 330
WORDS = (" one", " two", " six")
EXTRA_EVENTS = 3
"""Events after the counted ones: the finish reason, the usage, and `[DONE]`."""

_ID = "chatcmpl-CkWm2Vd9SgYwGm6Jx0y1hQ4rT8bNz"
_MODEL = "gpt-4o-mini-2024-07-18"
_WORDS = "The quick brown fox jumps over the lazy dog, again and again. "
_LINE = (
    r"Say \"yes\" or \"no\", then give your reasons in order:\n- what was seen\n- why: Grüße 你好\n"
)
_HISTORY_TURN = 2048


def encode(document: object) -> bytes:
    """Compact JSON, non-ASCII as it is."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def answer(size: int = ANSWER_BYTES) -> bytes:
    """A whole answer in OpenAI's form of `size` bytes."""
    empty = len(_answer(""))
    return _answer((_WORDS * (size // len(_WORDS) + 1))[: max(0, size - empty)])


def _answer(content: str) -> bytes:
    message: dict[str, object] = {
        "role": "assistant",
        "content": content,
        "refusal": None,
        "annotations": [],
    }
    return encode(
        {
            "id": _ID,
            "object": "chat.completion",
            "created": 1790000000,
            "model": _MODEL,
            "choices": [
                {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            ],
            "usage": _USAGE,
            "service_tier": "default",
            "system_fingerprint": "fp_560af6e559",
        }
    )


_USAGE = {
    "prompt_tokens": 58,
    "completion_tokens": 61,
    "total_tokens": 119,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def event(number: int, size: int = EVENT_BYTES) -> bytes:
    """An event of a stream in OpenAI's form, of `size` bytes, filled up as OpenAI fills it up.

    Neighbours differ: LiteLLM breaks off a stream that repeats itself.
    """
    delta = {"content": WORDS[number % len(WORDS)]}
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]
    empty = len(_chunk(choices, None, ""))
    return _chunk(choices, None, "x" * max(0, size - empty))


def last_events() -> list[bytes]:
    """The events that end a stream: finish reason, usage, `[DONE]`."""
    choices = [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    return [_chunk(choices, None, "x" * 8), _chunk([], _USAGE, ""), b"data: [DONE]\n\n"]


def _chunk(choices: list[dict[str, object]], usage: object, filler: str) -> bytes:
    document = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": 1790000000,
        "model": _MODEL,
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
        "choices": choices,
        "usage": usage,
        "obfuscation": filler,
    }
    return b"data: " + encode(document) + b"\n\n"


def chat_request(
    model: str,
    *,
    stream: bool = False,
    user: str = "user-1",
    group: str = "acme",
    identity: bool = True,
) -> bytes:
    """A caller's ordinary request: two messages, two parameters, on behalf of user and group.

    A stream asks for its usage, so that every contender relays the same events.
    """
    return encode(
        {
            "model": model,
            "messages": [
                {"role": "system", "content": "You answer briefly, and say so when unsure."},
                {"role": "user", "content": _WORDS * 2},
            ],
            "temperature": 0.7,
            "max_completion_tokens": 256,
            **({"stream": True, "stream_options": {"include_usage": True}} if stream else {}),
            **({"metadata": {"waystone": _claim(user, group)}} if identity else {}),
        }
    )


def sized_request(model: str, size: int, *, history: bool) -> bytes:
    """A request of `size` bytes: one long message, or a history of messages of some 2 KB.

    The text has the escapes and the few wide characters that real prompts have.
    """
    turns = [] if not history else [_turn(n) for n in range(size // _HISTORY_TURN - 1)]
    head = b'{"model":%b,"messages":[' % encode(model) + b"".join(turn + b"," for turn in turns)
    head += b'{"role":"user","content":"'
    tail = b'"}],"metadata":%b}' % encode({"waystone": _claim("user-1", "acme")})
    room = max(0, size - len(head) - len(tail))
    line = _LINE.encode()
    return head + line * (room // len(line)) + b"x" * (room % len(line)) + tail


def _turn(number: int) -> bytes:
    role = b"assistant" if number % 2 else b"user"
    line = _LINE.encode()
    return b'{"role":"%b","content":"%b"}' % (role, line * ((_HISTORY_TURN - 32) // len(line)))


def _claim(user: str, group: str) -> str:
    return json.dumps({"user": user, "group": group})


def http_request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """The whole HTTP/1.1 request."""
    lines = {
        "host": "127.0.0.1",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body
