"""`waystone-asgi check` and `serve` with rules, as a stranger meets them: a file and a client."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI, PermissionDeniedError, RateLimitError

from .ledger import Ledger
from .processes import END_SECONDS, ROOT

KEY, ACME = "wk_mine", "wk_acme"
FILE = f"""
api_keys = ["{KEY}", {{ key = "{ACME}", id = "acme-backend", group = "acme" }}]
[providers.echo]
models = ["echo", "cheap"]
[state]
url = "sqlite:///state.db"
deadline = 20
[usage]
url = "sqlite:///usage.db"

[[rulesets]]
name = "free tier"
condition = {{ metadata = "tier", equals = "free" }}
rules = [{{ model = "echo/echo", change_model_to = "echo/cheap", tag = "cheaper" }}]

[[rulesets]]
name = "fair"
condition = {{ is_user = true }}
rules = [{{ usage = {{ requests = 2, per = "month", of = "user" }}, block = "Two a month." }}]

[[rulesets]]
name = "acme"
condition = {{ is_group = "acme", source = "key" }}
rules = [{{ block = "Not you.", retain_days = 3 }}]
"""
ASK: Any = [{"role": "user", "content": "Guten Tag"}]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "waystone_asgi", *arguments, "--config", "waystone.toml"]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "waystone.toml").write_text(FILE)
    return tmp_path


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


@contextmanager
def served(directory: Path) -> Iterator[str]:
    """The URL of the gateway that `serve` serves, as it says itself."""
    process = subprocess.Popen(
        command("serve", "--port", "0"),
        cwd=directory,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=END_SECONDS)
    assert process.returncode == 0
    assert "usage records lost: 0" in said


def ask(url: str, user: str | None = None, key: str = KEY) -> Any:
    """Ask with the official client, which tries once."""
    metadata = {} if user is None else {"metadata": {"waystone": user}}
    with OpenAI(base_url=url, api_key=key, max_retries=0, timeout=20) as client:
        return client.chat.completions.with_raw_response.create(
            model="echo/echo", messages=ASK, extra_body=metadata
        )


def test_rules_that_are_served(directory: Path) -> None:
    ann = '{"user": {"id": "ann", "metadata": {"tier": "free"}}}'
    with served(directory) as url:
        first = ask(url, ann)
        assert first.parse().choices[0].message.content == "Guten Tag"
        assert first.headers["x-waystone-model"] == "cheap"
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        with pytest.raises(PermissionDeniedError) as blocked:
            ask(url, key=ACME)
    # What was counted outlives the process.
    with served(directory) as url:
        assert ask(url, '{"user": "ann"}').headers["x-waystone-model"] == "cheap"
        with pytest.raises(RateLimitError) as limited:
            ask(url, '{"user": "ann"}')
        assert ask(url).headers["x-waystone-model"] == "echo"
    error = blocked.value
    assert (error.status_code, error.type, error.code) == (
        403,
        "permission_error",
        "blocked_by_rule",
    )
    assert "Not you." in error.message
    error = limited.value
    assert (error.status_code, error.type, error.code) == (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
    )
    assert int(error.response.headers["retry-after"]) >= 1
    rows = Ledger(directory / "usage.db").rows()
    assert [(row["user"], row["group"], row["outcome"]) for row in rows] == [
        ("ann", None, "ok"),
        (None, "acme", "blocked"),
        ("ann", None, "ok"),
        ("ann", None, "blocked"),
        (None, None, "ok"),
    ]
    assert [row["retain_days"] for row in rows] == [None, 3, None, None, None]
    assert [row["tags"] for row in rows] == [
        '["cheaper"]',
        "[]",
        '["cheaper"]',
        '["cheaper"]',
        "[]",
    ]


def test_check_explains_what_serve_does(directory: Path) -> None:
    def said(*arguments: str) -> str:
        return subprocess.run(
            command("check", *arguments),
            cwd=directory,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        ).stdout

    assert 'usage over 2 requests per month of user  -> block "Two a month."' in said()
    free = said("--explain", "echo/echo", "--user", "ann", "--metadata", '{"tier": "free"}')
    assert "goes to echo/cheap" in free
    assert "blocked by acme[0]" in said("--explain", "echo", "--group", "acme", "--source", "key")
    assert not (directory / "state.db").exists()
