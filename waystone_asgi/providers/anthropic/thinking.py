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
# The part of the bound that may be thought, as OpenRouter documents it for these models.
_PARTS = {"minimal": 0.1, "low": 0.2, "medium": 0.5, "high": 0.8, "xhigh": 0.95, "max": 0.95}
_LEAST_BUDGET = 1024
_LEAST_TOP_P = 0.95


def write_thinking(
    fields: Fields, traits: Traits, max_tokens: int, *, forced: bool
) -> dict[str, Any]:
    """`thinking`, and the effort in `output_config`, where the caller asks for an effort.

    `forced` says that a tool has to be called, which excludes thinking on a budget. The caller's
    own `thinking` goes before.
    """
    if (said := fields.raw("thinking")) is not None:
        return {"thinking": said}
    effort = fields.take("reasoning_effort", str)
    if effort is None:
        return {}
    if effort == "none":
        return {"thinking": {"type": "disabled"}} if traits.thinking != "none" else {}
    if traits.thinking == "adaptive" and effort in _EFFORTS:
        thinking = {"type": "adaptive", "display": "summarized"}
        return {"thinking": thinking, "output_config": {"effort": _EFFORTS[effort]}}
    budget = max(int(max_tokens * _PARTS.get(effort, 0)), _LEAST_BUDGET)
    if traits.thinking != "budget" or effort not in _PARTS or budget >= max_tokens or forced:
        fields.drop("reasoning_effort")
        return {}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}}


def write_sampling(fields: Fields, traits: Traits, *, thinks: bool) -> dict[str, Any]:
    """`temperature`, `top_p` and `top_k`, as far as the model takes them.

    It takes a temperature of up to 1, which is what it has by itself. While it thinks it takes no
    other, no `top_k`, and only a `top_p` near 1.
    """
    said = {
        "temperature": fields.take("temperature", float),
        "top_p": fields.take("top_p", float),
        "top_k": fields.take("top_k", int),
    }
    written: dict[str, Any] = {}
    for name, value in said.items():
        if value is None:
            continue
        if _takes(name, value, traits, thinks=thinks):
            written[name] = value
        elif (name, value) not in _BY_ITSELF:
            fields.drop(name)
    return written


_BY_ITSELF = (("temperature", 1), ("top_p", 1))


def _takes(name: str, value: float, traits: Traits, *, thinks: bool) -> bool:
    if not traits.samples:
        return False
    if name == "temperature":
        return value == 1 or (value < 1 and not thinks)
    return not thinks or (name == "top_p" and value >= _LEAST_TOP_P)
