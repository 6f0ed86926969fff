"""What is known of Anthropic's models, as data: what each generation takes.

Sources: the overview of each model, the pages on thinking, its troubleshooting (a table by model),
effort, and system messages in the middle of a conversation. A model that is not named here is taken
for one of the newest, but for what would be lost on it: the provider says what it does not take.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct


class Traits(Struct, frozen=True, kw_only=True, gc=False):
    """What a model takes, on any platform.

    `thinking` is `always` where an effort is told and it cannot be turned off, `adaptive` where an
    effort is told, `budget` where a number of tokens is, or `none`. `knows_xhigh` is false where
    there is no effort between `high` and `max`, and `thinks_forced` where it does not think when it
    has to call a tool. Of `temperature` and `top_p`, `samples` says
    whether `both` may be said, `either`, or, as of `top_k`, `none`. `told_later` is true where
    system messages may stand in the middle. `max_output_tokens` is the most that it writes, or of
    a model that is not known, what all write.
    """

    thinking: Literal["always", "adaptive", "budget", "none"] = "adaptive"
    knows_xhigh: bool = True
    thinks_forced: bool = True
    samples: Literal["both", "either", "none"] = "none"
    told_later: bool = False
    max_output_tokens: int = 128_000


_MODELS = (
    (
        r"claude-(instant|v?[12]\b|3-(opus|sonnet|haiku))",
        Traits(thinking="none", samples="both", max_output_tokens=4096),
    ),
    (r"claude-3-5-", Traits(thinking="none", samples="both", max_output_tokens=8192)),
    (
        r"claude-(3-7|sonnet-4(-0\b|-2025|@|$))",
        Traits(thinking="budget", thinks_forced=False, samples="both", max_output_tokens=64_000),
    ),
    (
        r"claude-opus-4(-0\b|-2025|@|$)",
        Traits(thinking="budget", thinks_forced=False, samples="both", max_output_tokens=32_000),
    ),
    (
        r"claude-opus-4-1\b",
        Traits(thinking="budget", thinks_forced=False, samples="either", max_output_tokens=32_000),
    ),
    (
        r"claude-(opus|sonnet|haiku)-4-5\b",
        Traits(thinking="budget", thinks_forced=False, samples="either", max_output_tokens=64_000),
    ),
    (
        r"claude-(opus|sonnet)-4-6\b",
        Traits(knows_xhigh=False, thinks_forced=False, samples="either"),
    ),
    (
        r"claude-mythos-preview",
        Traits(thinking="always", knows_xhigh=False, thinks_forced=False, samples="either"),
    ),
    (r"claude-(opus-5-[5-9]|fable)", Traits(thinking="always", told_later=True)),
    (r"claude-(sonnet-5-[5-9]|mythos-[5-9])", Traits(thinking="always")),
    (r"claude-(opus-4-8|opus-[5-9])\b", Traits(told_later=True)),
    (r"claude-opus-4-7\b", Traits(thinks_forced=False)),
    (r"claude-(sonnet|haiku)-[5-9]\b", Traits()),
)
_KNOWN = tuple((re.compile(pattern), traits) for pattern, traits in _MODELS)
_UNKNOWN = Traits(samples="both", max_output_tokens=8192)


def traits_of(model: str) -> Traits:
    """What a model takes, by its name on any of the platforms that have it."""
    found = (traits for pattern, traits in _KNOWN if pattern.search(model))
    return next(found, _UNKNOWN)
