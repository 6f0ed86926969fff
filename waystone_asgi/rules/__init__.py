"""Conditions, triggers and actions: what the operator wants done with a request.

In: rulesets and a request's subject. Out: a decision. It awaits nothing, has no clock and counts
nothing: it says which counters are to be charged.
"""

from __future__ import annotations

from .decisions import (
    Blocked,
    Decision,
    Estimate,
    Passed,
    Price,
    Quota,
    Subject,
)
from .program import Program, compile_rules
from .retries import Hold, Retry, read_policy
from .rulesets import Rule, Ruleset, UsageLimit, read_rulesets
from .wording import describe, retry_words

__all__ = (
    "Blocked",
    "Decision",
    "Estimate",
    "Hold",
    "Passed",
    "Price",
    "Program",
    "Quota",
    "Retry",
    "Rule",
    "Ruleset",
    "Subject",
    "UsageLimit",
    "compile_rules",
    "describe",
    "read_policy",
    "read_rulesets",
    "retry_words",
)
