"""Which of several equals a request goes to first, and which follow should that one fail.

In: a choice, how the targets are doing, and numbers by chance. Out: the targets in the order in
which they are to be tried. It remembers nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from math import log

from ..records import Choice, Target
from .health import Health


def ordered(choice: Choice, health: Health, random: Callable[[], float]) -> tuple[Target, ...]:
    """The targets of a choice, each once; those that rest are the last of their equals."""
    return tuple(dict.fromkeys(_ordered(choice, health, random)))


def _ordered(node: Target | Choice, health: Health, random: Callable[[], float]) -> list[Target]:
    if isinstance(node, Target):
        return [node]
    members = [_ordered(member, health, random) for member in node.members]
    if node.choose == "weighted":
        # The order in which exponential clocks of these rates ring is that of drawing by weight
        # without putting back (Efraimidis and Spirakis, 2006).
        keys = [-log(1.0 - random()) / weight for weight in node.weights]
    elif node.choose == "least_latency":
        keys = [health.expected(targets[0], random) for targets in members]
    else:
        return [*chain.from_iterable(members)]
    # Equal ones by chance: many requests may come before the first of them is answered.
    ranked = sorted(
        zip(members, keys, strict=True),
        key=lambda pair: (health.rests(pair[0][0]), pair[1], random()),
    )
    return [*chain.from_iterable([targets for targets, _ in ranked])]
