"""Prices by provider and model: the host's own first, then the table's, and otherwise none."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from genai_prices.data_snapshot import find_provider_by_id

from waystone_asgi.exceptions import ConfigurationError
from waystone_asgi.pricing import PRICED_AS, Prices
from waystone_asgi.providers.presets import PRESETS
from waystone_asgi.recent import MODELS
from waystone_asgi.records import Usage

from . import oracle
from .tables import content, model, provider

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
THOUSAND = Usage(input_tokens=1000, output_tokens=1000)
OWN = {"input_mtok": 1, "output_mtok": 2}


@pytest.mark.parametrize(
    ("provider", "model", "nano_dollars"),
    [
        ("openai", "gpt-4o-mini", 150_000 + 600_000),
        ("openai", "GPT-4o-mini-2024-07-18", 150_000 + 600_000),
        ("azure", "gpt-4o-mini", 150_000 + 600_000),
        ("openrouter", "openai/gpt-4o-mini", 150_000 + 600_000),
        ("bedrock", "us.anthropic.claude-opus-4-20250514-v1:0", 15_000_000 + 75_000_000),
        ("vertex", "claude-opus-4@20250514", 15_000_000 + 75_000_000),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct:groq", 590_000 + 790_000),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct", None),
        ("huggingface", "meta-llama/Llama-3.3-70B-Instruct:nowhere", None),
        ("openai", "my-own-model", None),
        ("openai", "tts-1", None),
        ("ollama", "llama3.3", None),
        ("echo", "echo", None),
        ("nowhere", "gpt-4o-mini", None),
    ],
)
def test_a_model_has_the_price_of_its_provider(
    provider: str, model: str, nano_dollars: int | None
) -> None:
    prices = Prices()
    assert prices.cost(provider, model, THOUSAND, NOW) == nano_dollars
    assert prices.cost(provider, model, THOUSAND, NOW) == nano_dollars


def test_a_service_tier_has_its_price_where_it_has_one() -> None:
    prices = Prices()
    usual = prices.cost("openai", "gpt-4o", THOUSAND, NOW)
    assert prices.cost("openai", "gpt-4o", THOUSAND, NOW, "priority") == 4_250_000 + 17_000_000
    assert prices.cost("openai", "gpt-4o", THOUSAND, NOW, "default") == usual
    assert prices.cost("azure", "gpt-4o", THOUSAND, NOW, "priority") == usual


def test_own_prices_come_before_the_table() -> None:
    prices = Prices(
        {
            "openai/gpt-4o": OWN,
            "gpu/*": {"input_mtok": 0, "output_mtok": 0},
            "gpu/large": "openai/gpt-4o-mini",
            "lab/*": "novita/*",
            "proxy/*": "openai/*",
        },
        types={"openai": "openai", "gpu": "vllm", "lab": "openai", "proxy": "vllm", "x": "groq"},
    )
    assert prices.cost("openai", "gpt-4o", THOUSAND, NOW) == 3_000_000
    assert prices.cost("openai", "gpt-4o", THOUSAND, NOW, "priority") == 3_000_000
    assert prices.cost("openai", "gpt-4o-mini", THOUSAND, NOW) == 750_000
    assert prices.cost("gpu", "anything", THOUSAND, NOW) == 0
    assert prices.cost("gpu", "large", THOUSAND, NOW) == 750_000
    assert prices.cost("proxy", "gpt-4o-mini", THOUSAND, NOW) == 750_000
    assert prices.cost("lab", "gpt-4o-mini", THOUSAND, NOW) is None
    name = prices.open().section("novita").models[0].id
    assert prices.cost("lab", name, THOUSAND, NOW) == Prices().cost("novita", name, THOUSAND, NOW)


def test_a_provider_by_another_name_has_the_price_of_its_type() -> None:
    prices = Prices(types={"east": "azure"})
    assert prices.cost("east", "gpt-4o-mini", THOUSAND, NOW) == 750_000
    assert prices.find("east", "gpt-4o-mini").source == "openai/gpt-4o-mini"  # type: ignore[union-attr]


@pytest.mark.parametrize("like", ["openai/gpt-none", "nowhere/*", "nowhere/model"])
def test_a_price_like_that_of_no_model_is_refused(like: str) -> None:
    with pytest.raises(ConfigurationError, match=r'prices\."gpu/x": the table has no price for'):
        Prices({"gpu/x": like}).open()


def test_a_price_like_all_of_hugging_face_is_taken() -> None:
    prices = Prices({"hub/*": "huggingface/*"})
    prices.open()
    assert prices.cost("hub", "meta-llama/Llama-3.3-70B-Instruct:groq", THOUSAND, NOW) == 1_380_000


def test_the_version_is_that_of_the_table_and_of_own_prices() -> None:
    table = Prices().version
    own = Prices({"openai/x": OWN}).version
    assert own.startswith(f"{table}+")
    assert own == Prices({"openai/x": dict(reversed(OWN.items()))}).version
    assert own != Prices({"openai/x": {**OWN, "input_mtok": 2}}).version


def test_another_table_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    file = tmp_path / "prices.json"
    file.write_bytes(content(tmp_path, provider("openai", model("gpt-4o"))))
    for prices in (Prices(file=file), Prices({"file": str(file)})):
        assert prices.cost("openai", "gpt-4o", THOUSAND, NOW) == 3_000_000
        assert prices.cost("openai", "gpt-4o-mini", THOUSAND, NOW) is None
        assert prices.version != Prices().version


def test_what_is_known_is_bounded_and_unknown_names_are_known() -> None:
    prices = Prices()
    for count in range(MODELS + 100):
        assert prices.cost("openai", f"never-{count}", THOUSAND, NOW) is None
    assert len(prices._known) <= MODELS
    assert prices.cost("openai", "gpt-4o-mini", THOUSAND, NOW) == 750_000


def test_each_type_that_has_prices_is_one_that_genai_prices_knows_by_that_name() -> None:
    known = {t: find_provider_by_id(list(oracle.PROVIDERS.values()), t) for t in PRICED_AS}
    named = {type: found.id for type, found in known.items() if found is not None}
    assert named.items() <= PRICED_AS.items()
    assert set(PRICED_AS) - set(named) == {"huggingface", "foundry"}
    assert {p for p in PRICED_AS.values() if "*" not in p} <= set(oracle.PROVIDERS)


def test_only_types_that_run_on_the_host_have_no_prices() -> None:
    assert set(PRESETS) - set(PRICED_AS) == {"ollama", "vllm", "lmstudio", "echo"}


def test_the_table_is_not_read_before_it_is_asked() -> None:
    script = """
import sys
read = []
sys.addaudithook(lambda event, args: read.append(str(args[0])) if event == "open" else None)
from waystone_asgi import Gateway
from waystone_asgi.pricing import Prices
prices = Prices()
assert not [name for name in read if name.endswith("prices.json")]
prices.version
assert [name for name in read if name.endswith("prices.json")]
assert "genai_prices" not in sys.modules
"""
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root)
