"""The `--config` of a command comes in; the configuration to work with comes out.

Without a file it is what the environment gives. It opens nothing.
"""

from __future__ import annotations

import os

from msgspec.structs import replace

from ..config import Config, environment_config, load_config
from ..sinks import split_url
from .keys import new_key

DEFAULT_LEDGER = "sqlite:///waystone.db"
"""Where the commands keep usage records, and look for them, when nothing else is said."""


def configuration(file: str | None) -> tuple[Config, str | None]:
    """The configuration with a ledger, and the caller's key when it had to be made here."""
    made = None
    if file is not None:
        config = load_config(file)
    else:
        key = os.environ.get("WAYSTONE_API_KEY") or (made := new_key())
        config = environment_config(os.environ, key)
    return replace(config, usage_url=config.usage_url or DEFAULT_LEDGER), made


def ledger_name(url: str) -> str:
    """What to call the ledger at a URL."""
    kind, path = split_url(url)
    named = {"memory": "memory, lost at the end", "postgresql": "PostgreSQL"}
    return named.get(kind) or f"{path} ({kind})"
