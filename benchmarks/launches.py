"""How each contender is started: its command, its configuration, and the headers it wants.

In: a `Site` and a port. Out: a `Launch`, or the reason why there is none. LiteLLM and Portkey are
taken from environments of their own, named by `BENCH_LITELLM_VENV` and `BENCH_PORTKEY_DIR`;
README.md says how to make them. It starts nothing itself.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from .processes import ROOT, Cores
from .server import Settings, key

_LITELLM_KEY = "sk-bench-litellm"


@dataclass(frozen=True)
class Site:
    """What every contender of a run is configured with."""

    provider_port: int
    directory: Path
    cores: Cores
    settings: Mapping[str, object] = field(default_factory=dict)
    models: tuple[str, ...] = ("json",)


@dataclass(frozen=True)
class Launch:
    """A command, and the variables it needs."""

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path = Path()
    ledger: Path | None = None


def _own(settings: Settings) -> Launch:
    document = msgspec.json.encode(settings).decode()
    return Launch(
        [sys.executable, "-m", "benchmarks.server", document],
        directory=ROOT,
        ledger=Path(settings.ledger) if settings.ledger else None,
    )


def own_headers(site: Site, number: int) -> Mapping[str, str]:
    """The headers of the caller with the key of that number."""
    return {"authorization": f"Bearer {key(number)}"}


def forwarding(settings: Settings) -> Callable[[Site, int], Launch]:
    """Starts the floor, or what answers at once."""

    def launch(site: Site, port: int) -> Launch:
        document = {
            **msgspec.structs.asdict(settings),
            "port": port,
            "provider_port": site.provider_port,
            **site.settings,
        }
        return _own(msgspec.convert(document, Settings))

    return launch


def ours(changes: Mapping[str, object]) -> Callable[[Site, int], Launch]:
    """Starts the gateway with a ledger of its own, and these settings changed."""

    def launch(site: Site, port: int) -> Launch:
        document = {
            "application": "ours",
            "port": port,
            "provider_port": site.provider_port,
            "models": site.models,
            "ledger": str(site.directory / f"ledger-{port}.db"),
            **site.settings,
            **changes,
        }
        return _own(msgspec.convert(document, Settings))

    return launch


def redis_missing() -> str | None:
    """Why there is no Redis to count in."""
    return None if os.environ.get("BENCH_REDIS_URL") else "left out, BENCH_REDIS_URL is not set"


def litellm(site: Site, port: int) -> Launch:
    """Starts LiteLLM's proxy with one worker; it keeps no ledger without a PostgreSQL."""
    config = site.directory / f"litellm-{port}.yaml"
    parameters = {
        "api_base": f"http://127.0.0.1:{site.provider_port}/v1",
        "api_key": "sk-bench",
    }
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **parameters}}
        for name in site.models
    ]
    # JSON is YAML.
    config.write_text(
        json.dumps({"model_list": models, "general_settings": {"master_key": _LITELLM_KEY}})
    )
    script = Path(os.environ["BENCH_LITELLM_VENV"]) / "bin" / "litellm"
    return Launch(
        [str(script), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)],
        {
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_TELEMETRY": "False",
        },
        site.directory,
    )


def litellm_headers(site: Site, number: int) -> Mapping[str, str]:
    """LiteLLM's master key."""
    return {"authorization": f"Bearer {_LITELLM_KEY}"}


def litellm_missing() -> str | None:
    """Why LiteLLM cannot be started."""
    venv = os.environ.get("BENCH_LITELLM_VENV")
    if venv and (Path(venv) / "bin" / "litellm").exists():
        return None
    return (
        "not installed: python -m venv V && V/bin/pip install 'litellm[proxy]', "
        "then BENCH_LITELLM_VENV=V"
    )


_PORTKEY = Path("node_modules/@portkey-ai/gateway/build/start-server.js")


def portkey(site: Site, port: int) -> Launch:
    """Starts Portkey's gateway without its console."""
    script = Path(os.environ["BENCH_PORTKEY_DIR"]) / _PORTKEY
    return Launch(
        ["node", str(script), f"--port={port}", "--headless"],
        {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        site.directory,
    )


def portkey_missing() -> str | None:
    """Why Portkey cannot be started."""
    directory = os.environ.get("BENCH_PORTKEY_DIR")
    if directory and (Path(directory) / _PORTKEY).exists() and shutil.which("node"):
        return None
    return "not installed: npm install --prefix D @portkey-ai/gateway, then BENCH_PORTKEY_DIR=D"


def portkey_headers(site: Site, number: int) -> Mapping[str, str]:
    """The provider and its credential, which Portkey takes from each request."""
    return {
        "authorization": "Bearer sk-bench",
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{site.provider_port}/v1",
    }
