"""Whole answers as they were recorded, through a gateway on a real socket."""

from __future__ import annotations

import json

import pytest
from msgspec import Raw
from msgspec.json import Decoder

from .exchanges import Exchange, cases, of_kind
from .gateway import Replay, asking, spelled
from .published import completion_faults, schema_faults
from .readings import completed, counts
from .server import Player

pytestmark = pytest.mark.anyio

TYPE_EXCEPTIONS = {
    "openrouter-n-2ce7493f5ed9": (
        {"choices.0.message.annotations.0.type", "choices.0.message.annotations.0.url_citation"},
        "an annotation of a type that OpenAI does not have",
    ),
}
SERVICE_TIERS = ("groq", "huggingface")
"""Whose `service_tier` is `on_demand`, which OpenAI's type does not list."""

_RAW = Decoder(dict[str, Raw])
_RAWS = Decoder(list[Raw])


@pytest.mark.parametrize("exchange", of_kind("answer"))
async def test_an_answer_is_the_recording_with_what_the_contract_adds(
    exchange: Exchange, player: Player
) -> None:
    replay = Replay(exchange, player, "whole")
    answer = await replay.ask(spelled(asking(exchange)))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    recorded = json.loads(exchange.body)
    assert answer.json == completed(exchange.provider, recorded)
    _check_bytes(exchange.body, answer.body)
    for name, value in exchange.headers.items():
        if name.startswith(("x-ratelimit-", "retry-after")):
            assert answer.headers[name] == value

    record = replay.record
    assert (record.outcome, record.status, record.error_type) == ("ok", 200, None)
    assert record.usage_source == "provider"
    assert counts(exchange.provider, recorded["usage"]) == (
        record.input_tokens,
        record.cache_read_input_tokens,
        record.cache_write_input_tokens,
        record.output_tokens,
        record.reasoning_output_tokens,
    )
    assert (record.response_id, record.response_model) == (recorded["id"], recorded["model"])
    assert record.finish_reasons == tuple(c["finish_reason"] for c in recorded["choices"])
    assert record.request_model == f"{exchange.type}/{exchange.model}"
    assert not record.stream
    [attempt] = record.attempts
    assert (attempt.provider, attempt.model) == (exchange.type, exchange.model)
    assert (attempt.status, attempt.error_type) == (200, None)


def _check_bytes(before: bytes, after: bytes) -> None:
    """Each member of the answer, its choices and its messages is spelled as it was.

    Content in parts is not: it becomes text.
    """
    _check_members(before, after, but="choices")
    recorded = _RAWS.decode(_RAW.decode(before)["choices"])
    answered = _RAWS.decode(_RAW.decode(after)["choices"])
    for old, new in zip(recorded, answered, strict=True):
        _check_members(old, new, but="message")
        message = _RAW.decode(old)["message"]
        in_parts = bytes(_RAW.decode(message).get("content", b"")).startswith(b"[")
        _check_members(message, _RAW.decode(new)["message"], but="content" if in_parts else "")


def _check_members(before: Raw | bytes, after: Raw | bytes, but: str = "") -> None:
    members = _RAW.decode(after)
    for name, value in _RAW.decode(before).items():
        assert name == but or members[name] == value


@pytest.mark.parametrize("exchange", of_kind("answer"))
async def test_an_answer_has_the_published_form(exchange: Exchange, player: Player) -> None:
    answer = await Replay(exchange, player, "whole").ask(spelled(asking(exchange)))
    assert schema_faults(answer.json) == set()
    excepted, _ = TYPE_EXCEPTIONS.get(exchange.id, (set(), ""))
    if exchange.provider in SERVICE_TIERS:
        excepted = excepted | {"service_tier"}
    assert completion_faults(answer.json) == excepted


@pytest.mark.parametrize(
    "exchange", cases(lambda x: x.kind != "stream" and not x.stream and len(x.body) < 700)
)
async def test_an_answer_may_come_byte_by_byte(exchange: Exchange, player: Player) -> None:
    whole = await Replay(exchange, player, "whole").ask(spelled(asking(exchange)))
    cut = await Replay(exchange, player, "bytes").ask(spelled(asking(exchange)))
    assert (cut.status, cut.body) == (whole.status, whole.body)
