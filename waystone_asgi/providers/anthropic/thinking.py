"""How much the model is to think and at what temperature it speaks, and what excludes what.

In: the members of a request that are about it. Out: those of the provider's body. Sources are the
provider's pages on thinking, effort and extended thinking.
"""

from __future__ import annotations

from typing import Any

from ...wire.fields import Fields
from .models import Traits

_EFFORTS = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_FOUR_EFFORTS = _EFFORTS | {"xhigh": "max"}
# The part of the bound that may be thought, as OpenRouter documents it for these models.
_PARTS = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
_LEAST_BUDGET = 1024
_LEAST_TOP_P = 0.95


def write_thinking(
    fields: Fields, traits: Traits, max_tokens: int, *, may_think: bool
) -> dict[str, Any]:
    """`thinking`, and the effort in `output_config`, where the caller asks for an effort.

    `may_think` says that nothing excludes it. The caller's own `thinking` goes before.
    """
    if (said := fields.raw("thinking")) is not None:
        return {"thinking": said}
    effort = fields.take("reasoning_effort", str)
    if effort is None or (effort == "none" and traits.thinking == "none"):
        return {}
    if effort == "none" and traits.thinking != "always":
        return {"thinking": {"type": "disabled"}}
    written = _tell(effort, traits, max_tokens) if may_think and effort in _EFFORTS else {}
    if not written:
        fields.drop("reasoning_effort")
    return written


def _tell(effort: str, traits: Traits, max_tokens: int) -> dict[str, Any]:
    """What tells the model to think so hard, empty where nothing does."""
    if traits.thinking in ("always", "adaptive"):
        level = _EFFORTS[effort] if traits.knows_xhigh else _FOUR_EFFORTS[effort]
        thinking = {"type": "adaptive", "display": "summarized"}
        return {"thinking": thinking, "output_config": {"effort": level}}
    budget = max(int(max_tokens * _PARTS[effort]), _LEAST_BUDGET)
    if traits.thinking == "none" or budget >= max_tokens:
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def write_sampling(fields: Fields, traits: Traits, *, thinks: bool) -> dict[str, Any]:
    """`temperature`, `top_p` and `top_k`, as far as the model takes them.

    It takes a temperature of up to 1, which is what it has by itself. While it thinks it takes no
    other, no `top_k`, and only a `top_p` near 1. Where it takes one of the first two, the other
    gives way: `top_p`, unless the temperature says nothing.
    """
    said: dict[str, float | None] = {
        "temperature": fields.take("temperature", float),
        "top_p": fields.take("top_p", float),
        "top_k": fields.take("top_k", int),
    }
    told = {n: v for n, v in said.items() if v is not None}
    written = {n: v for n, v in told.items() if _takes(n, v, traits, thinks=thinks)}
    if traits.samples == "either" and written.keys() >= {"temperature", "top_p"}:
        del written["temperature" if written["temperature"] == 1 else "top_p"]
    for name, value in told.items():
        if name not in written and (name, value) not in _BY_ITSELF:
            fields.drop(name)
    return written


_BY_ITSELF = (("temperature", 1), ("top_p", 1))


def _takes(name: str, value: float, traits: Traits, *, thinks: bool) -> bool:
    if traits.samples == "none":
        return False
    if name == "temperature":
        return value == 1 or (value < 1 and not thinks)
    return not thinks or (name == "top_p" and value >= _LEAST_TOP_P)
