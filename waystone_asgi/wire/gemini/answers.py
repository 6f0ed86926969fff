"""What is answered, in whole or in events. Enumerations may be numbers, if a client asked so."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from ..chat import Said
from .contents import Content, Raw

Enumeration = str | int | None


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
