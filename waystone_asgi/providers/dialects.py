"""What a dialect is: how one kind of provider is asked and understood.

In: a decoded request in OpenAI's form, or a provider's bytes. Out: what is sent to the provider, or
the answer in OpenAI's form. No await, no client, no clock. A dialect is a value of `Dialect`; what
it is made of are plain functions, and a class for streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from ..exceptions import GatewayError, Headers
from ..pieces import Body
from ..records import Usage
from ..wire.chat import ChatCompletionRequest, Said
from ..wire.requests import ChatRequest


class Target(Struct, frozen=True, kw_only=True):
    """To whom a request is written: the model's name there, and what is known of the provider.

    `max_output_tokens` stands in where the dialect needs a bound and the caller set none; None is
    what is known of the model. `strict` refuses what would otherwise be left out.
    """

    model: str
    max_output_tokens: int | None = None
    strict: bool = False


class Built(Said, Struct, frozen=True, kw_only=True):
    """A request as the provider takes it.

    `dropped` names what was left out. `headers` go beside those of the provider.
    """

    body: Body
    dropped: tuple[str, ...] = ()
    headers: Headers = ()


class Head(Struct, frozen=True, kw_only=True, gc=False):
    """What came before the body of an answer; names of `headers` are in lower case.

    `received` is the Unix time of its arrival, in seconds: where a provider gives no time of its
    own, that is when the answer was created. `model` is what was asked for, for those that do not
    say what answered.
    """

    model: str
    received: int
    headers: Sequence[tuple[bytes, bytes]] = ()

    def header(self, name: bytes) -> str | None:
        """The value of the first header of that name."""
        values = (value.decode("latin-1") for own, value in self.headers if own == name)
        return next(values, None)


class Answer(Said, Struct, frozen=True, gc=False):
    """A whole answer: its bytes in OpenAI's form, and what the record takes from it.

    Tokens are estimated where the provider has not counted them.
    """

    body: bytes
    usage: Usage | None
    response_id: str | None
    response_model: str | None
    finish_reasons: tuple[str, ...]
    estimated_output_tokens: int


class Stream(Protocol):
    """Follows one streamed answer: bytes as they arrive in, whole OpenAI events out.

    `started` turns true with the first event of an answer, and `done` when `[DONE]` has been
    written; `error` is set when the provider sent one or what cannot be read. `events` counts what
    was relayed, `malformed` what was skipped.
    """

    started: bool
    done: bool
    error: GatewayError | None
    events: int
    malformed: int
    usage: Usage | None
    response_id: str | None
    response_model: str | None

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The finish reason of each choice that has one, by index."""

    @property
    def estimated_output_tokens(self) -> int:
        """About how many tokens have been relayed."""

    def feed(self, data: bytes) -> bytes:
        """The bytes to relay now that `data` has arrived."""

    def finish(self) -> bytes:
        """The bytes to relay now that nothing more comes, with `[DONE]` if complete."""


BuildRequest: TypeAlias = Callable[[ChatRequest, Target], Built]
ParseResponse: TypeAlias = Callable[[bytes, Head], Answer]
OpenStream: TypeAlias = Callable[[ChatCompletionRequest, Head], Stream]
ParseError: TypeAlias = Callable[[int, bytes, Headers], GatewayError]


class Dialect(Struct, frozen=True, kw_only=True):
    """How one kind of provider is asked and understood.

    `build_request` raises `InvalidRequestError` for what cannot be said to it. `parse_response`
    raises `GatewayError` for what is no answer, or an error under status 200. `parse_error` makes
    an error of a status, a body and the headers that came with them.
    """

    name: str
    build_request: BuildRequest
    parse_response: ParseResponse
    open_stream: OpenStream
    parse_error: ParseError
