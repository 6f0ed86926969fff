"""JSON schemas as far as Gemini reads them, and what is named of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from waystone_asgi.providers.gemini.schemas import express

from .requests import build

WHOLE: dict[str, Any] = {
    "$id": "a",
    "$defs": {"b": {"type": "string", "format": "date"}},
    "type": "object",
    "title": "t",
    "properties": {
        "pattern": {"$ref": "#/$defs/b"},
        "c": {"type": "array", "items": {"enum": ["x"]}, "minItems": 1, "maxItems": 2},
        "d": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 9}, {"type": "null"}]},
        "e": {"prefixItems": [{"type": "string"}], "items": False},
        "f": {"oneOf": [{"type": ["string", "null"], "description": "d"}]},
    },
    "additionalProperties": {"type": "number"},
    "required": ["c"],
    "propertyOrdering": ["c"],
}

CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (WHOLE, WHOLE, []),
    ({"$schema": "s", "$comment": "c", "type": "string"}, {"type": "string"}, []),
    (
        {"type": "string", "pattern": "a", "default": "b", "minLength": 1},
        {"type": "string"},
        ["pattern", "default", "minLength"],
    ),
    ({"properties": {"a": {"not": {}}}}, {"properties": {"a": {}}}, ["not"]),
    ({"anyOf": [{"if": {}}, True]}, {"anyOf": [{}, True]}, ["if"]),
    ({"const": "a"}, {"enum": ["a"]}, []),
    ({"const": 1.5, "type": "number"}, {"type": "number", "enum": [1.5]}, []),
    ({"const": True}, {}, ["const"]),
    ({"const": None}, {}, ["const"]),
    ({"allOf": [{"type": "string"}], "title": "t"}, {"type": "string", "title": "t"}, []),
    ({"allOf": [{"type": "string"}], "type": "number"}, {"type": "number"}, ["allOf"]),
    ({"allOf": [{"type": "string"}, {}]}, {}, ["allOf"]),
    ({"allOf": [{"$ref": "#/$defs/a"}]}, {"$ref": "#/$defs/a"}, []),
    (
        {"definitions": {"a": {"deprecated": True}}, "items": {"$ref": "#/definitions/a"}},
        {"$defs": {"a": {}}, "items": {"$ref": "#/$defs/a"}},
        ["deprecated"],
    ),
    (
        {"$ref": "#/$defs/a", "description": "d", "$comment": "c", "$anchor": "b"},
        {"$ref": "#/$defs/a", "$anchor": "b"},
        ["description"],
    ),
    (
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": 3}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": 3}}},
        [],
    ),
    ({"anyOf": 3, "properties": [], "$defs": 1}, {}, ["anyOf", "properties", "$defs"]),
]


@pytest.mark.parametrize(("schema", "said", "names"), CASES)
def test_a_schema(schema: dict[str, Any], said: dict[str, Any], names: list[str]) -> None:
    lost: list[str] = []
    assert express(schema, lost.append) == said
    assert lost == names


def test_what_a_schema_loses_is_named() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "b"}}}
    wanted = {"name": "n", "schema": {**schema, "minProperties": 1}}
    body, dropped = build(
        response_format={"type": "json_schema", "json_schema": wanted},
        tools=[{"type": "function", "function": {"name": "f", "parameters": schema}}],
    )
    said = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert body["generationConfig"]["responseJsonSchema"] == said
    (tool,) = body["tools"]
    assert tool["functionDeclarations"][0]["parametersJsonSchema"] == said
    assert set(dropped) == {
        "response_format.json_schema.schema.pattern",
        "response_format.json_schema.schema.minProperties",
        "tools[].function.parameters.pattern",
    }


def test_a_description_beside_a_reference_is_not_said() -> None:
    wanted = {"schema": {"$ref": "#/$defs/a", "$defs": {"a": {}}}, "description": "d"}
    body, dropped = build(response_format={"type": "json_schema", "json_schema": wanted})
    assert "description" not in body["generationConfig"]["responseJsonSchema"]
    assert dropped == ("response_format.json_schema.description",)
