"""Headers as a transport gives them."""

from __future__ import annotations

from collections.abc import Mapping

from waystone_asgi.exceptions import Headers


def raw(headers: Mapping[str, str]) -> Headers:
    return tuple((name.encode(), value.encode()) for name, value in headers.items())
