"""How a model is to answer: `inferenceConfig`, and what only some families take beside it.

What a model would refuse is left out and named, rather than sent and refused.
"""

from __future__ import annotations

from typing import Any

from ...wire.conversations import ResponseFormat
from ...wire.fields import Fields
from ...wire.members import encode
from .families import CLAUDE, EFFORTS, LEAST_BUDGET, PARTS, Family

_LEAST_TOP_P = 0.95
_BY_ITSELF = (("temperature", 1), ("top_p", 1))


class Parameters:
    """The members `inferenceConfig`, `additionalModelRequestFields` and `outputConfig`."""

    def __init__(
        self, fields: Fields, family: Family, *, most_tokens: int, may_think: bool, calls: bool
    ) -> None:
        self.inference: dict[str, Any] = {}
        self.additional: dict[str, Any] = {}
        self.output: dict[str, Any] = {}
        self._fields = fields
        self._family = family
        self._is_claude = family.proves == CLAUDE
        self._most_tokens = most_tokens
        if fields.take("parallel_tool_calls") is False and calls:
            fields.drop("parallel_tool_calls")
        self._limit()
        self._sample()
        self._format()
        self._think(may_think)
        self.additional.update(fields.take("additionalModelRequestFields", dict[str, Any]) or {})
        self.output.update(fields.take("outputConfig", dict[str, Any]) or {})

    def _limit(self) -> None:
        bound, other = map(self._fields.take_whole, ("max_completion_tokens", "max_tokens"))
        if (bound := bound or other) is not None:
            self.inference["maxTokens"] = bound
        said: str | list[str] = self._fields.take("stop", str | list[str]) or []
        stops = [said] if isinstance(said, str) else said
        # Nobody takes an empty one, and Claude none of white space.
        taken = [stop for stop in stops if (stop.strip() if self._is_claude else stop)]
        if taken:
            self.inference["stopSequences"] = taken
        if len(taken) < len(stops):
            self._fields.drop("stop")

    def _sample(self) -> None:
        """OpenAI's temperatures go up to 2, and Bedrock's to 1."""
        for name, own in (("temperature", "temperature"), ("top_p", "topP")):
            value = self._fields.take(name, int | float)
            if value is None:
                continue
            if value <= 1 and self._family.samples != "none":
                self.inference[own] = value
            elif (name, value) not in _BY_ITSELF:
                self._fields.drop(name)
        if self._family.samples == "either" and self.inference.keys() >= {"temperature", "topP"}:
            self._choose()
        if (top_k := self._fields.take("top_k", int)) is not None:
            self._cut_off(top_k)

    def _choose(self) -> None:
        """Of what excludes the other keep the temperature, unless it says nothing."""
        if self.inference["temperature"] == 1:
            del self.inference["temperature"]
        elif self.inference.pop("topP") != 1:
            self._fields.drop("top_p")

    def _cut_off(self, top_k: int) -> None:
        if not self._family.top_k:
            self._fields.drop("top_k")
            return
        *parents, last = self._family.top_k
        inner = self.additional
        for name in parents:
            inner = inner.setdefault(name, {})
        inner[last] = top_k

    def _format(self) -> None:
        """A schema; Bedrock has no word for JSON of any kind."""
        format = self._fields.take("response_format", ResponseFormat) or ResponseFormat()
        schema = format.json_schema
        if format.type == "json_schema" and schema is not None and schema.schema is not None:
            structure = {"name": schema.name, "schema": encode(schema.schema).decode()}
            if schema.description:
                structure["description"] = schema.description
            self.output["textFormat"] = {
                "type": "json_schema",
                "structure": {"jsonSchema": structure},
            }
        elif format.type != "text":
            self._fields.drop("response_format")

    def _think(self, may_think: bool) -> None:
        effort = self._fields.take("reasoning_effort", str)
        if (thinking := self._fields.take("thinking")) is not None:
            self.additional["thinking"] = thinking
        elif effort == "none":
            self._keep_from_thinking()
        elif effort is not None and not (may_think and self._told(effort)):
            self._fields.drop("reasoning_effort")

    def _keep_from_thinking(self) -> None:
        """Claude and Nova can be told, but the newest; gpt-oss always thinks, others never do."""
        if self._family.thinking in ("adaptive", "budget"):
            self.additional["thinking"] = {"type": "disabled"}
        elif self._family.thinking == "nova":
            self.additional["reasoningConfig"] = {"type": "disabled"}
        elif self._family.thinking in ("always", "effort"):
            self._fields.drop("reasoning_effort")

    def _told(self, effort: str) -> bool:
        """Whether the model can be told how hard it is to think."""
        thinking = self._family.thinking
        if effort not in EFFORTS or thinking == "none":
            return False
        if thinking == "effort":
            self.additional["reasoning_effort"] = EFFORTS[effort]
        elif thinking == "nova":
            self._think_as_nova(EFFORTS[effort])
        elif thinking == "budget":
            return self._think_within(PARTS[effort])
        else:
            self.additional["thinking"] = {"type": "adaptive", "display": "summarized"}
            self.output["effort"] = self._level(effort)
            self._sample_as_it_thinks()
        return True

    def _level(self, effort: str) -> str:
        """The effort as Claude has it."""
        if effort == "xhigh" and not self._family.knows_xhigh:
            return "max"
        return "low" if effort == "minimal" else effort

    def _think_as_nova(self, effort: str) -> None:
        """With the highest effort, Nova takes no bound and no sampling."""
        self.additional["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
        if effort == "high":
            self._leave_out("temperature", "temperature")
            self._leave_out("topP", "top_p")
            self._leave_out("maxTokens", "max_completion_tokens")
            if self.additional.pop("inferenceConfig", None) is not None:
                self._fields.drop("top_k")

    def _think_within(self, part: float) -> bool:
        """Whether there is room to think in what the answer may have."""
        bound = self.inference.get("maxTokens", self._most_tokens)
        budget = max(int(bound * part), LEAST_BUDGET)
        if budget >= bound:
            return False
        self.inference["maxTokens"] = bound  # Of which the budget is a part, said or not.
        self.additional["thinking"] = {"type": "enabled", "budget_tokens": budget}
        self._sample_as_it_thinks()
        return True

    def _sample_as_it_thinks(self) -> None:
        """While it thinks, Claude takes one temperature, nearly all tokens, and no `top_k`."""
        if self.inference.get("temperature", 1) != 1:
            self._leave_out("temperature", "temperature")
        if self.inference.get("topP", 1) < _LEAST_TOP_P:
            self._leave_out("topP", "top_p")
        if self.additional.pop("top_k", None) is not None:
            self._fields.drop("top_k")

    def _leave_out(self, own: str, name: str) -> None:
        if self.inference.pop(own, None) is not None:
            self._fields.drop(name)
