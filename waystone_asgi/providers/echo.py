"""The built-in provider: answers with the last user message, and counts words as tokens.

In: a request body in OpenAI's form. Out: an answer in OpenAI's form, whole or as events. It needs
no network and no key, which makes it the model of demonstrations and tests.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

from ..sse import DONE, encode_event
from ..wire.chat import DOCUMENT
from ..wire.members import encode

_WORD = re.compile(r"\s*\S+\s*$|\s*\S+")
_MOST_CHOICES = 128  # as OpenAI has it


def answer(body: bytes, created: int) -> tuple[bytes, Iterator[bytes]]:
    """The content type and pieces of the answer to `body`; `created` is Unix time in seconds."""
    request: dict[str, Any] = DOCUMENT.decode(body)
    messages = request["messages"]
    texts = [_text(message) for message in messages]
    asked = [text for text, m in zip(texts, messages, strict=True) if m["role"] == "user"]
    words = _words(asked[-1] if asked else texts[-1])
    reply = {
        "id": "chatcmpl-" + hashlib.sha256(body).hexdigest()[:24],
        "created": created,
        "model": request["model"],
    }
    said = words[: _limit(request)]
    count = min(request.get("n") or 1, _MOST_CHOICES)
    prompt = sum(len(_words(text)) for text in texts)
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": len(said) * count,
        "total_tokens": prompt + len(said) * count,
    }
    finish = "length" if len(said) < len(words) else "stop"
    if request.get("stream"):
        asked_for = (request.get("stream_options") or {}).get("include_usage")
        return b"text/event-stream", _events(
            reply, said, count, finish, usage if asked_for else None
        )
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": "".join(said), "refusal": None},
            "logprobs": None,
            "finish_reason": finish,
        }
        for index in range(count)
    ]
    whole = {**reply, "object": "chat.completion", "choices": choices, "usage": usage}
    return b"application/json", iter((encode(whole),))


def _events(
    reply: dict[str, Any],
    words: list[str],
    count: int,
    finish: str,
    usage: dict[str, int] | None,
) -> Iterator[bytes]:
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words]
    deltas.append(({}, finish))
    chunk = {**reply, "object": "chat.completion.chunk"}
    for delta, reason in deltas:
        for index in range(count):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
            yield encode_event(encode({**chunk, "choices": [choice]}))
    if usage is not None:
        yield encode_event(encode({**chunk, "choices": [], "usage": usage}))
    yield DONE


def _words(text: str) -> list[str]:
    """The words, each with the white space before it and the last with that behind it."""
    # The expression would try each place of a text that is nothing but white space.
    return [] if text.isspace() else _WORD.findall(text)


def _limit(request: dict[str, Any]) -> int | None:
    """How many words may be said; None for all."""
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    return limit if isinstance(limit, int) and limit > 0 else None


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return " ".join(
        part if isinstance(part, str) else str(part.get("text", "")) for part in content
    )
