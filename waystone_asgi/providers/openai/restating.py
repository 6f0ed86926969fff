"""Answers of vendors in OpenAI's words: the reasoning, why it ended, the place of each call.

In: a whole answer, or an event's data, and the vendor's quirks. Out: the same with what OpenAI's
clients look for; what the vendor wrote stays, save for content in parts, which becomes text.
"""

from __future__ import annotations

from ...wire.chat import ITEMS
from ...wire.conversations import ReasoningDetail
from ...wire.members import MALFORMED, Buffer, Path, encode, rewrite
from ...wire.vendors import ANSWER, PARTS, VendorChoice, VendorMessage, VendorPart
from ..presets import Quirks

_NULL, _TEXT, _KEY = b"null", b'"', b'"reasoning"'
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
        return any(marker in data for marker in self._markers)

    def restate(self, document: bytes) -> bytes:
        """The answer or event in OpenAI's words; what is neither comes back as it is."""
        try:
            choices = ANSWER.decode(document).choices or ()
            if len(choices) == 1 and (quick := self._insert(document, choices[0])):
                return quick
            changes: dict[Path, Buffer | None] = {}
            for position, choice in enumerate(choices):
                self._choice(choice, ("choices", position), changes)
            return rewrite(document, changes) if changes else document
        except MALFORMED:
            return document

    def _insert(self, document: bytes, choice: VendorChoice) -> bytes | None:
        """The most frequent change, where the member is plain to see: its copy behind it."""
        said = choice.delta
        if self._quirks.reasoning != "reasoning" or said is None or said.tool_calls:
            return None
        told = bytes(said.reasoning)
        member = b'"reasoning":' + told
        if (
            not told.startswith(_TEXT)
            or said.reasoning_content
            or choice.finish_reason is not None
            or document.count(_KEY) != 1
            or document.count(member) != 1
        ):
            return None
        return document.replace(member, b'%b,"reasoning_content":%b' % (member, told))

    def _choice(self, choice: VendorChoice, path: Path, changes: dict[Path, Buffer | None]) -> None:
        reason = choice.finish_reason
        if isinstance(reason, str) and reason in self._quirks.finish_reasons:
            changes[(*path, "finish_reason")] = encode(self._quirks.finish_reasons[reason])
        if choice.message is not None:
            self._message(choice.message, (*path, "message"), changes)
        elif choice.delta is not None:
            self._message(choice.delta, (*path, "delta"), changes)
            if not self._quirks.counts_calls:
                self._count(choice, path, changes)

    def _message(self, said: VendorMessage, path: Path, changes: dict[Path, Buffer | None]) -> None:
        if said.reasoning_content:
            return
        if bytes(said.reasoning).startswith(_TEXT):
            changes[(*path, "reasoning_content")] = said.reasoning
        if self._quirks.reasoning == "content" and bytes(said.content).startswith(b"["):
            _restate_parts(said.content, path, changes)

    def _count(self, choice: VendorChoice, path: Path, changes: dict[Path, Buffer | None]) -> None:
        """Give each call its place; one that has it is counted, too."""
        calls = choice.delta.tool_calls if choice.delta is not None else None
        for position, call in enumerate(calls or ()):
            index = call.index
            if index is None:
                index = self._calls.get(choice.index, 0)
                changes[(*path, "delta", "tool_calls", position, "index")] = b"%d" % index
            self._calls[choice.index] = max(self._calls.get(choice.index, 0), index + 1)


def _markers(quirks: Quirks) -> tuple[bytes, ...]:
    markers = [b'"%b"' % reason.encode() for reason in quirks.finish_reasons]
    if quirks.reasoning == "reasoning":
        markers.append(_KEY)
    if quirks.reasoning == "content":
        markers.append(b'"type"')
    if not quirks.counts_calls:
        markers.append(b'"tool_calls"')
    return tuple(markers)


def _restate_parts(content: Buffer, path: Path, changes: dict[Path, Buffer | None]) -> None:
    """The text of the content, its reasoning beside it, and where they belong all other parts."""
    parts = PARTS.decode(content)
    texts = [part.text for part in parts if part.type == "text"]
    thoughts = [part for part in parts if part.type == "thinking"]
    changes[(*path, "content")] = encode("".join(texts)) if texts or not thoughts else _NULL
    if thoughts:
        changes[(*path, "reasoning_content")] = encode("".join(map(_thought, thoughts)))
    details = [_detail(part) for part in thoughts if part.signature]
    if details:
        changes[(*path, "reasoning_details")] = encode(details)
    if len(texts) + len(thoughts) < len(parts):
        kept = [
            raw
            for raw, part in zip(ITEMS.decode(content), parts, strict=True)
            if part.type not in ("text", "thinking")
        ]
        changes[(*path, "extra_content")] = encode({"mistral": {"content": kept}})


def _thought(part: VendorPart) -> str:
    thinking = part.thinking
    return thinking if isinstance(thinking, str) else "".join([piece.text for piece in thinking])


def _detail(part: VendorPart) -> ReasoningDetail:
    return ReasoningDetail(
        "reasoning.text", _thought(part), signature=part.signature, format=_FORMAT, index=0
    )
