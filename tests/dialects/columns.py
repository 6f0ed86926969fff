"""Whom requests are put to: each dialect, with a model of its own.

In: a request in OpenAI's form. Out: what would be sent for it, as the dialect itself builds it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from waystone_asgi.exceptions import Headers
from waystone_asgi.providers import PRESETS
from waystone_asgi.providers.dialects import Dialect, Target
from waystone_asgi.providers.forms import Form
from waystone_asgi.providers.registry import open_dialect
from waystone_asgi.wire.requests import decode_chat_request


class Sent(NamedTuple):
    """The body as a value, the headers, and the names of what was left out."""

    body: Any
    headers: Headers
    dropped: tuple[str, ...]


class Column(NamedTuple):
    """A provider of a type, and one of its models; `form` is how that is asked."""

    name: str
    type: str
    model: str
    form: Form

    @property
    def dialect(self) -> Dialect:
        """In which dialect the model is asked."""
        return open_dialect(self.form.dialect, PRESETS[self.type])

    def sent(self, request: dict[str, Any]) -> Sent:
        """What the provider would be sent. Raises `InvalidRequestError`."""
        asked = decode_chat_request(json.dumps(request).encode())
        built = self.dialect.build_request(asked, Target(model=self.model))
        return Sent(json.loads(bytes(built.body)), built.headers, built.dropped)


def _column(name: str, type: str, model: str) -> Column:
    forms = (form for form in PRESETS[type].forms if re.fullmatch(form.models, model))
    return Column(name, type, model, next(forms))


def _in_openais_form() -> Iterator[Column]:
    """Vendors whose API has OpenAI's form, or has it too, below a path of its own."""
    for type, preset in PRESETS.items():
        if preset.forms[0].dialect == "openai" and type not in ("openai", "echo"):
            yield Column(type, type, type, preset.forms[0])
        for path, [form, *_] in preset.forms_below.items():
            if form.dialect == "openai":
                yield Column(type, type, f"{type}` below `{path}", form)


OPENAI = _column("OpenAI", "openai", "gpt-5.1")
ANTHROPIC = _column("Anthropic", "anthropic", "claude-opus-5")
GEMINI = _column("Gemini", "gemini", "gemini-3-pro-preview")
CLAUDE_ON_BEDROCK = _column("Bedrock, Claude", "bedrock", "us.anthropic.claude-opus-5")
NOVA = _column("Bedrock, Nova", "bedrock", "us.amazon.nova-2-lite-v1:0")

COHERE = _column("Cohere", "cohere", "command-a-03-2025")
OLLAMA = _column("Ollama", "ollama", "qwen3")

COLUMNS = (
    OPENAI,
    ANTHROPIC,
    _column("Vertex AI, Claude", "vertex", "claude-opus-5"),
    GEMINI,
    CLAUDE_ON_BEDROCK,
    NOVA,
    COHERE,
    OLLAMA,
)

ANSWERING = (OPENAI, ANTHROPIC, GEMINI, CLAUDE_ON_BEDROCK, COHERE, OLLAMA)
"""Those whose answers differ."""

_OTHER_MODELS = {
    ANTHROPIC: ("claude-sonnet-5", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-3-5-haiku"),
    GEMINI: ("gemini-2.5-flash", "gemini-2.0-flash"),
    CLAUDE_ON_BEDROCK: (
        "us.anthropic.claude-sonnet-4-6",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "us.anthropic.claude-3-5-haiku-20241022-v1:0",
    ),
    NOVA: (
        "us.amazon.nova-pro-v1:0",
        "openai.gpt-oss-120b-1:0",
        "us.meta.llama3-3-70b-instruct-v1:0",
    ),
}
OTHER_MODELS = {
    column: [_column(column.name, column.type, model) for model in models]
    for column, models in _OTHER_MODELS.items()
}
"""Columns, and the same with other models, of which some are asked otherwise."""

VENDORS = tuple(_in_openais_form())
"""Their model is of no account: it stands for the vendor."""
