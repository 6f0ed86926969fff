"""A request in OpenAI's form as the body of Converse and ConverseStream, which take the same."""

from __future__ import annotations

import re
from typing import Any

from ...wire.bedrock import ConverseRequest
from ...wire.fields import Fields
from ...wire.members import encode
from ...wire.requests import ChatRequest
from ..dialects import Built, Target
from .families import family_of
from .messages import Conversation
from .parameters import Parameters
from .tools import is_forced, write_tools

_TIERS = ("default", "flex", "priority")
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")
_MOST_METADATA = 16


def build_request(request: ChatRequest, target: Target) -> Built:
    """The body for a model. Raises `InvalidRequestError` for what cannot be said to it.

    Members that Converse has pass under its own names: `guardrailConfig`, `performanceConfig`,
    `requestMetadata`, `serviceTier`, `promptVariables`, `additionalModelRequestFields`,
    `additionalModelResponseFieldPaths` and `outputConfig`.
    """
    fields = Fields(request)
    family = family_of(target.model)
    conversation = Conversation(request, family, fields)
    tools = write_tools(fields, conversation.called)
    # A budget needs the reasoning before the calls that it goes on from.
    unproved = family.thinking == "budget" and conversation.is_unproved
    may_think = not unproved and (family.thinks_forced or not is_forced(tools))
    parameters = Parameters(
        fields,
        family,
        most_tokens=target.max_output_tokens or family.max_output_tokens,
        may_think=may_think,
        calls=tools is not None,
    )
    converse = ConverseRequest(
        messages=conversation.turns,
        system=conversation.system,
        inference_config=parameters.inference,
        tool_config=tools,
        additional_model_request_fields=parameters.additional,
        output_config=parameters.output,
        service_tier=_service_tier(fields),
        request_metadata=_metadata(fields),
        guardrail_config=fields.raw("guardrailConfig"),
        performance_config=fields.raw("performanceConfig"),
        prompt_variables=fields.raw("promptVariables"),
        additional_model_response_field_paths=fields.raw("additionalModelResponseFieldPaths"),
    )
    return Built(body=encode(converse), dropped=fields.check(strict=target.strict))


def _service_tier(fields: Fields) -> Any:
    own, tier = fields.raw("serviceTier"), fields.take("service_tier")
    if own is not None or tier in (None, "auto"):
        return own
    if tier in _TIERS:
        return {"type": tier}
    fields.drop("service_tier")
    return None


def _metadata(fields: Fields) -> Any:
    """Metadata that can be written to the invocation log; what does not fit there is dropped."""
    own = fields.raw("requestMetadata")
    told: dict[str, str] = fields.take("metadata", dict[str, str]) or {}
    told.pop("waystone", None)
    fitting = [
        (name, value)
        for name, value in told.items()
        if name and _METADATA.fullmatch(name) and _METADATA.fullmatch(value)
    ]
    written = {} if own is not None else dict(fitting[:_MOST_METADATA])
    if len(written) < len(told):
        fields.drop("metadata")
    return own or written or None
