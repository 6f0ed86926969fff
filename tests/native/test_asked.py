"""What the official client asks for, as it reaches providers that speak another dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from waystone_asgi.testing import FakeProvider

from .oracles import accept
from .scripts import SCRIPTS, Script
from .through import ABANDONED, JSON, Through, played, provider

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings(ABANDONED)]

NAMES = list(SCRIPTS)
PIXEL = "R0lGODlhAQABAAAAACwAAAAAAQABAAA="
PDF = "JVBERi0xLjQKJcOkw7zDtsOfCg=="
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {"name": name, "description": "Looks.", "parameters": PARAMETERS},
    }
    for name in ("get_weather", "get_time")
]
SCHEMA = {"name": "answer", "schema": PARAMETERS, "strict": True}


def saying(*parts: JSON) -> list[Any]:
    return [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, *parts]}]


def calling() -> list[Any]:
    """Two calls at once, and their results."""
    calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": tool["function"]["name"], "arguments": '{"city": "Bern"}'},
        }
        for number, tool in enumerate(TOOLS)
    ]
    return [
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "call_0", "content": "rainy-7f3a"},
        {"role": "tool", "tool_call_id": "call_1", "content": "seven-7f3a"},
    ]


class Feature(NamedTuple):
    """A request, what of it must be found in the body, and who refuses or drops it."""

    members: JSON
    seen: tuple[Any, ...]
    refused: tuple[str, ...] = ()
    dropped: Mapping[str, str] = {}


FEATURES = {
    "image": Feature(
        {
            "messages": saying(
                {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{PIXEL}"}}
            )
        },
        (PIXEL,),
    ),
    "file": Feature(
        {
            "messages": saying(
                {
                    "type": "file",
                    "file": {
                        "filename": "report.pdf",
                        "file_data": f"data:application/pdf;base64,{PDF}",
                    },
                }
            )
        },
        (PDF,),
        refused=("cohere", "ollama"),
        dropped=dict.fromkeys(("gemini", "gemini on vertex"), "messages[].content[].file.filename"),
    ),
    "image at a URL": Feature(
        {
            "messages": saying(
                {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
            )
        },
        ("https://a.example/b.png",),
        refused=("claude on vertex", "bedrock", "ollama"),
    ),
    "schema": Feature(
        {"response_format": {"type": "json_schema", "json_schema": SCHEMA}}, (PARAMETERS,)
    ),
    "tools": Feature(
        {"tools": TOOLS, "tool_choice": "auto"}, ("get_weather", "get_time", PARAMETERS)
    ),
    "tool choice": Feature(
        {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "get_time"}}},
        ("get_time",),
        dropped={"ollama": "tool_choice"},
    ),
    "parallel calls": Feature(
        {"messages": calling(), "tools": TOOLS}, ("rainy-7f3a", "seven-7f3a", "Bern")
    ),
    "stop": Feature({"stop": ["HALT"]}, ("HALT",)),
    "max_tokens": Feature({"max_tokens": 1234}, (1234,)),
    "max_completion_tokens": Feature({"max_completion_tokens": 1234}, (1234,)),
    "system": Feature(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": "Hi"},
            ]
        },
        ("Be brief.",),
    ),
    "strings for parts": Feature(
        {"messages": [{"role": "user", "content": ["one-7f3a", "two-7f3a"]}]},
        ("one-7f3a", "two-7f3a"),
    ),
}


def behind(*scripts: Script, **settings: Any) -> Through:
    """A gateway before the providers of these scripts, of which the last one answers."""
    last = scripts[-1]
    answer = played([last.whole(last.said, last.stopped)], {"content-type": "application/json"})
    return Through(FakeProvider(answer), *(provider(script.type) for script in scripts), **settings)


def asking(script: Script, **members: Any) -> JSON:
    hello = [{"role": "user", "content": "Hi"}]
    return {"model": f"{script.type}/{script.model}", "messages": hello, **members}


def inside(wanted: Any, document: Any) -> bool:
    """Whether something stands anywhere in a document; a string also within another one."""
    if document == wanted or (isinstance(wanted, str) and wanted in str(document)):
        return True
    if isinstance(document, str) and document.startswith("{"):
        return inside(wanted, json.loads(document))
    if isinstance(document, dict):
        return any(inside(wanted, value) for value in document.values())
    return isinstance(document, list) and any(inside(wanted, item) for item in document)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feature", FEATURES)
async def test_a_feature_is_told_or_refused(feature: str, name: str) -> None:
    members, seen, refused, dropped = FEATURES[feature]
    script = SCRIPTS[name]
    through = behind(script)
    got = await through.ask(asking(script, **members))
    if name in refused:
        assert (got.status, got.fault["type"]) == (400, "invalid_request_error")
        assert got.fault["param"].startswith("messages[0].content[1]")
        assert got.fault["param"] in got.fault["message"]
        assert through.requests == []
        assert (through.record.outcome, through.record.attempts) == ("error", ())
        return
    assert got.message["content"] == "Hello there."
    accept(script, through.sent)
    assert [wanted for wanted in seen if not inside(wanted, through.sent)] == []
    assert got.dropped == ([dropped[name]] if name in dropped else [])


@pytest.mark.parametrize("name", NAMES)
async def test_effort_makes_a_difference(name: str) -> None:
    script = SCRIPTS[name]
    bodies = []
    for effort in ("low", "high", None):
        through = behind(script)
        asked = asking(script, max_tokens=8000, reasoning_effort=effort)
        got = await through.ask({name: value for name, value in asked.items() if value is not None})
        assert got.dropped == []
        accept(script, through.sent)
        bodies.append(json.dumps(through.sent))
    assert len(set(bodies)) == 3


LOST = {"logit_bias": {"50256": -100}, "no_such_member": 1}


@pytest.mark.parametrize("name", NAMES)
async def test_what_is_dropped_is_named(name: str) -> None:
    script = SCRIPTS[name]
    through = behind(script)
    messages = [{"role": "user", "content": "Hi", "name": "ann"}]
    got = await through.ask(asking(script, messages=messages, **LOST))
    assert got.message["content"] == "Hello there."
    assert set(got.dropped) == {*LOST, "messages[].name"}
    assert "no_such_member" not in json.dumps(through.sent)
    accept(script, through.sent)


STRICT: dict[str, tuple[JSON, JSON, bool]] = {
    "a provider": ({"strict": True}, {}, True),
    "the gateway": ({}, {"strict": True}, True),
    "both": ({"strict": True}, {"strict": True}, True),
    "only the others": ({"strict": False}, {"strict": True}, False),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # It is refused before anything is sent.
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("who", STRICT)
@pytest.mark.parametrize("name", NAMES)
async def test_who_is_strict_refuses_it(name: str, who: str, stream: bool) -> None:
    script = SCRIPTS[name]
    own, settings, refuses = STRICT[who]
    kind = script.streams if stream else "application/json"
    events = script.events(script.said, script.stopped)
    pieces = events if stream else [script.whole(script.said, script.stopped)]
    through = Through(
        FakeProvider(played(pieces, {"content-type": kind})),
        provider(script.type, **own),
        **settings,
    )
    got = await through.ask(asking(script, stream=stream, **LOST))
    if not refuses:
        assert set(got.dropped) == set(LOST)
        return
    assert (got.status, got.fault["type"]) == (400, "invalid_request_error")
    assert got.fault["param"] in LOST
    assert all(member in got.fault["message"] for member in LOST)
    assert through.requests == []


@pytest.mark.parametrize("name", ["claude on vertex", "bedrock", "ollama"])
async def test_who_can_be_asked_is_asked_instead(name: str) -> None:
    first, second = SCRIPTS[name], SCRIPTS["anthropic"]
    models = [f"{script.type}/{script.model}" for script in (first, second)]
    through = behind(first, second, aliases={"smart": models})
    members = FEATURES["image at a URL"].members
    got = await through.ask({"model": "smart", **members})
    assert got.headers["x-waystone-provider"] == "anthropic"
    assert inside("https://a.example/b.png", through.sent)
    [attempt] = through.record.attempts
    assert (attempt.provider, through.record.outcome) == ("anthropic", "ok")


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("unknown", ["unknown_{}", "größe {}\r\n,", "x" * 5000 + "{}"])
async def test_what_is_said_of_it_is_bounded(unknown: str, strict: bool) -> None:
    script = SCRIPTS["gemini"]
    members = {unknown.format(number): 1 for number in range(1500)}
    through = behind(script, strict=strict)
    got = await through.ask(asking(script, **members))
    if strict:
        assert got.status == 400
        assert len(got.fault["message"] + got.fault["param"]) < 2000
        assert got.fault["message"].endswith("more.")
        return
    assert len(got.headers["x-waystone-dropped"]) <= 1000
    assert got.dropped[-1].endswith("more")
    assert got.dropped[0] in ("unknown_0", "gr%C3%B6%C3%9Fe%200%0D%0A%2C", f"{'x' * 60}...")


class City(BaseModel):
    city: str


@pytest.mark.parametrize("name", NAMES)
async def test_an_answer_with_a_schema_is_parsed(name: str) -> None:
    """The client's own way to ask for a type: the provider's is strict, too."""
    script = SCRIPTS[name]
    written = json.dumps(City(city="Bern").model_dump_json())[1:-1].encode()
    whole = script.whole(script.said, script.stopped).replace(b"Hello there.", written)
    through = Through(FakeProvider(played([whole], {})), provider(script.type, strict=True))
    async with through.opened() as ask:
        answer = await ask.client.chat.completions.parse(
            model=f"{script.type}/{script.model}",
            messages=[{"role": "user", "content": "Where?"}],
            response_format=City,
        )
    assert answer.choices[0].message.parsed == City(city="Bern")
    assert inside("city", through.sent)
    accept(script, through.sent)
