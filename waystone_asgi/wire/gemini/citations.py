"""What an answer rests on, and what it recites: as much of both as has a place in the text."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from ..chat import Said


class Segment(Said, Struct, gc=False, rename="camel"):
    """A piece of one part's text. The indexes count bytes of UTF-8 from the part's start."""

    part_index: int = 0
    start_index: int = 0
    end_index: int = 0
    text: str = ""


class GroundingSupport(Said, Struct, rename="camel"):
    """What a piece of the text rests on."""

    segment: Segment | None = None
    grounding_chunk_indices: list[int] = []


class Source(Said, Struct, gc=False):
    """A page, document or place."""

    uri: str = ""
    title: str | None = None


class GroundingChunk(Said, Struct, rename="camel"):
    """One source, of one kind."""

    web: Source | None = None
    retrieved_context: Source | None = None
    maps: Source | None = None


class GroundingMetadata(Said, Struct, rename="camel"):
    """The view of what an answer rests on."""

    grounding_chunks: list[GroundingChunk] = []
    grounding_supports: list[GroundingSupport] = []


class Citation(Said, Struct, gc=False, rename="camel"):
    """What a piece of the text recites. The indexes count bytes of the whole text."""

    start_index: int = 0
    end_index: int = 0
    uri: str = ""
    title: str | None = None


class CitationMetadata(Said, Struct, rename="camel"):
    """The view of what an answer recites: `citations` is the name on Vertex."""

    citation_sources: list[Citation] = []
    citations: list[Citation] = []


GROUNDING = msgspec.json.Decoder(GroundingMetadata)
CITATIONS = msgspec.json.Decoder(CitationMetadata)
