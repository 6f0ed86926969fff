"""Something like Google's token server, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple, TypeAlias
from urllib.parse import parse_qs

from .scripted import PATIENCE


class Asked(NamedTuple):
    """A request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a body that is a form."""
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


Said: TypeAlias = tuple[int, object]
"""A status, and a body: bytes, or what becomes JSON."""


def granted(token: str = "ya29.one", seconds: int = 3600) -> Said:
    """A token."""
    return 200, {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}


class TokenServer:
    """Answers as `answer` says while it is entered, and after `gate` has opened."""

    def __init__(self, answer: Callable[[Asked], Said] = lambda _: granted()) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.gate = threading.Event()
        self.gate.set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> TokenServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, body)
                outer.asked.append(asked)
                outer.gate.wait(PATIENCE)
                status, said = outer.answer(asked)
                data = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(status)
                self.send_header("metadata-flavor", "Google")
                kind = "text/plain" if isinstance(said, bytes) else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is logged."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)
