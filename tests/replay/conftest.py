"""One provider that plays recordings back, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .server import Player


@pytest.fixture(scope="session")
def player() -> Iterator[Player]:
    # Imported late: without recordings these modules skip the test that imports them.
    from .exchanges import EXCHANGES
    from .server import playing

    with playing({exchange.id: exchange for exchange in EXCHANGES}) as player:
        yield player
