"""Ollama's dialect: `/api/chat`, whole and streamed as lines of JSON.

In: a decoded request, or an answer's bytes. Out: the body to send, or the answer in OpenAI's form.
"""

from __future__ import annotations

from ..dialects import Dialect
from ..openai.dialect import parse_error
from .answer import parse_response
from .request import build_request
from .stream import OllamaStream

DIALECT = Dialect(
    name="ollama",
    build_request=build_request,
    parse_response=parse_response,
    open_stream=OllamaStream,
    parse_error=parse_error,
)

__all__ = ("DIALECT",)
