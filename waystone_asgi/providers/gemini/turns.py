"""What one candidate says: its parts as they come, in whole answers and in events alike.

In: parts of Gemini's. Out: what each adds to a message in OpenAI's form, and in the end what only
the whole tells: signatures, remarks on the text, and what has no member there.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from ...wire.answers import Annotation, Call, Delta, Function, Image, ImageURL
from ...wire.gemini.answers import Candidate
from ...wire.gemini.contents import FunctionCall, Part, Raw
from ...wire.members import compact
from .arguments import Arguments
from .calls import make_id
from .citations import cite, ground

_EMPTY, _NULL = Raw(b"{}"), Raw(b"null")
_NO_MORE = FunctionCall()
_METADATA = ("grounding_metadata", "url_context_metadata", "citation_metadata", "safety_ratings")
_ORDINARY = (None, "STOP", "MAX_TOKENS", 1, 2)
_TEXT, _IMAGE, _CALL, _OTHER = range(4)


class Turn:
    """One candidate's message. Its calls are named by `source`, the answer's id, and `index`."""

    __slots__ = ("_arguments", "_parts", "_pieces", "_seen", "calls", "images", "index", "source")

    def __init__(self, source: str, index: int) -> None:
        self.source = source
        self.index = index
        self.calls = 0
        self.images = 0
        self._parts: list[Part] = []
        self._pieces: list[str] = []
        self._arguments: Arguments | None = None
        self._seen: dict[str, Any] = {}

    def take(self, candidate: Candidate) -> Delta | None:
        """What a candidate adds to the message, or None if that is nothing."""
        delta = Delta()
        adds = False
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                adds |= self._take(part, delta)
        for name in _METADATA:
            raw = getattr(candidate, name)
            if raw is not UNSET and raw != _EMPTY:
                self._seen[name] = raw
        if candidate.finish_reason not in _ORDINARY:
            self._seen["finish_reason"] = candidate.finish_reason
            if candidate.finish_message is not None:
                self._seen["finish_message"] = candidate.finish_message
        return delta if adds else None

    def close(self) -> Delta | None:
        """What the whole message tells, or None if that is nothing."""
        self._join()
        delta = Delta()
        called = self._go_on(_NO_MORE, delta)
        google = {**self._replay(), **self._seen}
        if google:
            delta.extra_content = {"google": google}
        remarks = self._remarks()
        if remarks:
            delta.annotations = remarks
        return delta if called or google or remarks else None

    def _take(self, part: Part, delta: Delta) -> bool:
        if part.text is not None:
            return self._take_text(part, part.text, delta)
        if part.function_call is not None:
            return self._take_call(part, part.function_call, delta)
        if _is_empty(part):
            # A signature may come alone, and what is not known is skipped.
            part.text = ""
            return self._take_text(part, "", delta)
        self._join()
        self._parts.append(part)
        return _rank(part) == _IMAGE and self._take_image(part, delta)

    def _take_text(self, part: Part, text: str, delta: Delta) -> bool:
        if not text and part.thought_signature is None:
            return False
        last = self._parts[-1] if self._pieces else None
        if last is not None and last.thought == part.thought and last.thought_signature is None:
            last.thought_signature = part.thought_signature
            self._pieces.append(text)
        else:
            self._join()
            self._parts.append(part)
            self._pieces.append(text)
        if part.thought:
            said = delta.reasoning_content
            delta.reasoning_content = text if said is UNSET else said + text
        else:
            before = delta.content
            delta.content = text if before is UNSET or before is None else before + text
        return bool(text)

    def _take_image(self, part: Part, delta: Delta) -> bool:
        blob = part.inline_data
        if blob is None or part.thought:
            return False
        url = ImageURL(f"data:{blob.mime_type};base64,{blob.data}")
        image = Image(url, "image_url", self.images, _signed(part))
        self.images += 1
        if delta.content is UNSET:
            delta.content = ""  # A message without content is refused when it comes back.
        delta.images = [image] if delta.images is UNSET else [*delta.images, image]
        return True

    def _take_call(self, part: Part, call: FunctionCall, delta: Delta) -> bool:
        if call.name:
            self._join()
            self._parts.append(part)
            self._go_on(_NO_MORE, delta)
            id = call.id or make_id(self.source, self.index, self.calls, call.name)
            function = Function(call.name, "")
            self._add(delta, Call(self.calls, id, "function", function, _signed(part)))
            self.calls += 1
            if not call.will_continue and call.partial_args is None:
                args = _EMPTY if call.args is UNSET or call.args == _NULL else call.args
                function.arguments = compact(args).decode()
                return True
            part.function_call = FunctionCall(call.name, UNSET, call.id)
            self._arguments = Arguments(part.function_call)
        return self._go_on(call, delta) or bool(call.name)

    def _go_on(self, call: FunctionCall, delta: Delta) -> bool:
        """More of the arguments of the last call: they are told when all have come."""
        arguments = self._arguments
        if arguments is None:
            return False
        for piece in call.partial_args or ():
            arguments.add(piece)
        if call.will_continue:
            return False
        self._arguments = None
        whole = arguments.encode()
        arguments.call.args = Raw(whole)
        self._add(delta, Call(self.calls - 1, function=Function(arguments=whole.decode())))
        return True

    def _add(self, delta: Delta, call: Call) -> None:
        delta.tool_calls = [call] if delta.tool_calls is UNSET else [*delta.tool_calls, call]

    def _join(self) -> None:
        """A text has come to its end."""
        if self._pieces:
            self._parts[-1].text = "".join(self._pieces)
            self._pieces = []

    def _replay(self) -> dict[str, Any]:
        """What brings the parts back with the next turn, beside what the message says.

        In a message the text stands before the images, and those before the calls.
        """
        ranks = [_rank(part) for part in self._parts if not part.thought]
        signed = [part for part in self._parts if part.thought_signature is not None]
        if not signed and not any(ranks):
            return {}
        ordered = ranks == sorted(ranks) and ranks.count(_TEXT) < 2 and _OTHER not in ranks
        if not ordered or any(part.thought for part in signed):
            return {"parts": self._parts}
        texts = [part.thought_signature for part in signed if _rank(part) == _TEXT]
        return {"thought_signature": texts[0]} if texts else {}

    def _remarks(self) -> list[Annotation]:
        remarks: list[Annotation] = []
        if "grounding_metadata" in self._seen:
            remarks += ground(self._seen["grounding_metadata"], self._parts)
        if "citation_metadata" in self._seen:
            remarks += cite(self._seen["citation_metadata"], self._parts)
        return remarks


def _rank(part: Part) -> int:
    if part.text is not None:
        return _TEXT
    if part.function_call is not None:
        return _CALL
    blob = part.inline_data
    return _IMAGE if blob is not None and blob.mime_type.startswith("image/") else _OTHER


def _is_empty(part: Part) -> bool:
    """Whether a part has none of the members that are data, beside those of text and calls."""
    return not (
        part.inline_data
        or part.file_data
        or part.function_response
        or part.executable_code
        or part.code_execution_result
        or part.tool_call
        or part.tool_response
    )


def _signed(part: Part) -> Any:
    signature = part.thought_signature
    return UNSET if signature is None else {"google": {"thought_signature": signature}}
