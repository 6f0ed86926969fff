"""The page on what reaches whom is what the dialects build now, and nothing is lost in silence."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_type_hints

import pytest
from openai.types.chat import (
    ChatCompletionContentPartParam,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from ..dialects.__main__ import PAGE
from ..dialects.answers import told
from ..dialects.columns import ANSWERING, COLUMNS, OPENAI, OTHER_MODELS, VENDORS, Column
from ..dialects.features import FEATURES, PLAIN
from ..dialects.heard import ANSWERS
from ..dialects.page import write
from ..dialects.probes import PROBES
from ..dialects.words import is_needless, word

# The gateway's own business, or what every request has.
NOT_FEATURES = {"model", "messages", "stream_options"}


def lost(columns: Iterable[Column]) -> set[tuple[str, str]]:
    """What is left out in silence, and where."""
    return {
        (column.model, probe.feature)
        for column in columns
        for probe in PROBES
        if word(column, probe) == "lost" and not is_needless(column, probe)
    }


def test_the_page_is_what_is_built_now() -> None:
    assert PAGE.read_text() == write(), "scripts/dialects writes it anew"


def test_nothing_is_lost_in_silence() -> None:
    others = [other for models in OTHER_MODELS.values() for other in models]
    assert lost([*COLUMNS, *others]) == set()
    assert lost(VENDORS) == set()


@pytest.mark.parametrize("column", ANSWERING, ids=lambda column: column.name)
def test_nothing_of_an_answer_is_lost(column: Column) -> None:
    assert [feature for feature in FEATURES if told(column, feature) == []] == []


def test_each_feature_of_an_answer_has_its_row() -> None:
    heard = {feature for changes in ANSWERS.values() for feature in changes}
    assert heard - {PLAIN} == set(FEATURES)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.feature)
def test_openai_has_what_the_contract_takes(probe: Any) -> None:
    assert word(OPENAI, probe) in ("passed", "refused")


def test_each_member_of_openais_request_has_its_row() -> None:
    probed = {probe.place[0] for probe in PROBES}
    assert set(get_type_hints(CompletionCreateParamsBase)) - NOT_FEATURES - probed == set()


def keys(documents: Iterable[Any]) -> set[str]:
    return {name for document in documents for name in document}


def members(union: Any) -> set[str]:
    return {name for kind in get_args(union) for name in get_type_hints(kind)}


def test_each_member_of_messages_parts_and_tools_is_probed() -> None:
    asked = [probe.asked for probe in PROBES]
    messages = [message for request in asked for message in request["messages"]]
    parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"]]
    tools = [tool for request in asked for tool in request.get("tools", ())]
    assert members(ChatCompletionMessageParam) - keys(messages) == set()
    assert members(ChatCompletionContentPartParam) - keys(parts) == set()
    assert members(ChatCompletionToolUnionParam) - keys(tools) == set()
