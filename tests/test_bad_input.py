"""Whatever a caller sends gets its answer in OpenAI's form, at once, and harms nobody else.

Each request here goes through the whole gateway. After it there is one record, if the caller was
known, and the next request is answered as if nothing had happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from time import thread_time
from typing import Any, NamedTuple

import anyio
import pytest

from waystone_asgi import APIKey, BearerKeys, Gateway, MemorySink, Provider
from waystone_asgi.testing import FakeProvider, completion
from waystone_asgi.types import Message

from .asgi import KEY, Answer, chat, http_scope

pytestmark = pytest.mark.anyio

CANARY = "canary-e41c"
LIMIT = 4 * 1024 * 1024
PIECE = 64 * 1024
DEEP = 200_000
CHAT = "/v1/chat/completions"
PINNED = "wk_pinned"

Headers = Sequence[tuple[bytes, bytes]]


class Sender:
    """A caller that sends these pieces, perhaps leaves before the last, and counts what is read."""

    def __init__(self, pieces: Sequence[bytes], *, cut: bool = False) -> None:
        self._pieces = list(pieces)
        self._cut = cut
        self.reads = 0
        self.answer = Answer()

    async def receive(self) -> Message:
        self.reads += 1
        if self._pieces:
            piece = self._pieces.pop(0)
            return {
                "type": "http.request",
                "body": piece,
                "more_body": bool(self._pieces) or self._cut,
            }
        if not self._cut:
            await anyio.sleep_forever()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.answer.messages.append(message)


def make() -> tuple[Gateway, MemorySink]:
    sink = MemorySink()
    base_url = "http://provider.test/v1"
    gateway = Gateway(
        retry={"attempts": 1},
        providers=[
            Provider.openai(api_key="sk", base_url=base_url, models=["gpt-test", "both"]),
            Provider.groq(api_key="gsk", base_url=base_url, models=["both"]),
        ],
        authenticate=BearerKeys(
            [
                KEY,
                APIKey(
                    key=PINNED,
                    user="ann",
                    group="acme",
                    models=("groq/*",),
                    endpoints=("chat", "identify"),
                ),
                APIKey(key="wk_elsewhere", endpoints=("embeddings",)),
            ]
        ),
        upstream=FakeProvider(completion("Hi")),
        sinks=[sink],
        max_body_bytes=LIMIT,
    )
    return gateway, sink


async def ask(
    pieces: bytes | Sequence[bytes],
    *,
    status: int,
    path: str = CHAT,
    method: str = "POST",
    key: str | None = KEY,
    headers: Headers = (),
    records: int = 1,
) -> tuple[Answer, Sender]:
    """Send one bad request and look at all that must hold for any of them."""
    gateway, sink = make()
    sender = Sender([pieces] if isinstance(pieces, bytes) else pieces)
    scope = http_scope(path, method=method, key=key, headers=headers)
    async with gateway.running():
        begun = thread_time()
        with anyio.fail_after(5):
            await gateway(scope, sender.receive, sender.send)
        assert thread_time() - begun < 1
        assert (await chat(gateway)).status == 200
    answer = sender.answer
    assert answer.status == status, answer.body[:500]
    assert answer.complete
    error = answer.error
    assert list(answer.json) == ["error"]
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    assert error["message"] == error["message"].strip()
    assert CANARY not in answer.body.decode()
    assert len(answer.body) < 1000
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.headers["x-request-id"]
    *bad, good = sink.records
    assert (good.status, good.outcome) == (200, "ok")
    assert len(bad) == records
    for record in bad:
        assert (record.status, record.outcome) == (status, "error")
        assert record.error_type == (error["code"] or error["type"])
        assert record.request_id == answer.headers["x-request-id"]
        assert record.attempts == ()
        assert (record.usage_source, record.input_tokens) == ("none", 0)
    return answer, sender


async def refuse(body: bytes | Sequence[bytes], param: str | None = None, **more: Any) -> Answer:
    """Send a body that is refused with 400."""
    answer, _ = await ask(body, status=400, **more)
    error = answer.error
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, None)
    return answer


def body_of(**members: object) -> bytes:
    messages = [{"role": "user", "content": CANARY}]
    return json.dumps({"model": "openai/gpt-test", "messages": messages} | members).encode()


def with_member(text: bytes) -> bytes:
    return body_of()[:-1] + b"," + text + b"}"


# Bodies that are no chat completion request.


class Bad(NamedTuple):
    """A body, and the path that its refusal names."""

    body: bytes
    param: str | None = None


MESSAGE = b'{"role":"user","content":"canary-e41c"}'
BODIES: dict[str, Bad] = {
    "nothing": Bad(b""),
    "spaces": Bad(b"  \n"),
    "text": Bad(b"canary-e41c"),
    "a form": Bad(b"model=canary-e41c&messages="),
    "null": Bad(b"null"),
    "a number": Bad(b"5"),
    "a string": Bad(b'"canary-e41c"'),
    "an array": Bad(b"[" + body_of() + b"]"),
    "cut short": Bad(body_of()[:-1]),
    "cut in a string": Bad(body_of()[:-20]),
    "two objects": Bad(body_of() + body_of()),
    "a comment": Bad(b"/* canary-e41c */" + body_of()),
    "single quotes": Bad(body_of().replace(b'"', b"'")),
    "a byte order mark": Bad(b"\xef\xbb\xbf" + body_of()),
    "UTF-16": Bad(body_of().decode().encode("utf-16")),
    "gzip": Bad(b"\x1f\x8b\x08\x00canary-e41c"),
    "NUL": Bad(b"\x00" * 1000),
    "no model": Bad(b'{"messages":[' + MESSAGE + b"]}", "model"),
    "no messages": Bad(b'{"model":"canary-e41c"}', "messages"),
    "empty messages": Bad(body_of(messages=[]), "messages"),
    "wrong role": Bad(body_of(messages=[{"role": CANARY, "content": "x"}]), "messages[0].role"),
    "no content": Bad(body_of(messages=[{"role": "user", "name": CANARY}]), "messages[0].content"),
    "wrong part": Bad(
        body_of(messages=[{"role": "user", "content": [{"text": CANARY}]}]),
        "messages[0].content[0].type",
    ),
    "too hot": Bad(body_of(temperature=2.5), "temperature"),
    "a model without end": Bad(body_of(model=CANARY * 200_000), "model"),
    "a wrong member of metadata": Bad(body_of(metadata={CANARY: 5}), "metadata"),
    "deep messages": Bad(b'{"model":"m","messages":' + b"[" * DEEP + b"]" * DEEP + b"}"),
    "deep content": Bad(
        b'{"model":"m","messages":[{"role":"user","content":' + b"[" * DEEP + b"]" * DEEP + b"}]}"
    ),
    "deep unknown arrays": Bad(with_member(b'"x":' + b"[" * DEEP + b"]" * DEEP)),
    "deep unknown objects": Bad(with_member(b'"x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP)),
    "deep and cut short": Bad(b"[" * DEEP),
    "deep metadata": Bad(with_member(b'"metadata":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}")),
    "NaN": Bad(with_member(b'"temperature":NaN')),
    "NaN in an unknown member": Bad(with_member(b'"x":[NaN]')),
    "Infinity": Bad(with_member(b'"x":Infinity')),
    "-Infinity": Bad(with_member(b'"temperature":-Infinity')),
    "1e400": Bad(with_member(b'"temperature":1e400')),
    "1e400 in an unknown member": Bad(with_member(b'"x":{"y":[-1e400]}')),
    "a number without end": Bad(with_member(b'"x":' + b"1" * 1_000_000)),
    "a fraction without end": Bad(with_member(b'"n":0.' + b"1" * 1_000_000), "n"),
    "a high surrogate": Bad(with_member(b'"x":"\\ud800"')),
    "a low surrogate": Bad(with_member(b'"user":"\\udc00"')),
    "surrogates in the wrong order": Bad(with_member(b'"x":"\\udc00\\ud800"')),
    "a surrogate as a key": Bad(with_member(b'"\\ud800":1')),
    "a raw surrogate": Bad(with_member(b'"x":"\xed\xa0\x80"')),
    "invalid UTF-8 in a message": Bad(body_of().replace(b"canary", b"\xff")),
    "invalid UTF-8 in a key": Bad(with_member(b'"\xff":1')),
    "invalid UTF-8 in an unknown member": Bad(with_member(b'"x":{"y":["\xc3\x28"]}')),
    "invalid UTF-8 in a nested key": Bad(with_member(b'"x":{"\xe2\x82":1}')),
    "overlong UTF-8": Bad(with_member(b'"x":"\xc0\x80"')),
    "a member twice": Bad(with_member(b'"model":"openai/gpt-test"')),
    "a member twice, escaped": Bad(with_member(b'"mess\\u0061ges":[]')),
    "an unknown member twice": Bad(with_member(b'"x":1,"x":1')),
    "a key of many quotes twice": Bad(
        with_member(b'"' + b'\\"' * 500_000 + b'":1,"' + b'\\"' * 500_000 + b'":1')
    ),
    "a role twice": Bad(
        b'{"model":"m","messages":[{"role":"user","content":"x","role":"system"}]}', "messages[0]"
    ),
    "a name twice": Bad(
        b'{"model":"m","messages":[{"role":"user","name":"a","content":"x","name":"b"}]}',
        "messages[0]",
    ),
    "metadata twice": Bad(with_member(b'"metadata":{"a":"1","a":"2"}'), "metadata"),
    "waystone twice": Bad(with_member(b'"metadata":{"waystone":"{}","waystone":"{}"}'), "metadata"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_bodies(name: str) -> None:
    await refuse(*BODIES[name])


@pytest.mark.parametrize("name", ["nothing", "cut short", "deep unknown arrays", "NaN", "no model"])
async def test_bodies_in_pieces_without_a_length(name: str) -> None:
    body, param = BODIES[name]
    size = max(1, len(body) // 50)
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    await refuse([b"", *pieces, b""], param)


@pytest.mark.parametrize("name", ["nothing", "null", "an array", "cut short", "NUL", "UTF-16"])
async def test_bodies_that_identify_nobody(name: str) -> None:
    answer = await refuse(BODIES[name].body, path="/identify", records=0)
    assert answer.error["param"] is None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", None),
        (b'{"user":5}', "user"),
        (b'{"user":"","group":"acme"}', "user"),
        (b'{"user":{"id":["canary-e41c"]}}', "user.id"),
        (b'{"user":"ann","canary-e41c":1}', None),
        (b'{"user":"ann","user":"bob"}', None),
        (b'{"user":' * DEEP, "user"),
        (b'{"user":{"id":"ann","metadata":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}}", None),
        (b'{"user":{"id":"ann","metadata":{"canary-e41c":1e400}}}', "user.metadata"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_identities_that_are_none(body: bytes, param: str | None) -> None:
    await refuse(body, param, path="/identify", records=0)


# Bodies that are too long, cut short by the caller, or coded.


async def test_a_body_over_the_limit() -> None:
    answer, _ = await ask(body_of(x="x" * LIMIT), status=413)
    assert answer.error["code"] == "request_too_large"
    assert str(LIMIT) in answer.error["message"]


async def test_a_body_over_the_limit_that_comes_slowly_is_not_read_to_its_end() -> None:
    _, sender = await ask([b"x" * PIECE] * 1000, status=413)
    assert sender.reads == LIMIT // PIECE + 1


async def test_a_body_over_the_limit_in_many_small_pieces() -> None:
    _, sender = await ask([b"x" * (LIMIT - 2), b"x", b"", b"x", b"x", b"x"], status=413)
    assert sender.reads == 5


@pytest.mark.parametrize("length", [b"%d" % (LIMIT + 1), b"9" * 30, b"9" * 10_000])
@pytest.mark.parametrize("path", [CHAT, "/identify"])
async def test_a_length_over_the_limit_is_refused_unread(length: bytes, path: str) -> None:
    headers = [(b"content-length", length)]
    records = 1 if path == CHAT else 0
    _, sender = await ask(b"", status=413, headers=headers, path=path, records=records)
    assert sender.reads == 0


async def test_a_coded_body_is_refused_unread() -> None:
    for coding in (b"gzip", b"br", b"deflate, gzip"):
        headers = [(b"content-encoding", coding)]
        _, sender = await ask(b"\x1f\x8b", status=400, headers=headers)
        assert sender.reads == 0


@pytest.mark.parametrize("pieces", [[], [b""], [body_of()[:20]], [body_of()], [b"x" * PIECE] * 3])
@pytest.mark.parametrize("path", [CHAT, "/identify"])
async def test_a_caller_who_leaves_before_the_end_of_the_body(
    pieces: list[bytes], path: str
) -> None:
    gateway, sink = make()
    sender = Sender(pieces, cut=True)
    async with gateway.running():
        with anyio.fail_after(5):
            await gateway(http_scope(path), sender.receive, sender.send)
        assert (await chat(gateway)).status == 200
    assert sender.answer.messages == []
    *bad, good = sink.records
    assert good.outcome == "ok"
    seen = [(record.status, record.outcome, record.error_type) for record in bad]
    assert seen == ([(499, "cancelled", None)] if path == CHAT else [])


async def test_a_body_as_long_as_the_limit_passes() -> None:
    gateway, sink = make()
    short = body_of(x="")
    sender = Sender([body_of(x="x" * (LIMIT - len(short)))])
    async with gateway.running():
        headers = [(b"content-length", b"%d" % LIMIT)]
        await gateway(http_scope(CHAT, headers=headers), sender.receive, sender.send)
    assert sender.answer.status == 200
    assert [record.status for record in sink.records] == [200]


# Heads.


CREDENTIALS: dict[str, Headers] = {
    "none": [],
    "empty": [(b"authorization", b"")],
    "no token": [(b"authorization", b"Bearer ")],
    "another token": [(b"authorization", b"Bearer canary-e41c")],
    "another scheme": [(b"authorization", b"Basic " + KEY.encode())],
    "no scheme": [(b"authorization", KEY.encode())],
    "twice": [(b"authorization", b"Bearer " + KEY.encode())] * 2,
    "two of them": [
        (b"authorization", b"Bearer " + KEY.encode()),
        (b"authorization", b"Bearer canary-e41c"),
    ],
    "no text": [(b"authorization", b"Bearer \xff\xfe\x00")],
    "64 KiB": [(b"authorization", b"Bearer " + b"canary-e41c" * 6000)],
    "in another header": [(b"x-api-key", KEY.encode())],
    "in a cookie": [(b"cookie", b"authorization=Bearer " + KEY.encode())],
}


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize(
    ("path", "method"), [(CHAT, "POST"), ("/identify", "POST"), ("/v1/models", "GET")]
)
async def test_credentials(name: str, path: str, method: str) -> None:
    answer, sender = await ask(
        b"[" * DEEP,
        status=401,
        key=None,
        headers=CREDENTIALS[name],
        path=path,
        method=method,
        records=0,
    )
    assert sender.reads == 0
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.error
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert KEY not in answer.body.decode()


@pytest.mark.parametrize(
    "given",
    [
        *(b"", b" ", b"a b", b"a\r\nset-cookie: x=y", b"a\x00b", b"\xff\xfe", b'"><script>'),
        *(b"x" * 129, b"canary-e41c" * 6000),
    ],
    ids=lambda given: repr(given[:20]),
)
async def test_request_ids_that_are_not_taken_over(given: bytes) -> None:
    answer = await refuse(b"", headers=[(b"x-request-id", given)])
    assert re.fullmatch("req_[0-9a-f]{24}", answer.headers["x-request-id"])


async def test_long_and_many_headers_cost_nothing() -> None:
    headers = [
        (b"x-long", b"canary-e41c" * 6000),
        (b"canary-e41c" * 6000, b"x"),
        (b"cookie", b"\xff" * 65536),
        *((b"x-%d" % number, b"canary-e41c") for number in range(10_000)),
        (b"content-length", b"canary-e41c"),
    ]
    await refuse(b"", headers=headers)


@pytest.mark.parametrize("name", [b"x-long", b"cookie", b"content-type", b"x-request-id"])
async def test_a_header_that_is_too_long_is_refused(name: bytes) -> None:
    answer = await refuse(body_of(), headers=[(name, b"canary-e41c" * 6000)])
    assert answer.error["message"] == "The request's headers are too long."


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/v1", "/v1/", "/v1/chat", "/v1/chat/completions/", "//v1/chat/completions"),
        *("/v1/Chat/Completions", "/v1/completions", "/v1/chat/completions/canary-e41c", "/docs"),
        *("/v1/chat/completions\x00", "/v1/chat/../models", "/\udcff", "/é", "/" + "x" * 65536),
        *("/api/gateway/v1/chat/completions", "/identify/", "/health/", "/.env"),
    ],
    ids=lambda path: ascii(path[:40]),
)
@pytest.mark.parametrize("key", [KEY, None])
async def test_paths_that_lead_nowhere(path: str, key: str | None) -> None:
    gateway, sink = make()
    scope = {**http_scope("/", key=key), "path": path}
    sender = Sender([body_of()])
    async with gateway.running():
        await gateway(scope, sender.receive, sender.send)
    assert sender.reads == 0
    assert sender.answer.status == 404
    assert sender.answer.error["type"] == "invalid_request_error"
    assert sender.answer.error["code"] is None
    assert CANARY not in sender.answer.body.decode()
    assert sink.records == []


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (CHAT, "POST"),
        ("/identify", "POST"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/openai/gpt-test", "GET, HEAD"),
        ("/health", "GET, HEAD"),
        ("/ready", "GET, HEAD"),
    ],
)
async def test_methods_that_are_not_taken(path: str, allow: str) -> None:
    for method in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "post", "CANARY"} - {
        *allow.split(", ")
    }:
        answer, sender = await ask(body_of(), status=405, path=path, method=method, records=0)
        assert answer.headers["allow"] == allow
        assert answer.error["type"] == "invalid_request_error"
        assert sender.reads == 0


async def test_a_head_of_a_path_for_posts_is_not_taken() -> None:
    await ask(b"", status=405, method="HEAD", records=0)


# What is well-formed and still not possible.


async def test_a_bare_name_of_several_providers() -> None:
    answer, _ = await ask(body_of(model="both"), status=400)
    error = answer.error
    assert (error["code"], error["param"]) == ("ambiguous_model", "model")
    assert "openai/both, groq/both" in error["message"]


@pytest.mark.parametrize("model", ["unknown", "openai/unknown", "unknown/gpt-test", "é/\n", "/"])
async def test_a_model_that_nobody_has(model: str) -> None:
    answer, _ = await ask(body_of(model=model), status=404)
    error = answer.error
    assert (error["type"], error["code"]) == ("invalid_request_error", "model_not_found")
    assert error["param"] == "model"


@pytest.mark.parametrize(
    ("key", "members", "param"),
    [
        ("wk_elsewhere", {}, None),
        (PINNED, {}, None),
        (PINNED, {"metadata": {"waystone": '{"user":"canary-e41c"}'}}, "metadata.waystone"),
        (PINNED, {"metadata": {"waystone": '{"group":{"id":"canary-e41c"}}'}}, "metadata.waystone"),
    ],
)
async def test_what_a_key_may_not_do(
    key: str, members: dict[str, object], param: str | None
) -> None:
    answer, _ = await ask(body_of(**members), status=403, key=key)
    error = answer.error
    assert (error["type"], error["code"], error["param"]) == ("permission_error", None, param)


WAYSTONE: dict[str, object] = {
    "no string": {"user": CANARY},
    "a number": 5,
    "null": None,
    "an array": [CANARY],
    "empty": "",
    "not JSON": CANARY,
    "a JSON string": '"canary-e41c"',
    "a JSON number": "5",
    "JSON null": "null",
    "a JSON array": '[{"user":"canary-e41c"}]',
    "cut short": '{"user":"canary-e41c"',
    "single quotes": "{'user':'canary-e41c'}",
    "a number for an id": '{"user":5}',
    "null for an id": '{"user":null}',
    "a number for a nested id": '{"group":{"id":5}}',
    "no id": '{"user":{"metadata":{"canary-e41c":1}}}',
    "an empty id": '{"user":""}',
    "an empty nested id": '{"user":"ann","group":{"id":""}}',
    "a long id": '{"user":"%s"}' % ("x" * 257),
    "an endless id": '{"user":"%s"}' % ("x" * 1_000_000),
    "an array for an id": '{"user":["canary-e41c"]}',
    "an unknown member": '{"user":"ann","canary-e41c":1}',
    "an unknown nested member": '{"user":{"id":"ann","canary-e41c":1}}',
    "metadata of another kind": '{"user":{"id":"ann","metadata":["canary-e41c"]}}',
    "null for metadata": '{"user":{"id":"ann","metadata":null}}',
    "a user twice": '{"user":"ann","user":"canary-e41c"}',
    "an id twice": '{"user":{"id":"ann","id":"canary-e41c"}}',
    "a lone surrogate": '{"user":"\\ud800"}',
    "NaN": '{"user":{"id":"ann","metadata":{"a":NaN}}}',
    "1e400": '{"user":{"id":"ann","metadata":{"a":1e400}}}',
    "deep arrays": "[" * DEEP,
    "deep objects": '{"user":' * DEEP,
    "deep metadata": '{"user":{"id":"ann","metadata":{"a":' + "[" * DEEP + "]" * DEEP + "}}}",
    "a byte order mark": '\ufeff{"user":"ann"}',
}


@pytest.mark.parametrize("name", WAYSTONE)
async def test_waystone_documents(name: str) -> None:
    body = body_of(metadata={"other": "x", "waystone": WAYSTONE[name]})
    await refuse(body, "metadata.waystone")


async def test_a_surrogate_that_is_escaped_twice() -> None:
    """Lone in the inner document only, where the outer one is right."""
    await refuse(
        with_member(rb'"metadata":{"waystone":"{\"user\":\"\\ud800\"}"}'), "metadata.waystone"
    )
