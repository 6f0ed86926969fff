"""Cohere's dialect: `/v2/chat`, whole and streamed.

In: a decoded request, or an answer's bytes. Out: the body to send, or the answer in OpenAI's form.
"""

from __future__ import annotations

from ..dialects import Dialect
from .answer import parse_response
from .errors import parse_error
from .request import build_request
from .stream import CohereStream

DIALECT = Dialect(
    name="cohere",
    build_request=build_request,
    parse_response=parse_response,
    open_stream=CohereStream,
    parse_error=parse_error,
)

__all__ = ("DIALECT",)
