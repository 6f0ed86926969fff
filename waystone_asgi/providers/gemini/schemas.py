"""JSON schemas as far as Gemini reads them.

In: a schema. Out: the same without the keywords that Gemini does not know. Each is named, but for
those that say nothing of the values: `$schema` and `$comment`. The list is that of the API
reference (`responseJsonSchema`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
Drop: TypeAlias = Callable[[str], None]

_PLAIN = frozenset({"$id", "$anchor", "type", "format", "title", "description", "enum"})
_BOUNDS = frozenset({"minItems", "maxItems", "minimum", "maximum", "required", "propertyOrdering"})
_SCHEMAS = frozenset({"prefixItems", "anyOf", "oneOf"})
_NAMED = frozenset({"properties", "$defs"})
_SCHEMA = frozenset({"items", "additionalProperties"})
_SILENT = frozenset({"$schema", "$comment"})
_DRAFT_7 = "#/definitions/"


def express(schema: Schema, drop: Drop) -> Schema:
    """The schema as Gemini reads it. `drop` is told the keywords that are left out."""
    schema = _rewritten(schema)
    if "$ref" in schema:
        return _refer(schema, drop)
    said: Schema = {}
    for keyword, value in schema.items():
        if keyword in _PLAIN or keyword in _BOUNDS:
            said[keyword] = value
        elif keyword in _SCHEMAS and isinstance(value, list):
            said[keyword] = [_express(item, drop) for item in value]
        elif keyword in _NAMED and isinstance(value, dict):
            said[keyword] = {name: _express(inner, drop) for name, inner in value.items()}
        elif keyword in _SCHEMA:
            said[keyword] = _express(value, drop)
        elif keyword not in _SILENT:
            drop(keyword)
    return said


def _express(value: Any, drop: Drop) -> Any:
    return express(value, drop) if isinstance(value, dict) else value


def _refer(schema: Schema, drop: Drop) -> Schema:
    """A reference, beside which only members that start with `$` may stand."""
    said: Schema = {}
    for keyword, value in schema.items():
        if keyword == "$ref":
            local = isinstance(value, str) and value.startswith(_DRAFT_7)
            said[keyword] = f"#/$defs/{value.removeprefix(_DRAFT_7)}" if local else value
        elif keyword == "$defs" and isinstance(value, dict):
            said[keyword] = {name: _express(inner, drop) for name, inner in value.items()}
        elif keyword in ("$id", "$anchor"):
            said[keyword] = value
        elif keyword not in _SILENT:
            drop(keyword)
    return said


def _rewritten(schema: Schema) -> Schema:
    """The schema with what can be said in other words, said so."""
    said = dict(schema)
    if "definitions" in said:
        said.setdefault("$defs", said.pop("definitions"))
    const = said.get("const")
    if isinstance(const, str | int | float) and not isinstance(const, bool):
        said["enum"] = [said.pop("const")]
    match said.get("allOf"):
        case [dict() as only] if not only.keys() & (said.keys() - {"allOf"}):
            said.pop("allOf")
            said.update(only)
    return said
