"""Where the words of an answer stand: in a message, or in the delta of a streamed one.

In: a choice, decoded. Out: its texts, and the changes that put others in their place. Providers
repeat a text in members of their own (Perplexity the whole message beside each delta, Together the
delta as `text`, OpenRouter the reasoning in parts), so a choice with another text than the model's
keeps only the members that are known here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from msgspec import Struct

from .chat import Said
from .members import Buffer, Path, encode

if TYPE_CHECKING:
    from ..verdicts import Part

JSONObject: TypeAlias = Mapping[str, Any]

_NAMED: dict[str, Part] = {
    "content": "content",
    "refusal": "refusal",
    "reasoning_content": "reasoning",
    "reasoning": "reasoning",
}
# Members that tell a text again, unless they say something else, and whose.
_AGAIN = {"contents": "content", "reasoning_details": "reasoning"}
_CALLED = (("function", "arguments"), ("custom", "input"))
_IN_PARTS = ("text", "thinking", "summary", "refusal")

_CHOICE = {"index", "finish_reason", "logprobs", "created"}
_MESSAGE = {"role", "annotations", "audio", "tool_calls", "function_call", *_NAMED, *_AGAIN}


class Text(Said, Struct, frozen=True, gc=False):
    """One text, not empty. `path` leads from the message to where another is written.

    `name` and `number` are the same in each delta that goes on with it, and no other `id` than the
    first delta's comes: Gemini gives every call of an answer the number 0.
    """

    part: Part
    name: str
    number: int
    path: Path
    text: str
    id: str = ""


def spoken(value: object) -> str:
    """The text of a string, or of parts: Mistral's reasoning models nest them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join([spoken(item) for item in value])
    if isinstance(value, dict):
        return "".join([spoken(value[name]) for name in _IN_PARTS if name in value])
    return ""


def texts(message: object) -> list[Text]:
    """Every text of a message or a delta."""
    if not isinstance(message, dict):
        return []
    found = [
        Text(part, name, 0, (name,), spoken(message[name]))
        for name, part in _NAMED.items()
        if name in message
    ]
    for again, name in _AGAIN.items():
        if again in message and spoken(message[again]) != spoken(message.get(name)):
            found.append(Text(_NAMED[name], again, 0, (again,), spoken(message[again])))
    if isinstance(audio := message.get("audio"), dict):
        heard = spoken(audio.get("transcript"))
        found.append(Text("transcript", "audio", 0, ("audio", "transcript"), heard))
    if "tool_calls" in message or "function_call" in message:
        found += _called(message)
    return [text for text in found if text.text]


def changed(
    choice: JSONObject, member: str, new: Mapping[Path, str], parts: Collection[Part]
) -> dict[Path, Buffer | None]:
    """The changes to a choice, some `parts` of which are not the model's.

    `new` has the texts to write into its `member`, which is `message` or `delta`.
    """
    value = choice.get(member)
    message: JSONObject = value if isinstance(value, dict) else {}
    kept = _MESSAGE - {"reasoning_details"} if "reasoning" in parts else _MESSAGE
    changes: dict[Path, Buffer | None] = {(member, *path): encode(new[path]) for path in new}
    if ("content",) in new and _repeats(message, "contents"):
        changes[member, "contents"] = encode(new["content",])
    if (
        "transcript" in parts
        and isinstance(audio := message.get("audio"), dict)
        and "data" in audio
    ):
        changes[member, "audio", "data"] = b'""'
    if choice.get("logprobs") is not None:
        changes["logprobs",] = b"null"
    changes |= {(name,): None for name in choice if name not in _CHOICE and name != member}
    changes |= {(member, name): None for name in message if name not in kept}
    return changes


def is_emptied(choice: JSONObject, changes: Mapping[Path, Buffer | None]) -> bool:
    """Whether a streamed choice says nothing any more once it is changed so."""
    delta = choice.get("delta")
    return (
        choice.get("finish_reason") is None
        and isinstance(delta, dict)
        and all(
            name == "role" or not value or changes.get(("delta", name), value) in (None, b'""')
            for name, value in delta.items()
        )
    )


def _repeats(message: JSONObject, again: str) -> bool:
    """Whether the member is there and tells the text of another one again."""
    return again in message and spoken(message[again]) == spoken(message.get(_AGAIN[again]))


def _called(message: JSONObject) -> Iterator[Text]:
    """The arguments of each call, whole or a piece of them."""
    call = message.get("function_call")
    path: Path = ("function_call", "arguments")
    yield Text("arguments", "function_call", 0, path, _written(call, "arguments"))
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            continue
        index, id = call.get("index"), call.get("id")
        number = index if isinstance(index, int) else position
        for kind, name in _CALLED:
            path, text = ("tool_calls", position, kind, name), _written(call.get(kind), name)
            yield Text("arguments", name, number, path, text, id if isinstance(id, str) else "")


def _written(call: object, name: str) -> str:
    """Arguments as they are written; where they are no string, as JSON."""
    value = call.get(name) if isinstance(call, dict) else None
    return value if isinstance(value, str) else "" if value is None else encode(value).decode()
