"""Token counts, wherever vendors put them."""

from __future__ import annotations

import pytest
from msgspec import Raw

from waystone_asgi.providers.openai import parse_usage
from waystone_asgi.records import Usage


def usage(
    input: int = 0,
    output: int = 0,
    read: int = 0,
    written: int = 0,
    reasoning: int = 0,
    heard: int = 0,
    said: int = 0,
    heard_again: int = 0,
) -> Usage:
    return Usage(
        input_tokens=input,
        output_tokens=output,
        cache_read_input_tokens=read,
        cache_write_input_tokens=written,
        reasoning_output_tokens=reasoning,
        input_audio_tokens=heard,
        output_audio_tokens=said,
        cache_read_audio_tokens=heard_again,
    )


WHOLE = b'"prompt_tokens":10,"completion_tokens":6,"total_tokens":16'


@pytest.mark.parametrize(
    ("raw", "counted"),
    [
        pytest.param(b"{%b}" % WHOLE, usage(10, 6), id="no parts"),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":1},'
            b'"completion_tokens_details":{"reasoning_tokens":5}}' % WHOLE,
            usage(10, 6, read=4, reasoning=5, heard=1),
            id="OpenAI",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"audio_tokens":7},'
            b'"completion_tokens_details":{"audio_tokens":5}}' % WHOLE,
            usage(10, 6, heard=7, said=5),
            id="audio in and out",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":5,'
            b'"cached_tokens_details":{"audio_tokens":3}}}' % WHOLE,
            usage(10, 6, read=4, heard=5, heard_again=3),
            id="audio from the cache",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":8}}' % WHOLE,
            usage(10, 6, read=4, heard=8, heard_again=2),
            id="audio that can only be from the cache",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":90,'
            b'"cached_tokens_details":{"audio_tokens":50}},'
            b'"completion_tokens_details":{"audio_tokens":90,"reasoning_tokens":2}}' % WHOLE,
            usage(10, 6, read=4, reasoning=2, heard=10, said=4, heard_again=4),
            id="more audio than tokens",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3}}' % WHOLE,
            usage(10, 6, read=4, written=3),
            id="OpenRouter",
        ),
        pytest.param(
            b'{%b,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":6}' % WHOLE,
            usage(10, 6, read=4),
            id="DeepSeek",
        ),
        pytest.param(b'{%b,"num_cached_tokens":4}' % WHOLE, usage(10, 6, read=4), id="Mistral"),
        pytest.param(b'{%b,"cached_tokens":4}' % WHOLE, usage(10, 6, read=4), id="Together"),
        pytest.param(
            b'{%b,"cache_creation_input_tokens":3}' % WHOLE, usage(10, 6, written=3), id="Vercel"
        ),
        pytest.param(
            b'{"prompt_tokens":10,"completion_tokens":6,"total_tokens":36,'
            b'"completion_tokens_details":{"reasoning_tokens":20}}',
            usage(10, 26, reasoning=20),
            id="xAI: the total has the reasoning, too",
        ),
        pytest.param(
            b'{"prompt_tokens":10,"completion_tokens":6,"total_tokens":20,'
            b'"completion_tokens_details":{"reasoning_tokens":4}}',
            usage(10, 10, reasoning=4),
            id="xAI: less reasoning than answer",
        ),
        pytest.param(
            b'{%b,"completion_tokens_details":{"reasoning_tokens":20}}' % WHOLE,
            usage(10, 26, reasoning=20),
            id="Vercel: more reasoning than completion",
        ),
        pytest.param(
            b'{%b,"completion_tokens_details":{"reasoning_tokens":6}}' % WHOLE,
            usage(10, 6, reasoning=6),
            id="nothing but reasoning",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":40,"cache_write_tokens":3}}' % WHOLE,
            usage(10, 6, read=10),
            id="Grok on Azure: more cached than asked",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":8,"cache_write_tokens":30}}' % WHOLE,
            usage(10, 6, read=8, written=2),
            id="more written than is left",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":null,"completion_tokens_details":null}' % WHOLE,
            usage(10, 6),
            id="parts are null",
        ),
        pytest.param(
            b'{%b,"prompt_tokens_details":{"cached_tokens":0},"num_cached_tokens":4}' % WHOLE,
            usage(10, 6, read=4),
            id="a zero hides nothing",
        ),
        pytest.param(b'{"prompt_tokens":10.0,"completion_tokens":6.0}', usage(10, 6), id="floats"),
        pytest.param(b'{"prompt_tokens":-1,"completion_tokens":null}', usage(), id="no counts"),
        pytest.param(b'{"prompt_tokens":10}', usage(10), id="no completion, as for embeddings"),
        pytest.param(b"{}", usage(), id="empty"),
    ],
)
def test_tokens_are_counted(raw: bytes, counted: Usage) -> None:
    assert parse_usage(raw) == counted
    assert parse_usage(Raw(raw)) == counted


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"many"', b"7", b'{"prompt_tokens":"7"}'])
def test_what_is_no_usage_counts_nothing(raw: bytes) -> None:
    assert parse_usage(Raw(raw)) is None


@pytest.mark.parametrize("cached", [0, 4, 10, 11, 1000])
@pytest.mark.parametrize("written", [0, 4, 10, 11, 1000])
@pytest.mark.parametrize("reasoning", [0, 4, 6, 7, 1000])
@pytest.mark.parametrize("total", [0, 16, 20, 23, 1016])
@pytest.mark.parametrize("audio", [0, 5, 10, 1000])
def test_no_part_is_larger_than_its_whole(
    cached: int, written: int, reasoning: int, total: int, audio: int
) -> None:
    counted = parse_usage(
        b'{"prompt_tokens":10,"completion_tokens":6,"total_tokens":%d,'
        b'"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":%d},'
        b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":%d}}'
        % (total, cached, written, audio, reasoning, audio)
    )
    assert counted is not None
    heard, heard_again = counted.input_audio_tokens, counted.cache_read_audio_tokens
    parts = counted.cache_read_input_tokens + counted.cache_write_input_tokens
    assert parts + heard - heard_again <= counted.input_tokens == 10
    assert 0 <= heard_again <= min(heard, counted.cache_read_input_tokens)
    assert counted.reasoning_output_tokens + counted.output_audio_tokens <= counted.output_tokens
