"""What is known of Anthropic's models, as data: what each generation takes.

Sources: the pages on thinking, its troubleshooting (a table by model), effort, and system messages
in the middle of a conversation. A model that is not named here is taken for one of the newest, but
for what would be lost on it: the provider says what it does not take.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct


class Traits(Struct, frozen=True, kw_only=True, gc=False):
    """What a model takes.

    `thinking` is `adaptive` where an effort is told, `budget` where a number of tokens is, or
    `none`. `samples` is false where `temperature`, `top_p` and `top_k` are refused. `told_later` is
    true where system messages may stand in the middle.
    """

    thinking: Literal["adaptive", "budget", "none"] = "adaptive"
    samples: bool = True
    told_later: bool = False


_EARLY = Traits(thinking="none")
_BUDGET = Traits(thinking="budget")
_ADAPTIVE = Traits()
_NEWEST = Traits(samples=False, told_later=True)
_NEW = Traits(samples=False)

_MODELS = (
    (r"claude-(instant|v?[12]\b|3-(opus|sonnet|haiku|5-))", _EARLY),
    (r"claude-(3-7|haiku-4|(opus|sonnet)-4(-[015]|-2025|@|$))", _BUDGET),
    (r"claude-(opus-4-8|opus-5|fable)", _NEWEST),
    (r"claude-(opus-4-7|mythos-5|sonnet-5|haiku-5)", _NEW),
)
_KNOWN = tuple((re.compile(pattern), traits) for pattern, traits in _MODELS)


def traits_of(model: str) -> Traits:
    """What a model takes, by its name on any of the platforms that have it."""
    found = (traits for pattern, traits in _KNOWN if pattern.search(model))
    return next(found, _ADAPTIVE)
