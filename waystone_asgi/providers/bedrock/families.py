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

Thinking = Literal["adaptive", "budget", "nova", "effort"]


CLAUDE = "anthropic-claude-v1"
"""The format of what Claude's reasoning is proved with, as OpenRouter documents it."""

OURS = "amazon-bedrock-v1"
"""That of others, where blobs are in base64."""


class Family(Struct, frozen=True, kw_only=True, gc=False):
    """What models of a kind take in `additionalModelRequestFields`.

    `thinking` is how they are told to reason: `adaptive` beside Converse's own effort, with a
    `budget` of tokens, by Nova's `reasoningConfig`, or by a bare `reasoning_effort`; None where
    they cannot be told. `samples` is false where no temperature, `top_p` or `top_k` is taken, and
    `top_k` the path at which it is. `proves` names the signatures of their reasoning, which other
    platforms that have them take as well.
    """

    thinking: Thinking | None = None
    samples: bool = True
    top_k: tuple[str, ...] = ()
    proves: str = OURS


_TOP_K = ("top_k",)
_NOVA_TOP_K = ("inferenceConfig", "topK")

_FAMILIES = (
    (
        r"anthropic\.claude-(v\d|instant|3-(5-)?(opus|sonnet|haiku))",
        Family(top_k=_TOP_K, proves=CLAUDE),
    ),
    (
        r"anthropic\.claude-(3-7|(opus|sonnet|haiku)-4(-[0-5])?(?!-?\d?\d\b))",
        Family(thinking="budget", top_k=_TOP_K, proves=CLAUDE),
    ),
    (
        r"anthropic\.claude-(opus-4-[78]|fable|mythos|(opus|sonnet|haiku)-[5-9])",
        Family(thinking="adaptive", samples=False, proves=CLAUDE),
    ),
    (r"anthropic\.claude-", Family(thinking="adaptive", top_k=_TOP_K, proves=CLAUDE)),
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
    found = (family for pattern, family in _KNOWN if pattern.search(model))
    return next(found, _UNKNOWN)
