"""Data in the form of genai-prices, and tables built from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from waystone_asgi.pricing import Table
from waystone_asgi.pricing.build import build_from

Provider = dict[str, Any]


def model(id: str, match: object = None, prices: object = None, **more: object) -> dict[str, Any]:
    return {
        "id": id,
        "match": match or {"equals": id},
        "prices": {"input_mtok": 1, "output_mtok": 2} if prices is None else prices,
        **more,
    }


def provider(id: str, *models: dict[str, Any], **more: object) -> Provider:
    return {"id": id, "name": id, "models": list(models), **more}


def content(path: Path, *providers: Provider) -> bytes:
    """The table of these providers."""
    file = path / "data.json"
    file.write_text(json.dumps(providers))
    return build_from(str(file))


def table(path: Path, *providers: Provider) -> Table:
    return Table(content(path, *providers))
