"""Gemini's generateContent as Google's API reference writes it: what is read and what is written.

The members are those of the Gemini API (ai.google.dev/api/generate-content) and of Vertex AI, in
their JSON spelling. Enumerations may come as numbers where a client asked for them. Nothing is
decided here.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from .chat import Said

Raw = msgspec.Raw
Enumeration = str | int | None


class Blob(Said, Struct, gc=False, rename="camel"):
    """Bytes in base64."""

    mime_type: str = ""
    data: str = ""


class FileData(Said, Struct, gc=False, rename="camel", omit_defaults=True):
    """A file where Google finds it."""

    file_uri: str
    mime_type: str | None = None


class PartialArg(Said, Struct, rename="camel"):
    """A piece of a call's arguments, where the caller asked for them as they come (Vertex)."""

    json_path: str
    string_value: str | UnsetType = UNSET
    number_value: int | float | UnsetType = UNSET
    bool_value: bool | UnsetType = UNSET


class FunctionCall(Said, Struct, rename="camel", omit_defaults=True):
    """What the model wants called; `args` are an object."""

    name: str = ""
    args: Raw | UnsetType = UNSET
    id: str | None = None
    partial_args: list[PartialArg] | None = None
    will_continue: bool = False


class FunctionResponse(Said, Struct, rename="camel", omit_defaults=True):
    """What a call came to."""

    name: str
    response: Raw
    id: str | None = None


class Part(Said, Struct, rename="camel", omit_defaults=True):
    """One part of a content. It has one of the members that are data."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None
    executable_code: Any = None
    code_execution_result: Any = None
    tool_call: Any = None
    tool_response: Any = None


class Content(Said, Struct, omit_defaults=True):
    """A turn of one role, `user` or `model`; a system instruction has none."""

    parts: list[Part] | None = None
    role: str | None = None


class FunctionDeclaration(Said, Struct, rename="camel", omit_defaults=True):
    """A function that may be called. Its parameters are an object in JSON schema."""

    name: str
    description: str | None = None
    parameters_json_schema: Any = None


class GenerateContentRequest(Said, Struct, rename="camel", omit_defaults=True):
    """A request. `generation_config` and what follows it are written as the caller had them."""

    contents: list[Content]
    system_instruction: Content | None = None
    tools: list[Any] | None = None
    tool_config: Any = None
    generation_config: Any = None
    safety_settings: Any = None
    cached_content: Any = None
    labels: Any = None
    model_armor_config: Any = None


class LogprobCandidate(Said, Struct, rename="camel"):
    """A token and how likely it was."""

    token: str = ""
    log_probability: float = 0.0


class TopCandidates(Said, Struct):
    """The likeliest tokens at one place."""

    candidates: list[LogprobCandidate] = []


class LogprobsResult(Said, Struct, rename="camel"):
    """The tokens of an answer, and the likeliest at each place."""

    chosen_candidates: list[LogprobCandidate] = []
    top_candidates: list[TopCandidates] = []


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


class Candidate(Said, Struct, rename="camel"):
    """One of the answers, or what an event adds to it."""

    content: Content | None = None
    finish_reason: Enumeration = None
    finish_message: str | None = None
    index: int = 0
    grounding_metadata: Raw | UnsetType = UNSET
    url_context_metadata: Raw | UnsetType = UNSET
    citation_metadata: Raw | UnsetType = UNSET
    safety_ratings: Raw | UnsetType = UNSET
    logprobs_result: LogprobsResult | None = None


class PromptFeedback(Said, Struct, rename="camel"):
    """Why there is no answer."""

    block_reason: Enumeration = None
    block_reason_message: str | None = None


class ModalityTokenCount(Struct, gc=False, rename="camel"):
    """The tokens of one kind."""

    modality: Enumeration = None
    token_count: int = 0


class UsageMetadata(Struct, rename="camel"):
    """Tokens, and what they were served as.

    Thoughts stand beside the candidates, results of tools beside the prompt.
    """

    prompt_token_count: int | None = None
    candidates_token_count: int | None = None
    thoughts_token_count: int | None = None
    tool_use_prompt_token_count: int | None = None
    cached_content_token_count: int | None = None
    prompt_tokens_details: list[ModalityTokenCount] | None = None
    cache_tokens_details: list[ModalityTokenCount] | None = None
    candidates_tokens_details: list[ModalityTokenCount] | None = None
    tool_use_prompt_tokens_details: list[ModalityTokenCount] | None = None
    service_tier: Any = None


class GenerateContentResponse(Said, Struct, rename="camel"):
    """A whole answer, or one event of it."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata | None = None
    model_version: str | None = None
    response_id: str | None = None
    create_time: str | None = None
    error: Any = None


class ErrorDetail(Said, Struct, rename="camel"):
    """One detail of an error: an `ErrorInfo` has a `reason`, a `RetryInfo` a `retry_delay`."""

    reason: Any = None
    retry_delay: Any = None


class Status(Said, Struct):
    """An error (google.rpc.Status); `code` is the HTTP status, `status` its name."""

    code: Any = None
    message: Any = None
    status: Any = None
    details: Any = None


RESPONSE = msgspec.json.Decoder(GenerateContentResponse)
GROUNDING = msgspec.json.Decoder(GroundingMetadata)
CITATIONS = msgspec.json.Decoder(CitationMetadata)
