"""What the package shows: its public names, their docstrings, and how long its parts are."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "waystone_asgi"
FILES = sorted(PACKAGE.rglob("*.py"))

PUBLIC = ("waystone_asgi", "waystone_asgi.testing", "waystone_asgi.types", "waystone_asgi.sinks")
"""The modules whose names users are told of."""

LONG_MODULES = {
    "gateway.py": "what it is built from, one keyword a line, beside its life and small operations",
    "upstream/connection.py": "the states of one connection, which are only right together",
}
LONG_FUNCTIONS = {
    "gateway.py Gateway.__init__": "one keyword a line, as the file has one setting a line",
    "forwarding.py Forwarding._attempt": "one attempt from its translation to what is left of it",
    "usage.py OpenRecord.close": "one field a line, in the order of the record",
}

Definition: TypeAlias = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[str, Definition]]:
    """Classes, functions and methods by their dotted names, without those inside functions."""
    for node in tree.body:
        if isinstance(node, Definition):
            yield node.name, node
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{name}", inner) for name, inner in definitions(node))


def parsed() -> Iterator[tuple[str, ast.Module]]:
    for path in FILES:
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_a_sorted_tuple_of_importable_names(name: str) -> None:
    module = importlib.import_module(name)
    assert isinstance(module.__all__, tuple)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert all(hasattr(module, public) for public in module.__all__)


def test_the_package_shows_nothing_but_its_names() -> None:
    module = importlib.import_module("waystone_asgi")
    shown = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }
    assert shown == set(module.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text() for page in pages)
    missing = [n for n in importlib.import_module(name).__all__ if f"`{n}" not in text]
    assert missing == []


def test_everything_public_says_what_it_is() -> None:
    silent = [path for path, tree in parsed() if not ast.get_docstring(tree)]
    silent += [
        f"{path}:{node.lineno} {name}"
        for path, tree in parsed()
        for name, node in definitions(tree)
        if not any(part.startswith("_") for part in name.split(".")) and not ast.get_docstring(node)
    ]
    assert silent == []


def test_modules_can_be_read_at_once() -> None:
    long = {path for path, _ in parsed() if (PACKAGE / path).read_text().count("\n") > 250}
    assert long <= set(LONG_MODULES)


def test_functions_can_be_read_at_once() -> None:
    long = {
        f"{path} {name}"
        for path, tree in parsed()
        for name, node in definitions(tree)
        if not isinstance(node, ast.ClassDef) and (node.end_lineno or 0) - node.lineno >= 40
    }
    assert long <= set(LONG_FUNCTIONS)
