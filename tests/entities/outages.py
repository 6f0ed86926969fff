"""A wire to a server that can be cut and held: a TCP proxy in threads, for any event loop."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Listens at `url` in the place of the server at another one. `cut` closes all, `hold` keeps
    what is sent until `release`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._far = (parts.hostname or "", parts.port or 0)
        self._listener = self._listen(0)
        self._port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        credential = parts.netloc.rpartition("@")[0]
        netloc = f"{credential}@127.0.0.1:{self._port}"
        self.url = urlunsplit(parts._replace(netloc=netloc))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        """Close every connection, and listen no more."""
        self._close(self._listener)
        for connection in list(self._open):
            self._close(connection)
        self._flowing.set()

    def mend(self) -> None:
        """Listen again."""
        self._listener = self._listen(self._port)

    def hold(self) -> None:
        """Let nothing pass."""
        self._flowing.clear()

    def release(self) -> None:
        """Let what was held pass."""
        self._flowing.set()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=100)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._far)
                self._open |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        self._close(source)
        self._close(target)

    def _close(self, ended: socket.socket) -> None:
        with suppress(OSError):
            ended.shutdown(socket.SHUT_RDWR)
        ended.close()
        self._open.discard(ended)
