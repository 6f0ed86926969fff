"""A newer table is looked at before it takes a place: what is worse in it is said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from waystone_asgi.pricing import Table, read_table
from waystone_asgi.pricing.review import shortcomings

from .tables import content, model, provider

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
MANY = [model(f"m{count}") for count in range(98)]
DATED = model(
    "dated",
    prices=[
        {"prices": {"input_mtok": 1, "output_mtok": 2}},
        {"constraint": {"start_date": "2026-11-01"}, "prices": {"input_mtok": 3, "output_mtok": 0}},
        {"constraint": {"start_date": "2027-01-01"}, "prices": {"input_mtok": 9, "output_mtok": 9}},
    ],
)
SPEECH = model("speech", prices={"input_mchars": 15})
OLD = (provider("a", *MANY, DATED), provider("b", SPEECH))


def versioned(path: Path, version: str, *providers: dict[str, object]) -> Table:
    """The table of these providers as if it were of a version of genai-prices."""
    built = msgspec.json.decode(content(path, *providers))
    return Table(msgspec.json.encode({**built, "version": version}))


def priced(**prices: float) -> tuple[dict[str, object], ...]:
    return (provider("a", *MANY[1:], model("m0", prices=prices), DATED), provider("b", SPEECH))


@pytest.mark.parametrize(
    ("new", "said"),
    [
        pytest.param(OLD, [], id="the same"),
        pytest.param((*OLD, provider("c")), [], id="one provider more"),
        pytest.param((provider("a", *MANY[1:], DATED), provider("b", SPEECH)), [], id="one gone"),
        pytest.param(
            (provider("a", *MANY[3:], DATED), provider("b", SPEECH)),
            ["without 3 of 100 known models: a/m0, a/m1, a/m2"],
            id="three gone",
        ),
        pytest.param(
            (provider("a", *MANY[90:]), provider("b", SPEECH)),
            [
                "older: its newest price began on 0001-01-01, the present one's on 2026-11-01",
                "without 91 of 100 known models: a/m0, a/m1, a/m2, a/m3, a/m4 and 86 more",
            ],
            id="most gone",
        ),
        pytest.param((provider("a", *MANY, DATED),), ["without the providers b"], id="no provider"),
        pytest.param(priced(input_mchars=1), ["without a price for a/m0"], id="no price"),
        pytest.param(priced(input_mtok=10, output_mtok=0.2), [], id="ten times"),
        pytest.param(priced(input_mtok=0.1, output_mtok=20), [], id="a tenth"),
        pytest.param(
            priced(input_mtok=10.1, output_mtok=0.19),
            [
                "with prices that are hard to believe: a/m0 input from $1 to $10.1, "
                "a/m0 output from $2 to $0.19"
            ],
            id="more than ten times",
        ),
        pytest.param(
            priced(input_mtok=1),
            ["with prices that are hard to believe: a/m0 output from $2 to $0"],
            id="suddenly free",
        ),
    ],
)
def test_what_is_worse_is_said(
    new: tuple[dict[str, object], ...], said: list[str], tmp_path: Path
) -> None:
    old = versioned(tmp_path, "genai-prices 0.2.3", *OLD)
    assert shortcomings(versioned(tmp_path, "genai-prices 0.2.3", *new), old, NOW) == said


@pytest.mark.parametrize(
    ("new", "old", "older"),
    [
        ("genai-prices 0.2.3", "genai-prices 0.2.3", False),
        ("genai-prices 0.2.2", "genai-prices 0.2.3", True),
        ("genai-prices 0.10.0", "genai-prices 0.2.3", False),
        ("genai-prices 1", "genai-prices 0.2.3", False),
        ("genai-prices 0.2", "genai-prices 0.2.3", True),
        ("genai-prices data 1f2e3d4c5b6a", "genai-prices 0.2.3", False),
        ("genai-prices 0.2.3", "genai-prices data 1f2e3d4c5b6a", False),
    ],
)
def test_an_older_version_is_worse(new: str, old: str, older: bool, tmp_path: Path) -> None:
    tables = versioned(tmp_path, new, *OLD), versioned(tmp_path, old, *OLD)
    said = [f"older: {new}, and the present one is {old}"] if older else []
    assert shortcomings(*tables, NOW) == said


def test_the_shipped_table_is_no_worse_than_itself() -> None:
    assert shortcomings(read_table(), read_table(), NOW) == []
