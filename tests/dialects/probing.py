"""How probes are made: a request with one feature, and the same without it.

In: the feature, and where it stands in OpenAI's form, so that it can be looked for there in what a
provider is sent. Out: a `Probe`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

JSON: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str | int, ...]

PARAMETERS = "Parameters"
TOOLS = "Tools"
MESSAGES = "Messages and their parts"
OWN = "Members of providers' own"

HELLO: JSON = {"role": "user", "content": "Hello."}
TOLD: JSON = {"role": "assistant", "content": "Well."}
MORE: JSON = {"role": "user", "content": "Go on."}


class Probe(NamedTuple):
    """A request that has the feature, the same without, and where the feature stands in it."""

    group: str
    feature: str
    asked: JSON
    plain: JSON
    place: Place


def request(messages: list[JSON], **members: Any) -> JSON:
    """A request with these messages."""
    return {"model": "provider/model", "messages": messages, **members}


def member(
    name: str, value: Any, beside: JSON | None = None, *, group: str = PARAMETERS, told: str = ""
) -> Probe:
    """A member of the request, which may need others `beside` it."""
    plain = request([HELLO], **beside or {})
    return Probe(group, told or f"`{name}`", plain | {name: value}, plain, (name,))


def whole_message(feature: str, index: int, *messages: JSON, **members: Any) -> Probe:
    """The message at the index, among others."""
    plain = [message for at, message in enumerate(messages) if at != index]
    asked = request(list(messages), **members)
    return Probe(MESSAGES, feature, asked, request(plain, **members), ("messages", index))


def in_message(
    feature: str, plain: list[JSON], *place: str | int, value: Any, **members: Any
) -> Probe:
    """A member of the message at `place`, or of something in it."""
    asked = [*plain]
    at = place[0]
    assert isinstance(at, int)
    asked[at] = put(plain[at], place[1:], value)
    with_it, without = request(asked, **members), request(plain, **members)
    return Probe(MESSAGES, feature, with_it, without, ("messages", *place))


def put(inner: Any, place: Place, value: Any) -> Any:
    """The same with a value at the place, which may be behind the last item of a list."""
    if not place:
        return value
    step, *rest = place
    if isinstance(inner, list):
        assert isinstance(step, int)
        after = inner[step] if step < len(inner) else None
        return [*inner[:step], put(after, tuple(rest), value), *inner[step + 1 :]]
    return {**inner, step: put(inner.get(step), tuple(rest), value)}


def whole_part(feature: str, part: JSON, role: str = "user", **members: Any) -> Probe:
    """A content part behind a text."""
    text = {"type": "text", "text": "See here."}
    before: list[JSON] = [HELLO] if role == "assistant" else []
    after: list[JSON] = [MORE] if role == "assistant" else []
    plain = [*before, {"role": role, "content": [text]}, *after]
    return in_message(feature, plain, len(before), "content", 1, value=part, **members)


def in_part(feature: str, part: JSON, *place: str, value: Any) -> Probe:
    """A member of a content part."""
    plain = [{"role": "user", "content": [{"type": "text", "text": "See here."}, part]}]
    return in_message(feature, plain, 0, "content", 1, *place, value=value)
