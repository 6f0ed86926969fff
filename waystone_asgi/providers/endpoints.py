"""Where a provider is: its URL and the headers that every request to it carries.

In: the options and preset of a provider. Out: an `Endpoint`, or `ConfigurationError` that says what
would be right.
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from ..exceptions import ConfigurationError, ModelNotFoundError
from ..records import Endpoint
from .dialects import Dialect
from .forms import Form, Preset
from .options import Options
from .registry import open_dialect

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 5.6.2
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SAFE = "/%:@!$&'()*+,;=~-._"
_PORTS = {"http": 80, "https": 443, "echo": 0}
_PLACE = "/projects/{project}/locations/{location}"
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]*")


def read_base(options: Options, type: str, preset: Preset, where: str) -> Endpoint:
    """The base URL as an endpoint, without headers; its path does not end in a slash."""
    base_url = options.base_url or preset.base_urls.get(options.location or "", preset.base_url)
    if not base_url:
        raise ConfigurationError(f"{where}.base_url: {type} needs one.")
    base_url = fill(base_url, options, type, preset, where)
    try:
        url = urlsplit(base_url)
        port = url.port or _PORTS[url.scheme]
        host = (url.hostname or "").encode("idna").decode("ascii")
    except (ValueError, KeyError):
        host, port = "", 0
    if not host or url.query or url.fragment or url.username:
        raise ConfigurationError(
            f"{where}.base_url: expected http:// or https://, a host and perhaps a path."
        )
    return Endpoint(scheme=url.scheme, host=host, port=port, path=url.path.rstrip("/"))


class Way(Struct, frozen=True):
    """How models of some names are asked. A path may have a place for the name."""

    models: re.Pattern[str]
    dialect: Dialect
    endpoint: Endpoint
    stream_endpoint: Endpoint


def build_ways(
    base: Endpoint, options: Options, type: str, preset: Preset, where: str
) -> tuple[Way, ...]:
    """What a provider's models are asked by; the first that knows a model's name counts."""
    prefix, forms = _forms(base.path, preset, options.api_version)
    version = options.api_version
    query = "" if version is None else f"?api-version={quote(version, safe='')}"
    ways = []
    for form in forms:
        whole, stream = (
            replace(base, path=fill(f"{prefix}{path}{query}", options, type, preset, where))
            for path in (form.path, form.stream_path or form.path)
        )
        dialect = open_dialect(form.dialect, preset)
        ways.append(
            Way(
                re.compile(form.models, re.DOTALL),
                dialect,
                whole,
                stream if form.stream_path else whole,
            )
        )
    return tuple(ways)


def _forms(base: str, preset: Preset, api_version: str | None) -> tuple[str, tuple[Form, ...]]:
    """The path before those of the forms, and the forms."""
    prefix = quote(base.removesuffix(preset.version), safe=_SAFE)
    if preset.dated_forms is not None and api_version and _DATE.match(api_version):
        return prefix, preset.dated_forms
    for end, forms in preset.forms_below.items():
        if base.endswith(end):
            return prefix, forms
    return prefix + preset.version, preset.forms


def path_of(template: str, model: str) -> str:
    """The path with the model's name in its place. Raises `ModelNotFoundError` for a name that
    would mean another path.
    """
    if "{" not in template:
        return template
    if any(not part.strip(".") for part in model.split("/")):
        raise ModelNotFoundError(f"No model can have this name: {model!r}.", param="model")
    place, safe = ("{model}", "@") if "{model}" in template else ("{+model}", "@/")
    return template.replace(place, quote(model, safe=safe), 1)


def fill(text: str, options: Options, type: str, preset: Preset, where: str) -> str:
    """A URL or path with the project, the location and the region in it."""
    if options.project is None and options.api_key is not None:
        text = text.replace(_PLACE, "")  # An API key of Google's is of one project.
    for name in ("project", "location", "region"):
        if f"{{{name}}}" in text:
            value = getattr(options, name)
            if not value:
                variables = " or ".join(preset.defaults[name])
                raise ConfigurationError(f"{where}.{name}: {type} needs one, or {variables} set.")
            if not _WORD.fullmatch(value):
                raise ConfigurationError(f"{where}.{name}: expected letters, digits and dashes.")
            text = text.replace(f"{{{name}}}", value)
    return text


def write_headers(options: Options, preset: Preset, where: str) -> tuple[tuple[bytes, bytes], ...]:
    """What every request carries: the key, what the preset says, and the host's own."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "user-agent": "waystone-asgi",
        **preset.headers,
    }
    if (key := options.api_key) is not None:
        headers[preset.auth] = f"Bearer {key}" if preset.auth == "authorization" else key
    headers.update((name.lower(), value) for name, value in (options.headers or {}).items())
    for name, value in headers.items():
        if not (_TOKEN.fullmatch(name) and value.isascii() and value.isprintable()):
            raise ConfigurationError(
                f"{where}: the header {name!r} or the key has characters "
                "that HTTP headers cannot carry."
            )
    return tuple((name.encode(), value.encode()) for name, value in headers.items())
