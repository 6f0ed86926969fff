"""Gemini's dialect: generateContent and streamGenerateContent, of the Gemini API and of Vertex AI.

In: a decoded request, or an answer's bytes in any cut. Out: the bytes to send, or the answer in
OpenAI's form. Streams are asked for with `?alt=sse`. No await, no client, no clock.

What OpenAI's form has no member for goes out, and comes back with the next turn, in `extra_content`
(ai.google.dev/gemini-api/docs/openai): the `thought_signature` of a tool call, an image or a
message's text in its own, and in the message's also `parts`, where only they say in what order the
model spoke; `grounding_metadata`, `url_context_metadata`, `citation_metadata`, `safety_ratings`,
`finish_reason` and `finish_message` as Google wrote them. Images are `images`, as OpenRouter has
them.
"""

from __future__ import annotations

from ..dialects import Dialect
from .answer import parse_response
from .errors import parse_error
from .request import build_request
from .stream import GeminiStream

DIALECT = Dialect(
    name="gemini",
    build_request=build_request,
    parse_response=parse_response,
    open_stream=GeminiStream,
    parse_error=parse_error,
)

__all__ = ("DIALECT",)
