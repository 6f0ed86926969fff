"""What Bedrock answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..features import (
    CALL,
    CITED,
    CITED_ELSE,
    CUT,
    FILTERED,
    HIDDEN,
    PLAIN,
    PROOF,
    READ,
    REASONING,
    SAFETY,
    TIER,
    WRITTEN,
    Change,
    change,
    plain,
)
from ..probing import Place

_BLOCKS: Place = ("output", "message", "content")
_REASONING_TEXT = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
_REDACTED = {"reasoningContent": {"redactedContent": "ZGF0YQ=="}}


def _cited(location: dict[str, Any]) -> dict[str, Any]:
    citation = {"title": "Example", "sourceContent": [{"text": "Hi"}], "location": location}
    return {"citationsContent": {"content": [{"text": "Hi"}], "citations": [citation]}}


ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 9, "outputTokens": 9, "totalTokens": 18},
        }
    ),
    REASONING: change(*_BLOCKS, to=[_REASONING_TEXT, {"text": "Hi"}]),
    PROOF: change(
        *_BLOCKS, 0, "reasoningContent", "reasoningText", "signature", to="c2ln", onto=REASONING
    ),
    HIDDEN: change(*_BLOCKS, to=[_REDACTED, {"text": "Hi"}]),
    CALL: Change(
        (
            ((*_BLOCKS, 1), {"toolUse": {"toolUseId": "t", "name": "look", "input": {}}}),
            (("stopReason",), "tool_use"),
        )
    ),
    CITED: change(*_BLOCKS, 0, to=_cited({"web": {"url": "https://example.com"}})),
    CITED_ELSE: change(
        *_BLOCKS, 0, to=_cited({"documentChar": {"documentIndex": 0, "start": 0, "end": 2}})
    ),
    FILTERED: change("stopReason", to="guardrail_intervened"),
    CUT: change("stopReason", to="max_tokens"),
    READ: change("usage", "cacheReadInputTokens", to=5),
    WRITTEN: change("usage", "cacheWriteInputTokens", to=5),
    TIER: change("serviceTier", to={"type": "priority"}),
    SAFETY: change("trace", to={"guardrail": {"inputAssessment": {}}}),
}
