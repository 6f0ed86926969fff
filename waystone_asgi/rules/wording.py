"""Rules in words, for people who ask what a configuration means.

In: rulesets as written. Out: short texts that use the configuration's own words.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import UNSET

from .retries import Retry
from .rulesets import Rule, Ruleset, UsageLimit


def describe(ruleset: Ruleset) -> Iterator[tuple[str, str]]:
    """The ruleset and its rules, each in two columns."""
    yield ruleset.name, condition_words(ruleset)
    for index, rule in enumerate(ruleset.members):
        yield f"  [{index}] {trigger_words(rule)}", f"-> {action_words(rule)}"


def quote(value: object) -> str:
    """A value as JSON has it."""
    return msgspec.json.encode(value).decode()


def condition_words(ruleset: Ruleset) -> str:
    """The condition of a ruleset."""
    if (condition := ruleset.asked) is None:
        return "always"
    if condition.kind != "metadata":
        named = getattr(condition, condition.kind)
        words = condition.kind if named is True else f"{condition.kind} {quote(named)}"
    else:
        operand = getattr(condition, condition.operator)
        words = f"metadata {quote(condition.metadata)} {condition.operator}"
        words += "" if operand is True and condition.operator != "equals" else f" {quote(operand)}"
        words += f" of {condition.whose}"
    if condition.source is not UNSET:
        words += f", source {' or '.join(condition.sources)}"
    return words


def trigger_words(rule: Rule) -> str:
    """What a rule waits for."""
    words = [f"model {' or '.join(rule.models)}"] if rule.models else []
    if rule.limit is not None:
        words.append(f"usage over {usage_words(rule.limit)}")
    return ", ".join(words) or "every request"


def usage_words(usage: UsageLimit) -> str:
    """A limit."""
    window = f" per {usage.per}" if usage.per else f" past {usage.past}" if usage.past else ""
    return f"{getattr(usage, usage.unit)} {usage.unit}{window} of {usage.of}"


def action_words(rule: Rule) -> str:
    """What a rule does, or in the shadow would do."""
    return ("shadow: " if rule.shadow else "") + ", ".join(_actions(rule))


def _actions(rule: Rule) -> Iterator[str]:
    if rule.tag is not None:
        yield f"tag {quote(rule.tag)}"
    if rule.retain_days is not None:
        yield f"retain_days {rule.retain_days}"
    if rule.check_output is not None:
        yield f"check_output {rule.check_output}"
    if rule.block is not None:
        yield f"block {quote(rule.block)}"
    if rule.change_model_to is not None:
        yield f"change_model_to {rule.change_model_to}"
    if rule.policy is not None:
        yield f"retry {retry_words(rule.policy)}"


def retry_words(retry: Retry) -> str:
    """How often and where it is tried again."""
    words = f"{retry.attempts} attempts"
    words += f", fallback {', '.join(retry.fallback)}" if retry.fallback else ""
    words += f", on {', '.join(map(str, retry.on))}" if retry.on else ""
    words += f", hold {retry.hold}" if retry.hold else ""
    if retry.hedge_after is not None:
        words += f", hedge_after {retry.hedge_after:g} s, hedge_share {retry.hedge_share:g}"
    return words
