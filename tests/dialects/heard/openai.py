"""What OpenAI answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import (
    CALL,
    CHOICES,
    CITED,
    CUT,
    FILTERED,
    LOGPROBS,
    PLAIN,
    READ,
    REASONING,
    REFUSED,
    SOUND,
    THOUGHT,
    TIER,
    Change,
    change,
    plain,
)
from ..probing import Place

_LOOK = {"name": "look", "arguments": "{}"}
_TOKEN = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
_CHOICE = {
    "index": 0,
    "message": {"role": "assistant", "content": "Hi"},
    "logprobs": None,
    "finish_reason": "stop",
}
_MESSAGE: Place = ("choices", 0, "message")
_PROMPT: Place = ("usage", "prompt_tokens_details")

ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [_CHOICE],
            "usage": {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18},
        }
    ),
    REASONING: change(*_MESSAGE, "reasoning_content", to="Hm."),
    CALL: change(*_MESSAGE, "tool_calls", to=[{"id": "t", "type": "function", "function": _LOOK}]),
    CITED: change(
        *_MESSAGE,
        "annotations",
        to=[{"type": "url_citation", "url_citation": {"url": "https://example.com"}}],
    ),
    SOUND: change(*_MESSAGE, "audio", to={"id": "a", "data": "", "transcript": "Hi"}),
    REFUSED: change(*_MESSAGE, "refusal", to="No."),
    FILTERED: change("choices", 0, "finish_reason", to="content_filter"),
    CUT: change("choices", 0, "finish_reason", to="length"),
    CHOICES: change("choices", 1, to=_CHOICE | {"index": 1}),
    LOGPROBS: change("choices", 0, "logprobs", to={"content": [_TOKEN], "refusal": None}),
    READ: change(*_PROMPT, to={"cached_tokens": 5}),
    THOUGHT: change("usage", "completion_tokens_details", to={"reasoning_tokens": 5}),
    TIER: change("service_tier", to="priority"),
}
