"""Bytes of an HTTP/1.1 answer to its parts, by httptools.

A `Connection` is an `AnswerParser`: what is parsed goes straight to where it is needed, without
another call. It takes bytes and fills in `AsyncioResponse`; it does no input or output, and closes
nothing.
"""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from ..exceptions import UpstreamError
from .answer import AsyncioResponse
from .codings import inflater_for
from .framing import MAX_HEADERS, check_headers, check_status

PARSER_ERRORS = (HttpParserError, HttpParserUpgrade)

_CODINGS = frozenset((b"content-encoding", b"transfer-encoding"))
_name = itemgetter(0)


class AnswerParser:
    """Parses one answer after the other; only one that `_ask` has asked for may begin."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_headers",
        "_keep_alive",
        "_parser",
        "_permits",
        "_response",
        "on_body",
        "on_message_begin",
    )

    def __init__(self) -> None:
        self._response: AsyncioResponse | None = None
        self._complete = self._keep_alive = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: deque[bytes] = deque()
        # The parser calls these two without a Python frame. Each message takes a permit as it
        # begins; one that nobody asked for finds none, which is an error to the parser.
        self._permits: list[bool] = []
        self.on_message_begin = self._permits.pop
        self.on_body = self._chunks.append
        self._parser = HttpResponseParser(self)

    def _ask(self, response: AsyncioResponse, headers: list[tuple[bytes, bytes]]) -> None:
        self._response = response
        self._headers = headers
        self._complete = False
        self._permits.append(True)
        response.pieces = self._chunks

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is there: of the answer, or of an interim one (1xx), which is dropped."""
        status = self._parser.get_status_code()
        headers = self._headers
        if status < 200:
            if status < 100 or status == 101:
                check_status(status)
            self._permits.append(True)
            headers.clear()
            return
        response = cast("AsyncioResponse", self._response)
        if len(headers) > MAX_HEADERS or not _CODINGS.isdisjoint(map(_name, headers)):
            check_headers(headers)
            response.inflater = inflater_for(headers)
        response.status = status
        self._headers = []  # Trailers come to nothing.

    def on_message_complete(self) -> None:
        """The last byte of the answer, or of an interim one."""
        response = self._response
        if response is not None and response.status:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()


def fault_of(error: HttpParserError | HttpParserUpgrade) -> UpstreamError:
    """What is wrong with the answer that made the parser raise this."""
    if isinstance(error.__context__, UpstreamError):
        return error.__context__
    return UpstreamError(f"The provider's answer is not valid HTTP ({error}).")
