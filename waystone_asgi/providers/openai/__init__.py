"""OpenAI's dialect: the one that comes in, so that most bytes pass as they are.

In: a decoded request, or an answer's bytes in any cut. Out: the bytes to send, or the answer with
what the contract adds, and its `Usage`. No await, no client, no clock.
"""

from __future__ import annotations

from ..dialects import Answer
from .answer import parse_response
from .dialect import dialect_of
from .errors import parse_error, parse_refusal
from .request import build_request
from .stream import StreamDecoder
from .tokens import parse_usage
from .vendors import VendorStream, open_stream, restate_answer

__all__ = (
    "Answer",
    "StreamDecoder",
    "VendorStream",
    "build_request",
    "dialect_of",
    "open_stream",
    "parse_error",
    "parse_refusal",
    "parse_response",
    "parse_usage",
    "restate_answer",
)
