"""An LLM gateway that lives inside your own Python web application."""

from __future__ import annotations

from .authentication import APIKey, BearerKeys, allow_anonymous
from .catalog import Alias
from .exceptions import (
    AuthenticationError,
    ConfigurationError,
    GatewayError,
    PermissionDeniedError,
    WaystoneError,
)
from .gateway import Gateway
from .middleware import GatewayMiddleware
from .providers.provider import Provider
from .records import Attempt, Entity, Identity, Principal, Timeouts, UsageRecord
from .rules import Rule, Ruleset
from .sinks import JSONLinesSink, MemorySink
from .verdicts import GuardContext, Verdict

__all__ = (
    "APIKey",
    "Alias",
    "Attempt",
    "AuthenticationError",
    "BearerKeys",
    "ConfigurationError",
    "Entity",
    "Gateway",
    "GatewayError",
    "GatewayMiddleware",
    "GuardContext",
    "Identity",
    "JSONLinesSink",
    "MemorySink",
    "PermissionDeniedError",
    "Principal",
    "Provider",
    "Rule",
    "Ruleset",
    "Timeouts",
    "UsageRecord",
    "Verdict",
    "WaystoneError",
    "allow_anonymous",
)
