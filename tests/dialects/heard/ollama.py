"""What Ollama answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import (
    CALL,
    CUT,
    LOGPROBS,
    PLAIN,
    REASONING,
    Change,
    change,
    plain,
)

_TOKEN = {"token": "Hi", "logprob": -0.1, "bytes": [72, 105]}
ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "model": "m",
            "created_at": "2026-01-01T00:00:00Z",
            "message": {"role": "assistant", "content": "Hi"},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 9,
            "eval_count": 9,
        }
    ),
    REASONING: change("message", "thinking", to="Hm."),
    CALL: change(
        "message", "tool_calls", to=[{"function": {"name": "look", "arguments": {}}, "id": "t"}]
    ),
    CUT: change("done_reason", to="length"),
    LOGPROBS: change("logprobs", to=[_TOKEN]),
}
