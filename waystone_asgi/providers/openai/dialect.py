"""OpenAI's form as a dialect: one for each preset, since vendors differ in what is data here."""

from __future__ import annotations

from ...exceptions import GatewayError, Headers
from ...wire.chat import ChatCompletionRequest
from ...wire.fields import refuse
from ...wire.requests import ChatRequest
from ..dialects import Answer, Built, Dialect, Head, Stream, Target
from ..forms import Preset
from . import errors
from .answer import parse_response
from .request import build_request
from .vendors import open_stream, restate_answer


def dialect_of(preset: Preset) -> Dialect:
    """The dialect of providers that have this preset."""

    def build(request: ChatRequest, target: Target) -> Built:
        body, dropped = build_request(request, target.model, preset)
        if target.strict:
            refuse(dropped)
        return Built(body=body, dropped=dropped)

    def parse(body: bytes, head: Head) -> Answer:
        return parse_response(body if preset.quirks is None else restate_answer(body, preset))

    def follow(request: ChatCompletionRequest, head: Head) -> Stream:
        return open_stream(request, preset)

    return Dialect(
        name="openai",
        build_request=build,
        parse_response=parse,
        open_stream=follow,
        parse_error=parse_error,
    )


def parse_error(status: int, body: bytes, headers: Headers) -> GatewayError:
    """As `errors.parse_error`: the headers say nothing that the body does not."""
    return errors.parse_error(status, body)
