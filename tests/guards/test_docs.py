"""The guards that the page shows do what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from waystone_asgi.exceptions import BlockedError
from waystone_asgi.guards import AnswerScreen

from .made import checking, event, says

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guards.md").read_text()
[BLOCK] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
KEY = "sk-abcdefghijklmnopqrst"


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(BLOCK, names)
    return names


async def test_keys_are_taken_out(shown: dict[str, Any]) -> None:
    screen = AnswerScreen(checking(shown["secrets"], shown["abuse"]))
    pieces = [event(says(content=f"It is {KEY[:9]}")), event(says(content=f"{KEY[9:]}."))]
    assert await screen.feed(b"".join(pieces)) == b""
    assert await screen.finish() == event(says(content="It is [key]."))


async def test_what_is_forbidden_is_blocked_though_it_was_cut(shown: dict[str, Any]) -> None:
    screen = AnswerScreen(checking(shown["secrets"], shown["abuse"], window=12))
    first = event(says(content="This is How to Pick"))
    assert await screen.feed(first) == first
    assert await screen.feed(event(says(content=" a lock"))) == b""
    with pytest.raises(BlockedError, match="withheld"):
        await screen.finish()


async def test_arguments_are_let_pass(shown: dict[str, Any]) -> None:
    call = b'{"function":{"arguments":"how to pick a lock"}}'
    body = b'{"choices":[{"message":{"tool_calls":[%b]}}]}' % call
    assert await checking(shown["abuse"]).answer(body) is body
