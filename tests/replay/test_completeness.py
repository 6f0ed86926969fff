"""No recorded chat completion is left out."""

from __future__ import annotations

from collections import Counter

import pytest

from .exchanges import EXCHANGES, OPERATION, RECORDINGS, TYPES, of_kind


@pytest.mark.parametrize("provider", TYPES)
def test_each_recorded_line_is_an_exchange(provider: str) -> None:
    recorded = (RECORDINGS / f"{provider}.jsonl").read_bytes()
    lines = recorded.count(b'"op":"%b"' % OPERATION.encode())
    assert lines == sum(exchange.provider == provider for exchange in EXCHANGES) > 0


def test_no_other_provider_has_any() -> None:
    others = {path.stem for path in RECORDINGS.glob("*.jsonl")} - set(TYPES)
    files = [(RECORDINGS / f"{provider}.jsonl").read_bytes() for provider in others]
    assert not [True for recorded in files if b'"op":"%b"' % OPERATION.encode() in recorded]


def test_each_exchange_is_a_case_once() -> None:
    cases = [case.id for kind in ("answer", "stream", "error") for case in of_kind(kind)]
    assert Counter(cases) == Counter(exchange.id for exchange in EXCHANGES)
    assert set(Counter(cases).values()) == {1}
