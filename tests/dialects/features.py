"""The features of answers, and how an answer with one of them is made of one without."""

from __future__ import annotations

from typing import Any, NamedTuple

from .probing import Place

PLAIN = ""
REASONING, PROOF, HIDDEN = "reasoning", "what proves the reasoning", "reasoning that is encrypted"
PLAN, CALL, CALL_PROOF = "plan of the calls", "tool call", "what proves a tool call"
SERVED = "the provider's own tools"
CITED, CITED_ELSE = "citation of a page", "citation of a document"
IMAGE, SOUND, CODE = "image", "sound", "code that ran"
REFUSED, FILTERED, CUT = "refusal", "filtered", "cut at the bound"
STOPPED = "which stop sequence ended it"
CHOICES, LOGPROBS = "several choices", "log probabilities"
READ, WRITTEN, THOUGHT = "tokens from a cache", "tokens into a cache", "tokens of reasoning"
TIER, SAFETY = "service tier", "what filters and guardrails found"

FEATURES = (
    REASONING,
    PROOF,
    HIDDEN,
    CALL,
    CALL_PROOF,
    PLAN,
    SERVED,
    CITED,
    CITED_ELSE,
    IMAGE,
    SOUND,
    CODE,
    REFUSED,
    FILTERED,
    SAFETY,
    CUT,
    STOPPED,
    CHOICES,
    LOGPROBS,
    READ,
    WRITTEN,
    THOUGHT,
    TIER,
)


class Change(NamedTuple):
    """What is put where into an answer: the plain one, or that with another feature."""

    edits: tuple[tuple[Place, Any], ...]
    onto: str = PLAIN


def change(*place: str | int, to: Any, onto: str = PLAIN) -> Change:
    """The value at the place."""
    return Change(((place, to),), onto)


def plain(answer: dict[str, Any]) -> Change:
    """The answer without any feature."""
    return Change(tuple(((name,), value) for name, value in answer.items()))
