"""The table: which model a name means, and what is no table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.pricing import Prices, Table, read_table

from .tables import content, model, provider, table

CLAUSES = [
    model("first", {"or": [{"equals": "One"}, {"starts_with": "one-"}]}),
    model("Second"),
    model("third", {"and": [{"contains": "three"}, {"or": [{"ends_with": "x"}, {"regex": "y$"}]}]}),
    model("fourth", {"or": [{"or": [{"contains": "THREE"}]}, {"equals": "one-and-only"}]}),
    model("fifth", {"and": [{"equals": "five"}, {"equals": "five"}]}),
    model("sixth", {"starts_with": "sec"}),
]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("one", "a/first"),
        ("ONE", "a/first"),
        ("one-2", "a/first"),
        ("one-and-only", "a/first"),
        ("second", "a/Second"),
        ("SECOND", "a/Second"),
        ("second-2", "a/sixth"),
        ("2-second", None),
        ("threex", "a/third"),
        ("threey", "a/third"),
        ("three", "a/fourth"),
        ("five", "a/fifth"),
        ("other", "b/other"),
        ("other-2026-11-23", "b/dated"),
        ("other-20261123", "b/dated"),
        ("other-20261123:free", None),
        ("other-20260230", None),
        ("", None),
    ],
)
def test_a_name_means_the_first_model_that_matches(
    name: str, found: str | None, tmp_path: Path
) -> None:
    own = provider("a", *CLAUSES, fallback_model_providers=["gone", "b"])
    other = provider("b", model("other"), model("dated", {"equals": "other-2026-11-23"}))
    entry = table(tmp_path, own, other).find("a", name)
    assert (entry and f"{entry[0]}/{entry[1].id}") == found


def test_a_provider_that_it_does_not_have_has_no_models(tmp_path: Path) -> None:
    assert table(tmp_path, provider("a", *CLAUSES)).find("b", "one") is None


def test_the_shipped_table_names_its_version_source_and_licence() -> None:
    shipped = read_table()
    assert shipped.version.startswith("genai-prices ")
    assert shipped.source == "https://github.com/pydantic/genai-prices"
    assert "MIT License" in shipped.notice
    assert "Pydantic Services Inc." in shipped.notice


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", "is no table of prices"),
        ("[" * 5000, "is no table of prices"),
        ("{}", "missing required field `version`"),
        ('"~["', "is no regular expression"),
        ('"?x"', "is no clause"),
        ("7", "is no clause"),
        ('[["?x"]]', "is no clause"),
        ('"prices":[]', "a/m has no prices"),
        ('"prices":[{"input_mtok":-1}]', "a/m: a price below 0"),
        (
            '"prices":[{"input_mtok":{"base":1,"tiers":[{"start":1,"price":-1}]}}]',
            "a price below 0",
        ),
        ('"prices":[{"inputs":1}]', "unknown field `inputs`"),
        ('"variants":[{"input_mtok":1}]', "missing required field `service_tier`"),
    ],
)
def test_what_is_no_table_is_refused(wrong: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_text(broken(wrong))
    with pytest.raises(ConfigurationError) as raised:
        Prices({"file": str(file)}).open()
    assert str(raised.value).startswith(f"prices.file: {file}: ")
    assert said in str(raised.value)


def broken(wrong: str) -> str:
    """The text of a table with one thing wrong in it, or wholly wrong."""
    if wrong in ("", "{}") or wrong.startswith("[[[["):
        return wrong
    member = wrong if wrong.startswith(('"prices"', '"variants"')) else f'"match":[{wrong}]'
    entry = f'{{"id":"m","prices":[{{}}],{member}}}'
    head = '"version":"1","source":"","notice":""'
    return f'{{{head},"providers":{{"a":{{"models":[{entry}]}}}}}}'


def test_a_table_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.json: cannot be read: No such file"):
        Prices(file=tmp_path / "missing.json").open()


def test_a_table_has_one_model_a_line(tmp_path: Path) -> None:
    written = content(tmp_path, provider("a", model("m"), model("n")), provider("b"))
    lines = written.decode().splitlines()
    assert [line[:9] for line in lines[2:4]] == ['{"id":"m"', '{"id":"n"']
    assert list(json.loads(written)["providers"]) == ["a", "b"]
    Table(written).check()
