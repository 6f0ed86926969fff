"""A provider on a real socket that plays recordings back.

Each request names in `x-exchange` what it wants to hear, and in `x-cut` in which pieces. What was
received is kept, byte for byte.
"""

from __future__ import annotations

import socketserver
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Protocol


class Recording(Protocol):
    """What can be played back: an answer, and its body as the network cut it."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def body(self) -> bytes: ...
    @property
    def pieces(self) -> list[bytes]: ...


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Player(socketserver.ThreadingTCPServer):
    """Plays `exchanges` back; `received` are the requests so far."""

    allow_reuse_address = True

    def __init__(self, exchanges: Mapping[str, Recording]) -> None:
        super().__init__(("127.0.0.1", 0), _Playback)
        self.exchanges = exchanges
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self) -> list[Received]:
        """The requests since the last call."""
        taken, self.received = self.received, []
        return taken


class _Playback(socketserver.StreamRequestHandler):
    """One connection: reads requests and answers them until the other side closes."""

    server: Player
    disable_nagle_algorithm = True
    timeout = 10

    def handle(self) -> None:
        while line := self.rfile.readline():
            method, path, _ = line.decode().split(" ")
            headers = dict(self._headers())
            body = self.rfile.read(int(headers.get("content-length", "0")))
            self.server.received.append(Received(method, path, headers, body))
            self._play(self.server.exchanges[headers["x-exchange"]], headers["x-cut"])

    def _headers(self) -> Iterator[tuple[str, str]]:
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(":")
            yield name.lower(), value.strip()

    def _play(self, exchange: Recording, cut: str) -> None:
        head = [f"HTTP/1.1 {exchange.status} Recorded", "transfer-encoding: chunked"]
        head += [f"{name}: {value}" for name, value in exchange.headers.items()]
        self.wfile.write("\r\n".join([*head, "", ""]).encode())
        for piece in pieces(exchange, cut):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


def pieces(exchange: Recording, cut: str) -> list[bytes]:
    """The body whole, as the network cut it, or byte by byte."""
    if cut == "bytes":
        return [exchange.body[index : index + 1] for index in range(len(exchange.body))]
    return [exchange.body] if cut == "whole" else exchange.pieces


@contextmanager
def playing(exchanges: Mapping[str, Recording]) -> Iterator[Player]:
    """A player that listens until the block is left."""
    with Player(exchanges) as player:
        thread = Thread(target=player.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield player
        finally:
            player.shutdown()
            thread.join()
