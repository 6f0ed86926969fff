"""A request on its way to Gemini.

In: a decoded request in OpenAI's form. Out: the body, and the names of what it could not say.
Members of Gemini's own API, in either of its spellings, are passed on as they are.
"""

from __future__ import annotations

from ...exceptions import InvalidRequestError
from ...wire.conversations import decode_messages
from ...wire.fields import Fields
from ...wire.gemini.contents import Content
from ...wire.gemini.requests import GenerateContentRequest
from ...wire.members import encode
from ...wire.requests import ChatRequest
from ..dialects import Built, Target
from ..histories import note_foreign
from .contents import write_contents
from .generation import write_generation_config
from .names import generation_of, take_own
from .tools import write_tool_config, write_tools


def build_request(request: ChatRequest, target: Target) -> Built:
    """The body for Gemini. Raises `InvalidRequestError`."""
    fields = Fields(request)
    generation = generation_of(target.model)
    try:
        messages = decode_messages(request)
        note_foreign(messages, fields, "google")
        contents, system = write_contents(messages, fields, generation)
        if not contents and system is not None:
            # Gemini answers contents only.
            contents, system = [Content(system.parts, "user")], None
        config = write_generation_config(request.view, fields, target.model)
        body = GenerateContentRequest(
            contents=contents,
            system_instruction=system,
            tools=write_tools(fields),
            tool_config=take_own(fields, "toolConfig") or write_tool_config(fields),
            generation_config=config or None,
            safety_settings=take_own(fields, "safetySettings"),
            cached_content=take_own(fields, "cachedContent"),
            service_tier=fields.raw("serviceTier"),
            labels=take_own(fields, "labels"),
            model_armor_config=take_own(fields, "modelArmorConfig"),
        )
    except RecursionError:
        raise InvalidRequestError("The request is nested too deeply.") from None
    return Built(body=encode(body), dropped=fields.check(strict=target.strict))
