"""What can be said of a provider as data: how it is asked, and where it differs from OpenAI.

The values are in `presets`. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class Quirks(Struct, frozen=True, kw_only=True):
    """Where a provider's messages differ from OpenAI's, in requests and in answers.

    `reasoning` is the member of a message that has its reasoning; in `content` it stands as parts
    of type `thinking`. The caller reads and writes `reasoning_content`. `developer` says whether
    that role is taken, which is `system` elsewhere, and `refuses` are members of messages that are
    not. `call_id_length` is that of the ids of tool calls, which are letters and digits, where
    others are refused: those are replaced. `finish_reasons` are the provider's own words and
    OpenAI's. `counts_calls` is false where streamed tool calls lack their index.
    """

    reasoning: str = "reasoning_content"
    developer: bool = True
    refuses: frozenset[str] = frozenset()
    call_id_length: int | None = None
    finish_reasons: Mapping[str, str] = {}
    counts_calls: bool = True

    @property
    def in_answers(self) -> bool:
        """Whether there is anything in answers to be told in other words."""
        return bool(
            self.reasoning != "reasoning_content" or self.finish_reasons or not self.counts_calls
        )


class Form(Struct, frozen=True, kw_only=True):
    """How models are asked: a dialect, and the path for whole answers and for streams.

    In a path `{model}` stands for the model's name, which is one segment there, or as many as it
    has in `{+model}`; `{project}` and `{location}` for what the provider is configured with.
    `models` is what the names match, as a whole.
    """

    dialect: str = "openai"
    path: str = "/chat/completions"
    stream_path: str | None = None
    models: str = ".*"


class Preset(Struct, frozen=True, kw_only=True):
    """The defaults of a provider type.

    `forms` say how a model is asked, and the first that knows its name counts; their paths follow
    the base URL, after `version` unless that ends in it. `forms_below` are for base URLs that end
    in another path, `dated_forms` for versions of an API that are dates, and `base_urls` those of
    some locations. `key_env` are the provider's well-known variables; none means that no key is
    needed. `auth` is the header of the key, which is a bearer token in `authorization`. `headers`
    are sent with every request. `defaults` are variables that stand in for options, and `enough`
    which of the options make a provider where nothing but variables says that there is one.

    Of OpenAI's dialect: `refuses` are request fields that the provider does not take, which are
    left out and named; `renames` are those that it knows by another name. `asks_for_usage` is false
    where usage comes unasked and the option is refused. `quirks` is None where messages are as
    OpenAI has them. `models` are those of a provider configured without any.
    """

    base_url: str | None = None
    base_urls: Mapping[str, str] = {}
    key_env: tuple[str, ...] = ()
    version: str = ""
    forms: tuple[Form, ...] = (Form(),)
    forms_below: Mapping[str, tuple[Form, ...]] = {}
    dated_forms: tuple[Form, ...] | None = None
    auth: str = "authorization"
    headers: Mapping[str, str] = {}
    defaults: Mapping[str, tuple[str, ...]] = {}
    enough: tuple[frozenset[str], ...] = (frozenset({"api_key"}),)
    refuses: frozenset[str] = frozenset({"store", "metadata"})
    renames: Mapping[str, str] = {}
    asks_for_usage: bool = True
    quirks: Quirks | None = None
    models: tuple[str, ...] = ("*",)
