"""A request as the provider takes it.

In: a decoded request in OpenAI's form, and to whom it goes. Out: the body, and the names of what
was left out. The body is the same on every platform, but for where it says who is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from ...exceptions import Headers
from ...wire.conversations import Message, ResponseFormat, decode_messages
from ...wire.fields import Fields
from ...wire.members import Members, encode
from ...wire.requests import ChatRequest
from ..dialects import Built, Target
from ..histories import note_foreign
from .models import traits_of
from .parts import refuse_references
from .thinking import write_sampling, write_thinking
from .tools import is_forced, write_tools
from .turns import Conversation

VERTEX_VERSION = "vertex-2023-10-16"

# Members of the provider's own that callers may send, and that go as they are.
_OWN = (
    "billing_policy",
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "fallback_credit_token",
    "fallbacks",
    "inference_geo",
    "mcp_servers",
    "speed",
    "thread",
    "user_profile_id",
    "workspace_id",
)
Beta: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,128}$")]

_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}


def build_request(request: ChatRequest, target: Target) -> Built:
    """The body for Anthropic, and for Foundry, which takes the same."""
    return _build(request, decode_messages(request), target, {"model": target.model})


def build_vertex_request(request: ChatRequest, target: Target) -> Built:
    """The body for Vertex AI, where the model stands in the path, and which fetches nothing."""
    messages = decode_messages(request)
    refuse_references(messages)
    return _build(request, messages, target, {"anthropic_version": VERTEX_VERSION})


def _build(
    request: ChatRequest, messages: Sequence[Message], target: Target, addressed: dict[str, Any]
) -> Built:
    fields = Fields(request)
    traits = traits_of(target.model)
    conversation = Conversation(fields, traits)
    note_foreign(messages, fields, "anthropic")
    conversation.add(messages)
    newer, older = map(fields.take_whole, ("max_completion_tokens", "max_tokens"))
    max_tokens = older if newer is None else newer
    if max_tokens is None:
        max_tokens = target.max_output_tokens or traits.max_output_tokens
    tools = write_tools(fields)
    # A budget needs the reasoning before the calls that it goes on from.
    unproved = traits.thinking == "budget" and conversation.is_unproved
    may_think = not unproved and (traits.thinks_forced or not is_forced(tools))
    thinking = write_thinking(fields, traits, max_tokens, may_think=may_think)
    thinks = isinstance(setting := thinking.get("thinking"), dict) and setting["type"] != "disabled"
    body = addressed | {"max_tokens": max_tokens, "messages": conversation.turns}
    if conversation.system:
        body["system"] = conversation.system
    body |= tools
    body |= thinking
    body |= write_sampling(fields, traits, thinks=thinks)
    body |= _write_output(fields, body.get("output_config", {}))
    body |= _write_rest(fields)
    body |= {name: raw for name in _OWN if (raw := fields.raw(name)) is not None}
    if request.view.stream:
        body["stream"] = True
    headers = _write_betas(fields)
    dropped = fields.check(strict=target.strict)
    return Built(body=encode(body), dropped=dropped, headers=headers)


def _write_output(fields: Fields, config: dict[str, Any]) -> dict[str, Any]:
    """`output_config`: the effort, the schema of the answer, and the caller's own before both.

    There is no JSON without a schema. A schema has no name there, and says itself what it is for.
    """
    config = dict(config)
    answer = fields.take("response_format", ResponseFormat)
    if answer is not None and answer.type == "json_schema" and answer.json_schema is not None:
        schema = answer.json_schema.schema or {}
        if answer.json_schema.description is not None:
            schema = {"description": answer.json_schema.description, **schema}
        config["format"] = {"type": "json_schema", "schema": schema}
    elif answer is not None and answer.type != "text":
        fields.drop("response_format")
    config |= fields.take("output_config", Members) or {}
    return {"output_config": config} if config else {}


def _write_rest(fields: Fields) -> dict[str, Any]:
    """Who the user is, where to stop, and how soon it has to be."""
    rest: dict[str, Any] = {}
    metadata: dict[str, str] = fields.take("metadata", dict[str, str]) or {}
    if set(metadata) - {"user_id", "waystone"}:
        fields.drop("metadata")
    user = metadata.get("user_id") or fields.take("safety_identifier", str)
    if user := user or fields.take("user", str):
        rest["metadata"] = {"user_id": user}
    stop = fields.take("stop", str | list[str])
    stops = [stop] if isinstance(stop, str) else stop or fields.take("stop_sequences", list[str])
    if stops:
        # White space alone is refused.
        rest["stop_sequences"] = [said for said in stops if said.strip()]
        if len(rest["stop_sequences"]) < len(stops):
            fields.drop("stop")
    if (tier := fields.take("service_tier", str)) is not None:
        if tier in _TIERS:
            rest["service_tier"] = _TIERS[tier]
        else:
            fields.drop("service_tier")
    return rest


def _write_betas(fields: Fields) -> Headers:
    """The header for what the caller wants to use before it is released."""
    betas = fields.take("anthropic_beta", list[Beta])
    return ((b"anthropic-beta", ",".join(betas).encode()),) if betas else ()
