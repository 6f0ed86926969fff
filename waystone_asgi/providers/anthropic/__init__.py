"""Anthropic's dialect, Messages: at Anthropic, in Foundry and on Vertex AI.

In: a decoded request, or an answer's bytes in any cut. Out: the provider's body, or the answer in
OpenAI's form. The platforms differ in where a request says who is asked. No await, no client, no
clock.
"""

from __future__ import annotations

from ..dialects import Dialect
from .answer import parse_response
from .errors import parse_error
from .request import build_request, build_vertex_request
from .stream import MessagesStream

DIALECT = Dialect(
    name="anthropic",
    build_request=build_request,
    parse_response=parse_response,
    open_stream=MessagesStream,
    parse_error=parse_error,
)
VERTEX_DIALECT = Dialect(
    name="vertex_anthropic",
    build_request=build_vertex_request,
    parse_response=parse_response,
    open_stream=MessagesStream,
    parse_error=parse_error,
)

__all__ = ("DIALECT", "VERTEX_DIALECT")
