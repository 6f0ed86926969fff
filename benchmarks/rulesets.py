"""Ten rulesets of five rules each, as the benchmarks use them.

Out: rulesets as a configuration has them. None of them refuses anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CONDITIONS: list[Any] = [
    "always",
    {"metadata": "tier", "equals": "free"},
    {"metadata": "tier", "not_equals": "pro", "of": "user"},
    {"is_group": True},
    {"is_user": "bob"},
    {"metadata": "created", "newer_than": "7d"},
    {"metadata": "region", "one_of": ["eu", "ch"], "of": "group"},
    {"is_principal": "backend"},
    {"metadata": "seats", "greater_than": 5},
    {"metadata": "beta", "is_true": True},
]
USAGES: dict[int, list[dict[str, object]]] = {
    0: [],
    1: [{"requests": 10**9, "past": "1d", "of": "user"}],
    4: [
        {"requests": 10**9, "per": "minute", "of": "user"},
        {"usd": 9_000_000, "past": "30d", "of": "user"},
        {"tokens": 10**12, "per": "day", "of": "group"},
        {"concurrent": 10**6, "of": "user"},
    ],
    10: [{"requests": 10**9, "past": f"{days}d", "of": "user"} for days in range(1, 11)],
}


def rulesets(
    usages: Sequence[dict[str, object]], *, provider: str = "openai", asked: str = "gpt-4*"
) -> list[dict[str, Any]]:
    """The rulesets for a provider that has `o3` and `o3-mini`; `asked` is what requests are for."""
    found = []
    for number, condition in enumerate(CONDITIONS):
        rules: list[dict[str, Any]] = [
            {"model": f"{provider}/o3", "change_model_to": f"{provider}/o3-mini"},
            {"model": "anthropic/*", "block": "No."},
            {"model": f"{provider}/{asked}", "tag": f"tag {number}"},
            {"model": [f"{provider}/o3-mini", f"{provider}/o3"], "retain_days": 3},
            {"model": "o3*", "tag": "never"},
        ]
        if usages:
            rules[-1] = {"usage": usages[number % len(usages)], "block": "Enough."}
        found.append({"name": str(number), "condition": condition, "rules": rules})
    return found
