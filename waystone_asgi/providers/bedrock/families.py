"""What is known of the model families on Bedrock, as data: what they take beside Converse's own.

In: a model's id, the id or ARN of an inference profile, or that of a provisioned model. Out: a
`Family`. An ARN that does not name its model is of no family, and what only families take is left
out.

Sources: the user guide's pages on the inference parameters of each family, on extended and on
adaptive thinking of Claude, and the Nova 2 user guide's on extended thinking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from ..anthropic.models import traits_of

Thinking = Literal["always", "adaptive", "budget", "none", "nova", "effort"]


CLAUDE = "anthropic-claude-v1"
"""The format of what Claude's reasoning is proved with, as OpenRouter documents it."""

OURS = "amazon-bedrock-v1"
"""That of others, where blobs are in base64."""


class Family(Struct, frozen=True, kw_only=True, gc=False):
    """What models of a kind take in `additionalModelRequestFields`.

    `thinking` is how they are told to reason: `adaptive`, or `always` where they cannot be kept
    from it, beside Converse's own effort, with a `budget` of tokens, by `nova`'s `reasoningConfig`,
    or by a bare `reasoning_effort`; `none` where they cannot be told. `top_k` is the path at which
    that is taken. `proves` names the signatures of their reasoning, which other platforms that have
    them take as well. The rest is as in the `Traits` of Claude.
    """

    thinking: Thinking = "none"
    knows_xhigh: bool = True
    thinks_forced: bool = True
    samples: Literal["both", "either", "none"] = "both"
    top_k: tuple[str, ...] = ()
    proves: str = OURS
    max_output_tokens: int = 4096


_TOP_K = ("top_k",)
_NOVA_TOP_K = ("inferenceConfig", "topK")

_FAMILIES = (
    (r"amazon\.nova-2-", Family(thinking="nova", top_k=_NOVA_TOP_K)),
    (r"amazon\.nova-", Family(top_k=_NOVA_TOP_K)),
    (r"openai\.gpt-oss-", Family(thinking="effort")),
    (r"cohere\.command-r", Family(top_k=("k",))),
    (r"mistral\.", Family(top_k=_TOP_K)),
)
_KNOWN = tuple((re.compile(pattern), family) for pattern, family in _FAMILIES)
_UNKNOWN = Family()

PARTS: Mapping[str, float] = {
    "minimal": 0.1,
    "low": 0.2,
    "medium": 0.5,
    "high": 0.8,
    "xhigh": 0.95,
    "max": 0.95,
}
"""The part of the bound that may be thought, as OpenRouter documents it for Claude."""

EFFORTS: Mapping[str, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "high",
}
"""Efforts among the three that there are for families which know three."""

LEAST_BUDGET = 1024
"""The fewest tokens that Claude takes as a budget."""


def family_of(model: str) -> Family:
    """What is known of a model by its name."""
    if "anthropic.claude-" in model:
        return _claude(model)
    found = (family for pattern, family in _KNOWN if pattern.search(model))
    return next(found, _UNKNOWN)


def _claude(model: str) -> Family:
    traits = traits_of(model)
    return Family(
        thinking=traits.thinking,
        knows_xhigh=traits.knows_xhigh,
        thinks_forced=traits.thinks_forced,
        samples=traits.samples,
        top_k=_TOP_K if traits.samples != "none" else (),
        proves=CLAUDE,
        max_output_tokens=traits.max_output_tokens,
    )
