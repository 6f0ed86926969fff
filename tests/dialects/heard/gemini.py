"""What Gemini answers: plainly, and with one feature more."""

from __future__ import annotations

from collections.abc import Mapping

from ..features import (
    CALL,
    CALL_PROOF,
    CHOICES,
    CITED,
    CODE,
    CUT,
    FILTERED,
    IMAGE,
    LOGPROBS,
    PLAIN,
    PROOF,
    READ,
    REASONING,
    SAFETY,
    SOUND,
    THOUGHT,
    TIER,
    Change,
    change,
    plain,
)
from ..probing import Place

_CANDIDATE: Place = ("candidates", 0)
_PARTS: Place = (*_CANDIDATE, "content", "parts")
_WEB = {"web": {"uri": "https://example.com", "title": "Example"}}
_SUPPORT = {"segment": {"endIndex": 2, "text": "Hi"}, "groundingChunkIndices": [0]}
_SAID = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}

ANSWERS: Mapping[str, Change] = {
    PLAIN: plain(
        {
            "candidates": [_SAID],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 9},
            "modelVersion": "m",
            "responseId": "c",
        }
    ),
    REASONING: change(*_PARTS, to=[{"text": "Hm.", "thought": True}, {"text": "Hi"}]),
    PROOF: change(*_PARTS, 1, "thoughtSignature", to="c2ln", onto=REASONING),
    CALL: change(*_PARTS, 1, to={"functionCall": {"name": "look", "args": {}}}),
    CALL_PROOF: change(*_PARTS, 1, "thoughtSignature", to="c2ln", onto=CALL),
    CITED: change(
        *_CANDIDATE,
        "groundingMetadata",
        to={"groundingChunks": [_WEB], "groundingSupports": [_SUPPORT]},
    ),
    IMAGE: change(*_PARTS, 1, to={"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
    SOUND: change(*_PARTS, 1, to={"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}}),
    CODE: change(*_PARTS, 1, to={"executableCode": {"language": "PYTHON", "code": "1"}}),
    FILTERED: change(*_CANDIDATE, "finishReason", to="SAFETY"),
    CUT: change(*_CANDIDATE, "finishReason", to="MAX_TOKENS"),
    CHOICES: change("candidates", 1, to=_SAID | {"index": 1}),
    LOGPROBS: change(
        *_CANDIDATE,
        "logprobsResult",
        to={"chosenCandidates": [{"token": "Hi", "logProbability": -0.1}]},
    ),
    READ: change("usageMetadata", "cachedContentTokenCount", to=5),
    THOUGHT: change("usageMetadata", "thoughtsTokenCount", to=5),
    TIER: change("usageMetadata", "serviceTier", to="priority"),
    SAFETY: change(*_CANDIDATE, "safetyRatings", to=[{"category": "x", "probability": "LOW"}]),
}
