"""Who may import whom, as one table; what is imported for type checkers only does not count."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# A module imports from the tiers below its own and from its own package, never up or sideways.
TIERS = {
    "front": "__init__ __main__ testing",
    "doors": "applications middleware config cli",
    "corridor": "gateway completions forwarding hedging exchanges calls settings",
    "edges": "upstream routing requests responses relay keepalive departures lifespan admission"
    " allowances"
    " sinks entities limits guards",
    "rooms": "authentication identity catalog providers rules usage pricing",
    "words": "wire sse eventstream records charges tables verdicts",
    "ground": "types exceptions loops pieces recent sqlite tracebacks",
}
ALLOWED = {
    ("cli.check", "config"): "the command shows what a configuration means",
    ("cli.serve", "applications"): "the command serves the standalone application",
    ("cli.serve", "config"): "the command serves what a configuration describes",
    ("cli.setup", "config"): "reads the file that --config names",
    ("cli.usage", "config"): "finds the ledger that --config names",
    ("gateway", "calls"): "the corridor's first step, kept apart to keep the corridor readable",
    ("completions", "calls"): "the corridor's first step, kept apart to keep the corridor readable",
    ("completions", "forwarding"): "the second half of the corridor",
    ("forwarding", "calls"): "the corridor's first step, kept apart to keep the corridor readable",
    ("forwarding", "hedging"): "the corridor's steps up to an answer, kept apart likewise",
    ("forwarding", "exchanges"): "the corridor's steps up to an answer, kept apart likewise",
    ("hedging", "exchanges"): "opens two of them",
    ("gateway", "forwarding"): "the corridor itself, beside what it is built from",
    ("gateway", "completions"): "the corridor itself, beside what it is built from",
    ("gateway", "settings"): "what the corridor is built from, kept apart likewise",
    ("gateway", "config"): "up, but only when `Gateway.from_config` is called",
    ("keepalive", "responses"): "writes into a reply that is silent",
    ("relay", "keepalive"): "has the reply kept alive while it moves a stream into it",
    ("relay", "responses"): "moves a stream into the reply",
    ("sinks.spool", "limits.background"): "a task beside the requests, as counters have one",
    ("sinks.webhook", "routing.backoff"): "receivers say when to come back as providers do",
    ("sinks.webhook", "upstream.httpx"): "requests on every event loop, with all their timers",
    ("wire.answers", "records"): "what was used, spelled in another's letters",
    ("wire.models", "records"): "one word of the package spelled in another's letters",
}
# Who may import what the standard library has not, and what of it decides the event loop.
LIBRARIES = {
    "msgspec": "doors corridor edges rooms words",
    "anyio": "doors corridor edges",
    "starlette": "doors requests types",
    "httpx": "upstream.httpx upstream.blocking testing",
    "httptools": "upstream.parser",
    "genai_prices": "pricing.build",
    # In upstream a transport of its own. In loops what anyio has no word for. In lifespan to see
    # that a loop is closed. In departures as a cancel scope a request costs more than routing.
    "asyncio": "upstream.asyncio upstream.alarm upstream.answer upstream.connection upstream.pool"
    " lifespan departures loops",
    "trio": "loops",
    "coredis": "entities.redis limits.redis sinks.redis_streams",
    "psycopg": "entities.postgresql limits.postgresql sinks.postgresql",
    "uvicorn": "cli.serve",
    "google": "upstream.google",
}
OPTIONAL = {"coredis", "genai_prices", "google", "httptools", "psycopg", "trio", "uvicorn"}

PACKAGE = Path(__file__).resolve().parents[2] / "waystone_asgi"
TIER_OF = {room: tier for tier, rooms in TIERS.items() for room in rooms.split()}
ORDER = list(TIERS)


class Import(NamedTuple):
    module: str
    line: int
    target: str
    inside: bool  # in the package
    eager: bool  # when the module is imported, and not when a function is called


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(module: str) -> Iterator[Import]:
    path = FILES[module]
    package = path.relative_to(PACKAGE).parent.parts
    for node, eager in walk(ast.parse(path.read_text()), True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, node.lineno, alias.name.partition(".")[0], False, eager)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            target = (node.module or "").partition(".")[0]
            yield Import(module, node.lineno, target, False, eager)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level]
            target = ".".join((*parents, node.module) if node.module else parents)
            for alias in node.names:
                inner = f"{target}.{alias.name}".lstrip(".")
                yield Import(module, node.lineno, inner if inner in FILES else target, True, eager)


def walk(node: ast.AST, eager: bool) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child, eager
        deferred = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from walk(child, eager and not deferred)


ALL = [found for module in FILES for found in imports_of(module)]
INSIDE = [found for found in ALL if found.inside]
OUTSIDE = [found for found in ALL if not found.inside]


def room(module: str) -> str:
    return module.partition(".")[0]


def points_down(found: Import) -> bool:
    above, below = room(found.module), room(found.target)
    return above == below or ORDER.index(TIER_OF[above]) < ORDER.index(TIER_OF[below])


def test_every_module_has_its_place() -> None:
    assert {room(module) for module in FILES} == set(TIER_OF)


def test_imports_point_down() -> None:
    wrong = [
        f"{found.module}:{found.line} imports {found.target}"
        for found in INSIDE
        if not points_down(found) and (found.module, found.target) not in ALLOWED
    ]
    assert not wrong


def test_every_exception_is_needed() -> None:
    needed = {(found.module, found.target) for found in INSIDE if not points_down(found)}
    assert set(ALLOWED) <= needed


def test_every_library_has_its_place() -> None:
    assert {found.target for found in OUTSIDE} <= sys.stdlib_module_names | set(LIBRARIES)


@pytest.mark.parametrize(("library", "places"), LIBRARIES.items())
def test_a_library_is_used_where_it_belongs(library: str, places: str) -> None:
    users = {found.module for found in OUTSIDE if found.target == library}
    assert users
    assert not {u for u in users if not {u, room(u), TIER_OF[room(u)]} & set(places.split())}


def test_optional_packages_wait_until_they_are_asked_for() -> None:
    reached, left = set[str](), [m for m in FILES if TIER_OF[room(m)] in ("front", "doors")]
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left += [found.target for found in INSIDE if found.module == module and found.eager]
    assert not [f for f in OUTSIDE if f.module in reached and f.eager and f.target in OPTIONAL]
