"""Makes keys for callers: random text comes out, and the hash that a configuration may hold."""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets

from .console import say

HELP = "make keys for callers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `new`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("new", help="make one key", description="Make one key and show it.")
    new.add_argument("--id", metavar="NAME", help="how usage records call the key's holder")


def run(arguments: argparse.Namespace) -> int:
    """Show a new key, and the line of the configuration that lets it in without knowing it."""
    key = new_key()
    digest = json.dumps(f"sha256:{hashlib.sha256(key.encode()).hexdigest()}")
    if arguments.id:
        name = json.dumps(arguments.id, ensure_ascii=False)
        digest = f"{{ key = {digest}, id = {name} }}"
    say(f"key, for the caller; it is shown only now: {key}")
    say(f"api_keys, in waystone.toml: {digest}")
    return 0


def new_key() -> str:
    """A key with 256 bits of randomness."""
    return f"wk_{secrets.token_urlsafe(32)}"
