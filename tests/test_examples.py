"""Each example is served as its first lines say, and the official client finds its way in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from openai import AuthenticationError, OpenAI

from .servers.processes import ROOT, Served, serving

EXAMPLES = {
    "fastapi_host": ("app", "session-of-ann"),
    "starlette_host": ("app", "wk_demo"),
    "django_host": ("application", "wk_demo"),
    "litestar_host": ("app", "wk_demo"),
}


@pytest.fixture(scope="module", params=EXAMPLES)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Served]]:
    name: str = request.param
    app, _ = EXAMPLES[name]
    command = ["uvicorn", f"examples.{name}:{app}", "--fd", "{fd}"]
    with serving(command, tmp_path_factory.mktemp(name) / "server.log") as served:
        yield name, served


def client(example: tuple[str, Served], key: str | None = None) -> OpenAI:
    name, served = example
    return OpenAI(
        base_url=f"{served.url}/api/gateway/v1",
        api_key=key or EXAMPLES[name][1],
        max_retries=0,
        timeout=20.0,
    )


def test_it_completes(example: tuple[str, Served]) -> None:
    with client(example) as openai:
        answer = openai.chat.completions.create(
            model="echo/echo", messages=[{"role": "user", "content": "Good morning"}]
        )
    assert answer.choices[0].message.content == "Good morning"


def test_it_streams(example: tuple[str, Served]) -> None:
    with client(example) as openai:
        stream = openai.chat.completions.create(
            model="echo/echo", messages=[{"role": "user", "content": "Good morning"}], stream=True
        )
        words = [chunk.choices[0].delta.content for chunk in stream]
    assert "Good" in words
    assert "".join(word or "" for word in words) == "Good morning"


def test_it_asks_who_calls(example: tuple[str, Served]) -> None:
    with client(example, key="wk_nobody") as openai, pytest.raises(AuthenticationError):
        openai.models.list()


def test_its_own_page_is_still_there(example: tuple[str, Served]) -> None:
    _, served = example
    page = httpx2.get(f"{served.url}/")
    assert page.status_code == 200
    assert "/api/gateway/v1" in page.text
    assert httpx2.get(f"{served.url}/nothing").status_code == 404


def test_it_was_open_from_the_start_and_ends_well(example: tuple[str, Served]) -> None:
    _, served = example
    assert httpx2.get(f"{served.url}/api/gateway/ready").json() == {"status": "ready"}
    served.end()
    assert "Application shutdown complete." in served.log
    assert "Traceback" not in served.log


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_it_is_short_and_says_how_to_run_it(path: Path) -> None:
    text = path.read_text()
    assert path.stem in EXAMPLES
    assert len(text.splitlines()) < 40
    assert f"\nuvicorn examples.{path.stem}:{EXAMPLES[path.stem][0]}\n" in text
