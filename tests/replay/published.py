"""The published response schema and the official client's types, as judges of answers."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, ValidationError

from ..conftest import SHARED

PAGE = SHARED / "seed" / "000_e1cecb18dd3d744b.txt"
PATH = "/api/gateway/v1/chat/completions"


@cache
def _validator() -> Draft202012Validator:
    block = re.search(r"^````yaml[^\n]*\n(.*?)^````", PAGE.read_text("utf-8"), re.M | re.S)
    assert block is not None
    operation = yaml.safe_load(block[1])["paths"][PATH]["post"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def schema_faults(answer: Any) -> set[str]:
    """Where an answer differs from the published schema, as dotted paths."""
    return {_dotted(error.absolute_path) for error in _validator().iter_errors(answer)}


def completion_faults(answer: Any) -> set[str]:
    """Where an answer differs from the official client's type."""
    return _faults(ChatCompletion, answer)


def chunk_faults(chunk: Any) -> set[str]:
    """Where an event differs from the official client's type."""
    return _faults(ChatCompletionChunk, chunk)


def _faults(model: type[BaseModel], document: Any) -> set[str]:
    try:
        model.model_validate(document)
    except ValidationError as error:
        return {_dotted(fault["loc"]) for fault in error.errors()}
    return set()


def _dotted(path: Any) -> str:
    return ".".join(str(part) for part in path)
