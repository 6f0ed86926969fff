"""AWS Bedrock's dialect: Converse and ConverseStream, for all models that Bedrock has.

In: a decoded request, or an answer's bytes in any cut. Out: the body to send, or the answer in
OpenAI's form. Requests are signed by `signing.Signer`, or carry a bearer key. No await, no client,
no clock.
"""

from __future__ import annotations

from ..dialects import Dialect
from .answer import parse_response
from .errors import parse_error
from .request import build_request
from .stream import ConverseStream

DIALECT = Dialect(
    name="bedrock",
    build_request=build_request,
    parse_response=parse_response,
    open_stream=ConverseStream,
    parse_error=parse_error,
)

__all__ = ("DIALECT",)
