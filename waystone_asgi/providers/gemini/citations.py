"""Where pieces of the text come from, as remarks on the message's content.

In: what an answer rests on or recites, and its parts. Out: annotations. Gemini counts bytes of
UTF-8 in one part; OpenAI counts characters of the content. What has no URL is left to the raw
metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...wire.answers import Annotation, URLCitation
from ...wire.gemini.citations import CITATIONS, GROUNDING, GroundingChunk, Segment, Source
from ...wire.gemini.contents import Part, Raw
from ...wire.members import MALFORMED

_NOWHERE = Source()


def ground(metadata: Raw, parts: Sequence[Part]) -> Iterator[Annotation]:
    """The pages on which pieces of the text rest."""
    try:
        view = GROUNDING.decode(metadata)
    except MALFORMED:
        return
    sources = [_source(chunk) for chunk in view.grounding_chunks]
    text = _Text(parts)
    for support in view.grounding_supports:
        start, end = text.locate(support.segment or Segment())
        for index in support.grounding_chunk_indices:
            source = sources[index] if 0 <= index < len(sources) else _NOWHERE
            if source.uri:
                yield Annotation(URLCitation(source.uri, source.title or "", start, end))


def cite(metadata: Raw, parts: Sequence[Part]) -> Iterator[Annotation]:
    """The works that pieces of the text recite."""
    try:
        view = CITATIONS.decode(metadata)
    except MALFORMED:
        return
    text = _Text(parts)
    for found in view.citation_sources or view.citations:
        if found.uri:
            segment = Segment(start_index=found.start_index, end_index=found.end_index)
            start, end = text.locate(segment)
            yield Annotation(URLCitation(found.uri, found.title or "", start, end))


def _source(chunk: GroundingChunk) -> Source:
    return chunk.web or chunk.retrieved_context or chunk.maps or _NOWHERE


class _Text:
    """The content of a message, and where each part begins in it."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._starts: list[int] = []
        self._bytes = b""
        for part in parts:
            self._starts.append(len(self._bytes))
            if part.text and not part.thought:
                self._bytes += part.text.encode()
        self._content = self._bytes.decode()

    def locate(self, segment: Segment) -> tuple[int, int]:
        """The characters of a segment: where its indexes miss its text, those of the text."""
        known = 0 < segment.part_index < len(self._starts)
        offset = self._starts[segment.part_index] if known else 0
        first, last = offset + segment.start_index, offset + segment.end_index
        said = self._bytes[first:last].decode(errors="ignore")
        start = len(self._bytes[:first].decode(errors="ignore"))
        if segment.text and said != segment.text:
            found = self._content.find(segment.text)
            if found >= 0:
                return found, found + len(segment.text)
        return start, start + len(said)
