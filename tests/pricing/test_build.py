"""A table from genai-prices: what is kept of it, and what is not its data."""

from __future__ import annotations

import json
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.pricing import Table
from waystone_asgi.pricing.build import build_from, build_installed
from waystone_asgi.pricing.table import SHIPPED
from waystone_asgi.pricing.terms import Period, Tier, TieredPrice, Variant

from .tables import model, provider, table


def tier(start: int, price: float) -> dict[str, float]:
    return {"start": start, "price": price}


PERIODS = [
    {"prices": {"input_mtok": 2.50, "output_mtok": None, "web_searches_kcount": 10}},
    {
        "constraint": {"start_date": "2026-08-17"},
        "prices": {"input_mtok": {"base": 1, "tiers": [tier(9, 3), tier(5, 2)]}},
    },
    {
        "constraint": {"start_time": "00:30:00Z", "end_time": "18:00:00.5+02:00"},
        "prices": {"input_mtok": 0.30000000000000004},
    },
    {"constraint": {"start_time": "22:00:00", "end_time": "23:30:00-02:00"}, "prices": {}},
    {"prices": {"input_mchars": 15, "web_searches_kcount": 1}},
]
VARIANTS = [
    {"when": {"service_tier": "flex"}, "prices": {"input_mtok": 1}},
    {
        "when": {"speed": "fast"},
        "prices": {"input_mtok": 4},
        "constraint": {"start_date": "2027-01-01"},
    },
    {"when": {"service_tier": "default"}, "prices": {}},
    {"when": {"service_tier": "flex"}, "prices": {"input_mchars": 4}},
    {"when": {"processing": "batch"}, "prices": {"input_mtok": 4}},
    {"when": {"service_tier": "flex", "processing": "batch"}, "prices": {"input_mtok": 4}},
]


def test_prices_are_kept_that_a_usage_can_be_paid_by(tmp_path: Path) -> None:
    built = table(tmp_path, provider("a", model("M", prices=PERIODS, price_variants=VARIANTS)))
    (entry,) = built.section("a").models
    assert entry.match == ()
    assert entry.periods() == (
        Period(input_mtok=Decimal("2.5")),
        Period(
            start_date=date(2026, 8, 17),
            input_mtok=TieredPrice(Decimal(1), (Tier(5, Decimal(2)), Tier(9, Decimal(3)))),
        ),
        Period(start_time=1800, end_time=57600.5, input_mtok=Decimal("0.30000000000000004")),
        Period(start_time=79200, end_time=5400),
        Period(uncounted=("input_mchars", "web_searches_kcount")),
    )
    assert entry.variants_at("flex") == (Variant(service_tier="flex", input_mtok=Decimal(1)),)
    fast = Variant(service_tier="fast", input_mtok=Decimal(4), start_date=date(2027, 1, 1))
    assert entry.variants_at("fast") == (fast,)
    assert entry.variants_at("default") == ()


def test_the_shipped_table_is_that_of_the_installed_genai_prices_or_of_one_before() -> None:
    built, shipped = Table(build_installed()), Table(SHIPPED.read_bytes())
    if built.version == shipped.version:
        assert build_installed() == SHIPPED.read_bytes()


def test_without_genai_prices_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data", None)
    with pytest.raises(ConfigurationError, match="genai-prices is not installed"):
        build_installed()


def test_a_file_has_a_version_by_its_content(tmp_path: Path) -> None:
    one = table(tmp_path, provider("a", model("m"))).version
    assert one == table(tmp_path, provider("a", model("m"))).version
    assert one != table(tmp_path, provider("a", model("n"))).version
    assert one.startswith("genai-prices data ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("7", "is not the data of genai-prices"),
        ("{}", "it has no models"),
        ("[]", "it has no models"),
        ("[7]", "is not the data of genai-prices"),
        ([provider("a", {"id": "m"})], "KeyError('prices')"),
        ([provider("a", model("m", {"sounds_like": "m"}))], "KeyError('sounds_like')"),
        ([provider("a", model("m", {"equals": 7}))], "is not the data of genai-prices"),
        ([provider("a", model("m", {"equals": "m", "or": []}))], "is not the data of genai-prices"),
        ([provider("a", model("m", {"regex": "("}))], "is no regular expression"),
        ([provider("a", model("m", prices={"input_mtok": -1}))], "a price of -1"),
        ([provider("a", model("m", prices={"input_mtok": "much"}))], "is not the data of"),
        ([provider("a", model("m", prices={"input_mtok": "NaN"}))], "a price of NaN"),
        ([provider("a", model("m", prices=[]))], "a/m has no prices"),
        (
            [provider("a", model("m", prices=[{"constraint": {"until": "2027"}, "prices": {}}]))],
            "KeyError('until')",
        ),
    ],
)
def test_what_is_not_its_data_is_refused(data: object, said: str, tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ConfigurationError) as raised:
        build_from(str(file))
    assert str(raised.value).startswith(f"{file}: ")
    assert said in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing: cannot be read: No such file"):
        build_from(str(tmp_path / "missing"))
