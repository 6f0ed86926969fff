"""A provider that does as it is told, byte for byte.

Each connection that comes in plays the next script, in a thread over a plain blocking socket, so
that it is the same under every event loop. A script is a sequence of steps; bytes are sent as they
are. When there are no more scripts, a connection answers every request in good order.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

PATIENCE = 20.0
"""Seconds after which a thread gives up, so that a failing test does not hang."""


class Peer:
    """One connection, seen from the provider."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.requests: list[bytes] = []
        self.closed = threading.Event()
        self.closed_at = 0.0
        self.paused = threading.Event()
        self.sent = 0
        self._buffer = b""

    def read_request(self) -> bool:
        """Read one request whole; False when the gateway has closed instead."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._read():
                return False
        head = self._buffer[:end].lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(self._buffer) < end + 4 + length:
            if not self._read():
                return False
        self.requests.append(self._buffer[: end + 4 + length])
        self._buffer = self._buffer[end + 4 + length :]
        return True

    def sip(self, size: int, every: float) -> None:
        """Read one request, at most so many bytes at a time, with a pause after each."""
        head, _, data = self.sock.recv(size).partition(b"\r\n\r\n")
        left = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]) - len(data)
        while left > 0 and (data := self.sock.recv(size)):
            left -= len(data)
            self.closed.wait(every)

    def glance(self) -> None:
        """Read the beginning of a request."""
        self._read()

    def wait_for_close(self) -> None:
        """Read until the gateway closes."""
        while self._read():
            pass

    def bare(self) -> socket.socket:
        """The socket itself; TLS around it is left behind without a word."""
        if isinstance(self.sock, ssl.SSLSocket):
            self.sock = socket.socket(fileno=self.sock.detach())
        return self.sock

    def note_close(self) -> None:
        """Remember that, and when, the gateway closed."""
        self.closed_at = time.monotonic()
        self.closed.set()

    def _read(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        if not data:
            self.note_close()
        return bool(data)


Step: TypeAlias = bytes | Callable[[Peer], None]
Script: TypeAlias = Sequence[Step]


def request(peer: Peer) -> None:
    """Step: read a request."""
    peer.read_request()


def glance(peer: Peer) -> None:
    """Step: read the beginning of a request, whatever it is."""
    peer.glance()


def hold(peer: Peer) -> None:
    """Step: do nothing until the gateway closes."""
    peer.wait_for_close()


def serve(peer: Peer) -> None:
    """Step: answer every request in good order."""
    while peer.read_request():
        peer.sock.sendall(answer(b"in order"))


def reset(peer: Peer) -> None:
    """Step: close with a reset."""
    sock = peer.bare()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def drip(data: bytes, *, every: float = 0.0) -> Step:
    """Step: send byte by byte, with a pause of so many seconds after each, until nobody listens."""

    def step(peer: Peer) -> None:
        for index in range(len(data)):
            peer.sock.sendall(data[index : index + 1])
            if peer.closed.wait(every):
                return

    return step


def endless(data: bytes) -> Step:
    """Step: send the same again and again until the gateway closes."""

    def step(peer: Peer) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer.sock.sendall(data)
        peer.note_close()

    return step


def flood(data: bytes) -> Step:
    """Step: send, and note in `paused` when the other side stopped taking for a while."""

    def step(peer: Peer) -> None:
        view = memoryview(data)
        peer.sock.settimeout(0.2)
        while peer.sent < len(data):
            try:
                peer.sent += peer.sock.send(view[peer.sent : peer.sent + 65536])
            except TimeoutError:
                peer.paused.set()
        peer.sock.settimeout(PATIENCE)

    return step


def until(event: threading.Event) -> Step:
    """Step: wait for the test."""

    def step(peer: Peer) -> None:
        event.wait(PATIENCE)

    return step


def tell(event: threading.Event) -> Step:
    """Step: let the test know."""

    def step(peer: Peer) -> None:
        event.set()

    return step


def raw(data: bytes) -> Step:
    """Step: send below TLS."""

    def step(peer: Peer) -> None:
        peer.bare().sendall(data)

    return step


def end_tls(peer: Peer) -> None:
    """Step: say goodbye as TLS wants it (close_notify)."""
    assert isinstance(peer.sock, ssl.SSLSocket)
    with contextlib.suppress(OSError):
        peer.sock = peer.sock.unwrap()


def answer(body: bytes = b"{}", *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer in good order."""
    lines = [b"HTTP/1.1 " + status, *headers, b"content-length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


@dataclass
class Provider:
    """Listens on loopback while it is entered; `peers` are its connections so far."""

    scripts: Sequence[Script] = ()
    tls: ssl.SSLContext | None = None
    peers: list[Peer] = field(default_factory=list)
    port: int = 0

    def __enter__(self) -> Provider:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        return self

    def __exit__(self, *args: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(PATIENCE)
        for peer in self.peers:
            peer.closed.set()
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    @property
    def requests(self) -> int:
        """How many requests have come in."""
        return sum(len(peer.requests) for peer in self.peers)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock)
            self.peers.append(peer)
            index = len(self.peers) - 1
            script = self.scripts[index] if index < len(self.scripts) else [serve]
            self._threads.append(threading.Thread(target=self._serve, args=(peer, script)))
            self._threads[-1].start()

    def _serve(self, peer: Peer, script: Script) -> None:
        with contextlib.suppress(OSError):
            if self.tls is not None:
                peer.sock = self.tls.wrap_socket(
                    peer.sock, server_side=True, do_handshake_on_connect=False
                )
                peer.sock.do_handshake()
            for step in script:
                if isinstance(step, bytes):
                    peer.sock.sendall(step)
                else:
                    step(peer)
        peer.bare().close()
