"""How an answer is made: sampling, bounds, thinking, and its form.

In: the members of a request that say so. Out: Gemini's `generationConfig`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from ...exceptions import InvalidRequestError
from ...wire.chat import ChatCompletionRequest
from ...wire.conversations import ResponseFormat
from ...wire.fields import Fields
from .names import generation_of, take_own
from .schemas import express

Config: TypeAlias = dict[str, Any]

_SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
# Members of Gemini's own that callers may send, in camel or in snake case.
_OWN = (
    "topK",
    "thinkingConfig",
    "mediaResolution",
    "speechConfig",
    "imageConfig",
    "audioTimestamp",
    "routingConfig",
    "modelSelectionConfig",
    "responseModalities",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "enableEnhancedCivicAnswers",
)
# What Google's OpenAI-compatible endpoint makes of efforts: ai.google.dev/gemini-api/docs/openai.
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192}
_HIGH_BUDGET = 24576
_LEAST_BUDGET_OF_PRO = 128
_LEVELS = {"none": "MINIMAL", "minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM"}
# The first of them knows two levels.
_LEVELS_OF_PRO = {"MINIMAL": "LOW", "MEDIUM": "HIGH"}
_LEVELS_OF_LATER_PRO = {"MINIMAL": "LOW"}
_THINKS_SINCE, _LEVELS_SINCE = (2, 5), (3, 0)
_JSON = "application/json"


def write_generation_config(view: ChatCompletionRequest, fields: Fields, model: str) -> Config:
    """The configuration. Raises `InvalidRequestError`."""
    config: Config = {}
    for name, own in _SAMPLING.items():
        if (value := fields.raw(name)) is not None:
            config[own] = value
    bound = fields.take("max_completion_tokens", float) or fields.take("max_tokens", float)
    fields.take("max_tokens")
    if bound is not None:
        config["maxOutputTokens"] = int(bound)
    fields.take("n")
    if view.n is not None and view.n != 1:
        config["candidateCount"] = int(view.n)
    stop: Any = fields.take("stop", str | list[str])
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    modalities = fields.take("modalities", list[str])
    if modalities:
        config["responseModalities"] = [modality.upper() for modality in modalities]
    _write_thinking(config, fields, model)
    _write_format(config, fields)
    for name in _OWN:
        if (value := take_own(fields, name)) is not None:
            config[name] = value
    for spelling in ("generationConfig", "generation_config"):
        config.update(fields.take(spelling, Config) or {})
    return config


def _write_thinking(config: Config, fields: Fields, model: str) -> None:
    effort = fields.take("reasoning_effort", str)
    if effort is None:
        return
    if effort not in _EFFORTS:
        where = "reasoning_effort"
        raise InvalidRequestError(f"{where}: Expected one of {', '.join(_EFFORTS)}.", param=where)
    generation = generation_of(model)
    if generation < _THINKS_SINCE:
        if effort != "none":
            fields.drop("reasoning_effort")
        return
    pro = "-pro" in model
    thinking: Config = {"includeThoughts": True} if effort != "none" else {}
    if generation >= _LEVELS_SINCE:
        level = _LEVELS.get(effort, "HIGH")
        if pro:
            levels = _LEVELS_OF_PRO if generation == _LEVELS_SINCE else _LEVELS_OF_LATER_PRO
            level = levels.get(level, level)
        thinking["thinkingLevel"] = level
    else:
        thinking["thinkingBudget"] = _BUDGETS.get(effort, _HIGH_BUDGET)
    if effort == "none" and (pro or generation >= _LEVELS_SINCE):
        # These cannot but think: as little as they may.
        fields.drop("reasoning_effort")
        if generation < _LEVELS_SINCE:
            thinking["thinkingBudget"] = _LEAST_BUDGET_OF_PRO
    config["thinkingConfig"] = thinking


def _write_format(config: Config, fields: Fields) -> None:
    form = fields.take("response_format", ResponseFormat)
    if form is None or form.type == "text":
        return
    if form.type not in ("json_object", "json_schema"):
        where = "response_format.type"
        raise InvalidRequestError(f"{where}: Gemini has no such format.", param=where)
    config["responseMimeType"] = _JSON
    wanted = form.json_schema
    if wanted is None or wanted.schema is None:
        return
    where = "response_format.json_schema"
    schema = express(wanted.schema, lambda keyword: fields.drop(f"{where}.schema.{keyword}"))
    if wanted.description is not None:
        if "$ref" in schema or "description" in schema:
            fields.drop(f"{where}.description")
        else:
            schema["description"] = wanted.description
    config["responseJsonSchema"] = schema
