"""Answers of vendors in OpenAI's words: the reasoning, why it ended, the place of each call.

In: a whole answer, or an event's data, and the vendor's quirks. Out: the same with what OpenAI's
clients look for; what the vendor wrote stays, save for content in parts, which becomes text.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Raw

from ...wire.chat import ITEMS
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED, Buffer, Path, encode, rewrite
from ...wire.vendors import ANSWER, PARTS, VendorCall, VendorChoice, VendorMessage, VendorPart
from ..forms import Quirks

_NULL, _TEXT, _SPACE = b"null", b'"', b" \t\r\n"
_NOTHING = Raw(_NULL)
_FORMAT = "mistral-v1"


class Restatement:
    """Restates one answer, or all events of one stream, whose tool calls it counts."""

    __slots__ = ("_calls", "_markers", "_quirks")

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._calls: dict[int, int] = {}
        self._markers = _markers(quirks)

    def concerns(self, data: bytes) -> bool:
        """Whether there may be something to restate; most events say nothing of the kind."""
        for marker in self._markers:  # noqa: SIM110 - `any` costs more than the search
            if marker in data:
                return True
        return False

    def restate(self, document: bytes) -> bytes:
        """The answer or event in OpenAI's words; what is neither comes back as it is."""
        try:
            choices = ANSWER.decode(document).choices or ()
            if len(choices) == 1 and (quick := self._insert(document, choices[0])) is not None:
                return quick
            changes: dict[Path, Buffer | None] = {}
            for position, choice in enumerate(choices):
                self._choice(choice, ("choices", position), changes)
            return rewrite(document, changes) if changes else document
        except MALFORMED:
            return document

    def _insert(self, document: bytes, choice: VendorChoice) -> bytes | None:
        """The same for one choice, where only a message changes and its key is plain to see."""
        said = choice.message or choice.delta
        counted = choice.delta is not None and not self._quirks.counts_calls
        if said is None or self._reason(choice) is not None or (counted and said.tool_calls):
            return None
        if said.reasoning_content:  # It may be null, and is then to be replaced.
            return None
        told = self._told(said)
        if not told:
            return document
        name = "content" if "content" in told else "reasoning"
        key, value = b'"%b"' % name.encode(), bytes(getattr(said, name))
        at = document.find(key)
        start = document.find(value, at + len(key))
        if document.count(key) != 1 or document[at + len(key) : start].strip(_SPACE) != b":":
            return None
        new = told.pop(name, value)
        others = [b',"%b":%b' % (other.encode(), text) for other, text in told.items()]
        return b"".join((document[:start], new, *others, document[start + len(value) :]))

    def _choice(self, choice: VendorChoice, path: Path, changes: dict[Path, Buffer | None]) -> None:
        if (reason := self._reason(choice)) is not None:
            changes[(*path, "finish_reason")] = encode(reason)
        for key, said in (("message", choice.message), ("delta", choice.delta)):
            if said is not None:
                changes |= {(*path, key, name): new for name, new in self._told(said).items()}
        if choice.delta is not None and not self._quirks.counts_calls:
            self._count(choice, choice.delta.tool_calls or (), path, changes)

    def _reason(self, choice: VendorChoice) -> str | None:
        """OpenAI's word for why the choice ended, where the vendor has its own."""
        reason = choice.finish_reason
        return self._quirks.finish_reasons.get(reason) if isinstance(reason, str) else None

    def _told(self, said: VendorMessage) -> dict[str, Buffer]:
        """The members of a message that are new, or told otherwise."""
        if said.reasoning_content and said.reasoning_content != _NOTHING:
            return {}
        if bytes(said.reasoning).startswith(_TEXT):
            return {"reasoning_content": said.reasoning}
        if self._quirks.reasoning == "content" and bytes(said.content).startswith(b"["):
            return _told_in_parts(said.content)
        return {}

    def _count(
        self,
        choice: VendorChoice,
        calls: Iterable[VendorCall],
        path: Path,
        changes: dict[Path, Buffer | None],
    ) -> None:
        """Give each call its place; one that has it is counted, too."""
        for position, call in enumerate(calls):
            index = call.index
            if index is None:
                index = self._calls.get(choice.index, 0)
                changes[(*path, "delta", "tool_calls", position, "index")] = b"%d" % index
            self._calls[choice.index] = max(self._calls.get(choice.index, 0), index + 1)


def _markers(quirks: Quirks) -> tuple[bytes, ...]:
    markers = [b'"%b"' % reason.encode() for reason in quirks.finish_reasons]
    if quirks.reasoning == "reasoning":
        markers.append(b'"reasoning"')
    if quirks.reasoning == "content":
        markers.append(b'"type"')
    if not quirks.counts_calls:
        markers.append(b'"tool_calls"')
    return tuple(markers)


def _told_in_parts(content: Buffer) -> dict[str, Buffer]:
    """The text of the content, its reasoning beside it, and where they belong all other parts."""
    parts = PARTS.decode(content)
    texts = [part.text for part in parts if part.type == "text"]
    thoughts = [part for part in parts if part.type == "thinking"]
    told: dict[str, Buffer] = {
        "content": encode("".join(texts)) if texts or not thoughts else _NULL
    }
    if thoughts:
        told["reasoning_content"] = encode("".join(map(_thought, thoughts)))
    details = [_detail(part) for part in thoughts if part.signature]
    if details:
        told["reasoning_details"] = encode(details)
    if len(texts) + len(thoughts) < len(parts):
        kept = [
            raw
            for raw, part in zip(ITEMS.decode(content), parts, strict=True)
            if part.type not in ("text", "thinking")
        ]
        told["extra_content"] = encode({"mistral": {"content": kept}})
    return told


def _thought(part: VendorPart) -> str:
    thinking = part.thinking
    return thinking if isinstance(thinking, str) else "".join([piece.text for piece in thinking])


def _detail(part: VendorPart) -> ReasoningDetail:
    return ReasoningDetail(
        "reasoning.text", _thought(part), signature=part.signature, format=_FORMAT, index=0
    )
