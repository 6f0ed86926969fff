"""Holds a stream back until the guards have seen it, a window of characters at a time.

In: whole events of OpenAI's form, as a decoder relays them. Out: the same bytes, once their texts
have passed, and one chunk with another text in the place of those with a text that a guard
replaced. What is held is bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from ..exceptions import InternalError
from ..sse import EventSplitter, encode_event, event_data
from ..verdicts import Part
from ..wire.chat import DOCUMENT, Said
from ..wire.members import MALFORMED, Buffer, Path, rewrite
from ..wire.texts import Text, changed, is_emptied, texts
from .check import REFUSED, Check

_BYTES_PER_CHARACTER = 2048
"""How much may be held for each character of the window: an event may have one, and log
probabilities."""

_FOR_A_SPACE = 5
"""A window is cut between two words if there is white space within a fifth of it more."""

_MAX_TEXTS = 4096

Key: TypeAlias = tuple[int, str, int, str]


class _Flow(Said, Struct):
    """One text of one choice: how much is held, how that ends, and the end of what was shown."""

    part: Part
    size: int = 0
    spaced: bool = False
    before: str = ""


class _Held(Said, Struct):
    """An event that waits: its data, its texts in order, and the choices that it speaks of."""

    event: bytes
    data: bytes
    texts: list[tuple[Key, str]]
    choices: set[int]
    finished: set[int]


class AnswerScreen:
    """The `Screen` of one streamed answer.

    Events of a choice wait until one of its texts has a window's length and a word ends there, or a
    fifth more, or until the choice finishes. The first ones wait even if they have no text, so that
    an answer that is blocked at once is a plain refusal. An event that speaks of several choices or
    of none keeps its place among all others.

    `started` turns true with the first event that is let through.
    """

    def __init__(self, check: Check) -> None:
        self.started = False
        self._check = check
        self._queue: list[_Held] = []
        self._size = 0
        self._most = check.window * _BYTES_PER_CHARACTER
        self._unseen = 0
        self._flows: dict[Key, _Flow] = {}
        self._ids: dict[tuple[int, str, int], str] = {}
        self._altered: dict[int, set[Part]] = {}
        self._ended = False

    async def feed(self, events: bytes) -> bytes:
        """The events to relay now. Raises as `Check.text` does; then nothing more is relayed."""
        if self._ended:
            return b""
        splitter = EventSplitter()
        whole = splitter.feed(events)
        if rest := splitter.flush():
            whole.append(rest)
        return b"".join([await self._take(event) for event in whole])

    async def finish(self) -> bytes:
        """What is still held, once its texts have passed. Raises as `feed` does."""
        if self._ended:
            return b""
        return await self._release({index for held in self._queue for index in held.choices})

    async def _take(self, event: bytes) -> bytes:
        data = event_data(event)
        if data is None:
            return event  # A comment keeps the connection alive and says nothing.
        if data == b"[DONE]":
            rest = await self.finish()
            self.started = True
            return rest + event
        try:
            held = self._read(event, data)
        except MALFORMED:
            raise InternalError(REFUSED) from None
        full = {key[0] for key, text in held.texts if self._ends_before(key, text)}
        shown = await self._release(full) if full else b""
        due = self._hold(held)
        if self._size > self._most or (self.started and not self._unseen):
            return shown + await self.finish()
        return shown + await self._release(due) if due else shown

    def _read(self, event: bytes, data: bytes) -> _Held:
        held = _Held(event, data, [], set(), set())
        for choice in DOCUMENT.decode(data).get("choices") or ():
            index = choice.get("index", 0)
            held.choices.add(index)
            if choice.get("finish_reason") is not None:
                held.finished.add(index)
            found = texts(choice.get("delta"))
            held.texts += [(self._key(index, text), text.text) for text in found]
        return held

    def _ends_before(self, key: Key, text: str) -> bool:
        """Whether the window is full and `text` begins another word."""
        flow = self._flows[key]
        return flow.size >= self._check.window and (flow.spaced or text[0].isspace())

    def _hold(self, held: _Held) -> set[int]:
        """Queue the event; the choices that are not to wait any longer."""
        due, window = set(held.finished), self._check.window
        for key, text in held.texts:
            flow = self._flows[key]
            flow.size += len(text)
            flow.spaced = text[-1].isspace()
            self._unseen += len(text)
            if flow.size >= window + (0 if flow.spaced else window // _FOR_A_SPACE):
                due.add(key[0])
        self._queue.append(held)
        self._size += len(held.event)
        return due

    def _key(self, index: int, text: Text) -> Key:
        """Which text of the answer it is, or goes on with."""
        place = (index, text.name, text.number)
        id = text.id or self._ids.get(place, "")
        self._ids[place] = id
        key = (*place, id)
        if key not in self._flows:
            if len(self._flows) == _MAX_TEXTS:
                raise InternalError("The answer has too many texts to be checked.")
            self._flows[key] = _Flow(text.part)
        return key

    async def _release(self, due: set[int]) -> bytes:
        """Check what is held of the choices, and take their events out of the queue."""
        if any(len(held.choices) != 1 for held in self._queue):
            due = {index for held in self._queue for index in held.choices}
        released = [held for held in self._queue if held.choices <= due]
        self._queue = [held for held in self._queue if not held.choices <= due]
        self._size = sum([len(held.event) for held in self._queue])
        self._ended = True  # Unless the guards say otherwise.
        new = await self._see(released)
        self._ended = False
        shown = b"".join([self._show(held, new) for held in released])
        self.started = self.started or bool(shown)
        return shown

    async def _see(self, released: Sequence[_Held]) -> dict[Key, str | None]:
        """Ask the guards about the texts of these events; those to be written instead."""
        found: dict[Key, list[str]] = {}
        for held in released:
            for key, piece in held.texts:
                found.setdefault(key, []).append(piece)
        new: dict[Key, str | None] = {}
        for key, pieces in found.items():
            flow, text = self._flows[key], "".join(pieces)
            self._unseen -= flow.size
            flow.size = 0
            shown = await self._check.text(text, choice=key[0], part=flow.part, before=flow.before)
            flow.before = (flow.before + shown)[-self._check.window :]
            if shown != text:
                new[key] = shown
                self._altered.setdefault(key[0], set()).add(flow.part)
        return new

    def _show(self, held: _Held, new: dict[Key, str | None]) -> bytes:
        """The event as it is, or of a choice that was altered without the model's text.

        The first event of a text has the whole of the new one, the others nothing.
        """
        if not held.choices & self._altered.keys():
            return held.event
        chunk = DOCUMENT.decode(held.data)
        changes: dict[Path, Buffer | None] = {}
        repeated, emptied = False, chunk.get("usage") is None
        keys = iter([key for key, _ in held.texts])
        for position, choice in enumerate(chunk["choices"]):
            index = choice.get("index", 0)
            written: dict[Path, str] = {}
            for text, key in zip(texts(choice.get("delta")), keys, strict=False):
                if key in new:
                    first, new[key] = new[key], None
                    written[text.path] = first or ""
                    repeated, emptied = True, emptied and first is None
            parts = self._altered.get(index, ())
            own = changed(choice, "delta", written, parts) if parts else {}
            changes |= {("choices", position, *path): value for path, value in own.items()}
            emptied = emptied and is_emptied(choice, own)
        if repeated and emptied:
            return b""
        # Where the data had several lines, their ends are white space between members.
        return encode_event(rewrite(held.data, changes).replace(b"\n", b" "))
