"""Requests to Bedrock as a test writes them, each held to the service's own model.

The model is the one that botocore has. Its validator looks at types and at what is required; the
rest of what the model says (unions, enumerations, patterns, lengths, ranges) is looked at here.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from botocore.session import get_session
from botocore.validate import ParamValidator

from waystone_asgi.providers.bedrock import DIALECT
from waystone_asgi.providers.dialects import Built, Target
from waystone_asgi.wire.requests import decode_chat_request

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"

_SERVICE = get_session().get_service_model("bedrock-runtime")
_LENGTHS = {"string": len, "list": len, "map": len, "blob": len}


def build(body: dict[str, Any], *, model: str = CLAUDE, strict: bool = False) -> Built:
    """What is sent for a request in OpenAI's form."""
    document = json.dumps({"model": "bedrock/m", **body}).encode()
    return DIALECT.build_request(decode_chat_request(document), Target(model=model, strict=strict))


def ask(
    messages: list[dict[str, Any]] | str = "Hi", *, model: str = CLAUDE, **members: Any
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body that is sent, once it is known to be valid, and what was dropped."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    built = build({"messages": messages, **members}, model=model)
    body = json.loads(bytes(built.body))
    validate(body, model)
    return body, built.dropped


def validate(body: dict[str, Any], model: str) -> None:
    """Raise `AssertionError` for what the service would not take, whatever the model."""
    for operation in ("Converse", "ConverseStream"):
        shape = _SERVICE.operation_model(operation).input_shape
        parameters = {"modelId": model, **body}
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), report.generate_report()
        _check(parameters, shape, "")
    roles = [turn["role"] for turn in body["messages"]]
    assert all(role != following for role, following in pairwise(roles))
    blocks = [block for turn in body["messages"] for block in turn["content"]]
    if any("toolUse" in block or "toolResult" in block for block in blocks):
        assert "toolConfig" in body
    names = [block["document"]["name"] for block in blocks if "document" in block]
    assert len(names) == len(set(names))
    assert all(block["text"].strip() for block in blocks if "text" in block)


def _check(value: Any, shape: Any, where: str) -> None:
    limits = shape.metadata
    if getattr(shape, "is_document_type", False):
        return
    size = _LENGTHS[shape.type_name](value) if shape.type_name in _LENGTHS else value
    assert "min" not in limits or size >= limits["min"], where
    assert "max" not in limits or size <= limits["max"], where
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys(), where
        assert not getattr(shape, "is_tagged_union", False) or len(value) == 1, where
        for name, inner in value.items():
            _check(inner, shape.members[name], f"{where}.{name}")
    elif shape.type_name == "list":
        for inner in value:
            _check(inner, shape.member, f"{where}[]")
    elif shape.type_name == "map":
        for name, inner in value.items():
            _check(name, shape.key, f"{where}.{name}")
            _check(inner, shape.value, f"{where}.{name}")
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum, where
        pattern = limits.get("pattern")
        assert pattern is None or re.fullmatch(pattern, value), f"{where}: {value!r}"
