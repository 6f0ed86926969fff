"""The official client, a gateway in the same process, and a provider behind it that is played."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import APIError, APIStatusError, AsyncOpenAI, AsyncStream
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from waystone_asgi import BearerKeys, Gateway, MemorySink, Provider, UsageRecord
from waystone_asgi.records import UpstreamRequest
from waystone_asgi.testing import FakeAnswer, FakeProvider, Piece
from waystone_asgi.types import Upstream

from ..asgi import KEY
from ..providers.heads import raw

JSON = dict[str, Any]

ABANDONED = "ignore:Async generator .* was garbage collected:ResourceWarning"
"""What trio says of the client's generators, which it gives up at `[DONE]`."""

CREDENTIAL = "sk-canary-7f3a"
URL = "http://upstream.test"

OPTIONS: dict[str, JSON] = {
    "anthropic": {},
    "bedrock": {},
    "cohere": {},
    "foundry": {},
    "gemini": {},
    "ollama": {},
    "vertex": {"project": "PROJECT", "location": "global"},
}
"""The types of providers that are asked in a dialect of their own, and what they need."""


def provider(type: str, url: str = URL, **options: Any) -> Provider:
    """A provider of the type, named like it unless `name` is given."""
    given: JSON = {"name": type, "api_key": CREDENTIAL, "base_url": url, **OPTIONS[type]}
    return Provider(type=type, **given | options)


@dataclass
class Got:
    """What the client got of an answer or a stream.

    `raw` is the JSON of an answer. Of a stream `chunks` are the events as they came, and
    `completion` is what the client's own accumulator makes of them. `error` is what the client
    raised, in the end.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    raw: JSON = field(default_factory=dict)
    completion: ChatCompletion | None = None
    chunks: list[JSON] = field(default_factory=list)
    error: APIError | None = None

    @property
    def answer(self) -> ChatCompletion:
        assert self.error is None, self.error
        assert self.completion is not None
        return self.completion

    @property
    def message(self) -> JSON:
        """The answer's message, as a caller sends it back."""
        return self.answer.choices[0].message.model_dump(exclude_none=True)

    @property
    def finish_reason(self) -> str:
        return self.answer.choices[0].finish_reason

    @property
    def usage(self) -> JSON:
        assert self.answer.usage is not None
        return self.answer.usage.model_dump()

    @property
    def dropped(self) -> list[str]:
        """What the gateway says that it left out."""
        return list(filter(None, self.headers.get("x-waystone-dropped", "").split(", ")))

    @property
    def status(self) -> int:
        """The status of an error that stands in an answer's place."""
        assert isinstance(self.error, APIStatusError)
        return self.error.status_code

    @property
    def fault(self) -> JSON:
        """The error's members."""
        assert self.error is not None
        assert isinstance(self.error.body, dict)
        return self.error.body


class Through:
    """A gateway before a provider that is played, and the official client before that.

    It asks each target once, unless `retry` says otherwise.
    """

    def __init__(self, upstream: Upstream | None, *providers: Provider, **settings: Any) -> None:
        self.sink = MemorySink()
        self.upstream = upstream
        defaults: JSON = {"authenticate": BearerKeys([KEY]), "retry": {"attempts": 1}}
        self.gateway = Gateway(
            providers=[*providers], upstream=upstream, sinks=[self.sink], **defaults | settings
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Asking]:
        """The client, while the gateway runs."""
        transport = httpx2.ASGITransport(app=self.gateway)
        async with (
            self.gateway.running(),
            httpx2.AsyncClient(transport=transport) as carrier,
            AsyncOpenAI(
                api_key=KEY, base_url="http://gateway.test/v1", max_retries=0, http_client=carrier
            ) as client,
        ):
            yield Asking(client)

    async def ask(self, asked: JSON) -> Got:
        """Ask once; the record is in the sink when this returns."""
        async with self.opened() as asking:
            return await asking(asked)

    @property
    def record(self) -> UsageRecord:
        [record] = self.sink.records
        return record

    @property
    def requests(self) -> list[UpstreamRequest]:
        assert isinstance(self.upstream, FakeProvider)
        return self.upstream.requests

    @property
    def sent(self) -> JSON:
        """The body of the one request that was sent."""
        [request] = self.requests
        return body_of(request)


class Asking:
    """Asks with the official client; its types take what comes back where they are strict, too."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self.client = client

    async def __call__(self, asked: JSON) -> Got:
        got = Got()
        named = {name: asked[name] for name in ("model", "messages", "stream") if name in asked}
        rest = {name: value for name, value in asked.items() if name not in named}
        try:
            answer = await self.client.chat.completions.with_raw_response.create(
                **named, extra_body=rest
            )
            got.headers = answer.headers
            if asked.get("stream"):
                await _follow(answer.parse(), got)
            else:
                got.completion, got.raw = answer.parse(), answer.http_response.json()
                ChatCompletion.model_validate(got.raw, strict=True)
        except APIStatusError as error:
            got.error, got.headers = error, error.response.headers
        except APIError as error:
            got.error = error
        return got


async def _follow(stream: AsyncStream[ChatCompletionChunk], got: Got) -> None:
    state = ChatCompletionStreamState[None]()
    async for chunk in stream:
        document = chunk.to_dict()
        got.chunks.append(document)
        state.handle_chunk(ChatCompletionChunk.model_validate(document))
    got.completion = ChatCompletion.model_validate(state.current_completion_snapshot.to_dict())


def body_of(request: UpstreamRequest) -> JSON:
    """What was sent to the provider."""
    document: JSON = json.loads(bytes(request.content))
    return document


def played(pieces: Sequence[Piece], headers: Mapping[str, str], status: int = 200) -> FakeAnswer:
    """An answer of the provider's."""
    return FakeAnswer(pieces, status=status, headers=raw(headers))
