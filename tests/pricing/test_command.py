"""`waystone-asgi prices`: what models cost, which have no price, and a newer table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from waystone_asgi.cli import main
from waystone_asgi.pricing import Prices, Table, read_table
from waystone_asgi.pricing.build import build_installed

from .tables import model, provider

CONTENT = build_installed()
CONFIG = """
[providers.openai]
api_key = "sk-canary-3f9c"
models = ["gpt-4o", "gpt-4o-mini", "tts-1", "none"]
[providers.gpu]
type = "vllm"
models = ["llama", "large"]
[providers.groq]
api_key = "sk-canary-3f9c"
[prices."gpu/llama"]
input_mtok = 0
output_mtok = 0.5
"""


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "waystone.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def data(directory: Path) -> Path:
    """Data of genai-prices that is much less than what ships."""
    file = directory / "data.json"
    file.write_text(json.dumps([provider("openai", model("gpt-4o"))]))
    return file


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["prices", *arguments]) == code
    output = capsys.readouterr()
    return output.err if code else output.out


def test_it_shows_what_the_table_has(capsys: pytest.CaptureFixture[str]) -> None:
    table = read_table()
    count = sum(len(table.section(provider).models) for provider in table.providers)
    assert shown(capsys).splitlines() == [
        f"{table.version}, from https://github.com/pydantic/genai-prices",
        f"{count} models of {len(table.providers)} providers",
    ]


def test_it_shows_which_configured_models_have_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    version, _, counted, *unpriced = shown(capsys, "--config", "waystone.toml").splitlines()
    assert version.startswith(f"{Prices().version}+")
    assert counted == "3 of 6 configured models have a price"
    assert [line.strip() for line in unpriced[2:]] == ["openai/tts-1", "openai/none", "gpu/large"]


def test_it_lists_nothing_where_all_have_a_price(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    text = CONFIG.replace(', "tts-1", "none"', "").replace(', "large"', "")
    (directory / "waystone.toml").write_text(text)
    lines = shown(capsys, "--config", "waystone.toml").splitlines()
    assert lines[2:] == ["3 of 3 configured models have a price"]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["openai/gpt-4o-mini"],
            [
                "openai/gpt-4o-mini  (openai/gpt-4o-mini)",
                "     input_mtok       0.15",
                "     output_mtok      0.6",
                "     cache_read_mtok  0.075",
            ],
        ),
        (
            ["google/gemini-2.5-pro"],
            [
                "google/gemini-2.5-pro  (google/gemini-2.5-pro)",
                "     input_mtok       1.25, 2.5 above 200000 input tokens",
                "     output_mtok      10, 15 above 200000 input tokens",
                "     cache_read_mtok  0.125, 0.25 above 200000 input tokens",
            ],
        ),
        (
            ["deepseek/deepseek-reasoner"],
            [
                "deepseek/deepseek-reasoner  (deepseek/deepseek-reasoner)",
                "     input_mtok       0.135",
                "     output_mtok      0.55",
                "     cache_read_mtok  0.035",
                "  daily from 00:30 to 16:30 UTC",
                "     input_mtok       0.55",
                "     output_mtok      2.19",
                "     cache_read_mtok  0.14",
            ],
        ),
        (
            ["google/gemini-3.8-flash-tts"],
            [
                "google/gemini-3.8-flash-tts  (google/gemini-3.8-flash-tts)",
                "     input_mtok   0.5",
                "     output_mtok  9",
                "  from 2027-01-01",
                "     input_mtok   1",
                "     output_mtok  18",
            ],
        ),
        (
            ["openai/moderation", "openai/tts-1", "openai/none"],
            [
                "openai/moderation  (openai/moderation)",
                "     free",
                "openai/tts-1  (openai/tts-1)",
                "     input_mchars  is paid and not counted",
                "openai/none  no price",
            ],
        ),
        (
            ["--config", "waystone.toml", "gpu/llama", "openai/gpt-4o"],
            [
                "gpu/llama  (configuration)",
                "     input_mtok   0",
                "     output_mtok  0.5",
                "openai/gpt-4o  (openai/gpt-4o)",
                "     input_mtok       2.5",
                "     output_mtok      10",
                "     cache_read_mtok  1.25",
            ],
        ),
    ],
)
def test_it_shows_what_models_cost(
    capsys: pytest.CaptureFixture[str], arguments: list[str], lines: list[str]
) -> None:
    head, *rest = shown(capsys, *arguments).splitlines()
    assert head == "US dollars: mtok is for a million tokens, kcount for a thousand, hours for one"
    assert rest == lines


def test_a_bare_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpt-4o: expected a full name" in shown(capsys, "gpt-4o", code=1)


def test_a_newer_table_is_written_and_used(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    (directory / "waystone-prices.json").write_bytes(CONTENT)
    version = Table(CONTENT).version
    said = f"waystone-prices.json has {version}, where {version} was\n"
    assert shown(capsys, "--refresh") == said
    assert sorted(path.name for path in directory.iterdir()) == [
        "waystone-prices.json",
        "waystone.toml",
    ]
    assert (directory / "waystone-prices.json").read_bytes() == CONTENT
    assert Prices({"file": "waystone-prices.json"}).version == version


def test_a_worse_table_is_refused(
    capsys: pytest.CaptureFixture[str], directory: Path, data: Path
) -> None:
    said = shown(capsys, "--from", str(data), code=1)
    assert f"is worse than {read_table().version}, and not written; --accept-worse" in said
    assert "\n  without the providers anthropic, " in said
    assert not (directory / "waystone-prices.json").exists()


def test_a_worse_table_may_be_accepted(
    capsys: pytest.CaptureFixture[str], directory: Path, data: Path
) -> None:
    (directory / "waystone.toml").write_text(f'prices.file = "own.json"\n{CONFIG}')
    said = shown(
        capsys, "--from", str(data), "--accept-worse", "--config", "waystone.toml"
    ).splitlines()
    assert said[0] == f"worse than {read_table().version}:"
    assert said[-1].startswith("own.json has genai-prices data ")
    assert shown(capsys, "--config", "waystone.toml").startswith("genai-prices data ")


def test_a_table_that_cannot_be_read_is_replaced(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    (directory / "broken.json").write_text("{")
    said = shown(capsys, "--refresh", "--accept-worse", "--to", "broken.json").splitlines()
    assert said[0].startswith("prices.file: broken.json: is no table of prices: ")
    assert said[0].endswith("It is compared with the table that ships with the package.")
    assert (directory / "broken.json").read_bytes() == CONTENT


def test_a_table_that_cannot_be_written_is_said(
    capsys: pytest.CaptureFixture[str], data: Path
) -> None:
    arguments = ("--from", str(data), "--accept-worse", "--to", "missing/prices")
    said = shown(capsys, *arguments, code=1)
    assert said == "waystone-asgi: missing/prices: cannot be written: No such file or directory.\n"


def test_what_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(capsys, "--from", "missing.json", code=1)
    assert said == "waystone-asgi: missing.json: cannot be read: No such file or directory.\n"
