"""Asks a gateway that has a faulty provider, and notes what its caller and its ledger see."""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
from openai import APIError, OpenAI

from .keys import KEY
from .ledger import Ledger
from .processes import Served

SECONDS = 20.0
ASK: Any = [{"role": "user", "content": "Say it."}]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a caller got, and the one record of it. `text` is what was said, `error` the object."""

    status: int
    headers: dict[str, str]
    text: str
    finish: str | None
    events: int
    done: bool
    error: dict[str, Any] | None
    seconds: float
    request_bytes: int
    record: dict[str, Any] = field(repr=False)

    @property
    def attempts(self) -> list[tuple[str, int | None, str | None]]:
        """Each attempt's provider, status and error."""
        return [
            (each["provider"], each["status"], each["error_type"])
            for each in self.record["attempts"]
        ]


class Bench:
    """The gateways of `faulty`. What is asked for once is asked at the same time as others are."""

    def __init__(self, served: Served, directory: Path) -> None:
        self._served = served
        self._directory = directory
        self._numbers = count()
        self._client = httpx.Client(timeout=SECONDS)
        self.threads = ThreadPoolExecutor(8)

    def close(self) -> None:
        self.threads.shutdown(cancel_futures=True)
        self._client.close()

    def later(self, gateway: str, faults: str, stream: bool) -> Future[Seen]:
        """Ask for it in a thread."""
        return self.threads.submit(self.ask, gateway, self.model(faults), stream=stream)

    def model(self, faults: str) -> str:
        """A model of its own, so that nothing is known of it yet."""
        return f"one/{faults}@{next(self._numbers)}"

    def ask(self, gateway: str, model: str, *, stream: bool) -> Seen:
        """One request, from a caller who reads what comes and nothing else."""
        begun = monotonic()
        body = json.dumps({"model": model, "messages": ASK, "stream": stream}).encode()
        url = f"{self._served.url}/{gateway}/v1/chat/completions"
        headers = {"authorization": f"Bearer {KEY}", "x-request-id": f"req-{next(self._numbers)}"}
        received = b""
        with self._client.stream("POST", url, content=body, headers=headers) as response:
            for data in response.iter_raw():
                received += data
        seconds = monotonic() - begun
        said: dict[str, Any]
        if response.headers["content-type"].startswith("text/event-stream"):
            said = of_stream(received)
        else:
            said = of_json(json.loads(received))
        return Seen(
            status=response.status_code,
            headers=dict(response.headers),
            seconds=seconds,
            request_bytes=len(body),
            record=Ledger(self._directory / f"{gateway}.db").wait(headers["x-request-id"]),
            **said,
        )

    def ask_officially(self, gateway: str, faults: str, stream: bool) -> str | APIError:
        """What the official client returns to its user, or raises."""
        model = self.model(faults)
        text = ""
        with OpenAI(
            base_url=f"{self._served.url}/{gateway}/v1", api_key=KEY, max_retries=0, timeout=SECONDS
        ) as client:
            try:
                if not stream:
                    answer = client.chat.completions.create(model=model, messages=ASK)
                    return answer.choices[0].message.content or ""
                pieces = client.chat.completions.create(model=model, messages=ASK, stream=True)
                for piece in pieces:
                    text += "".join(choice.delta.content or "" for choice in piece.choices)
            except APIError as error:
                return error
        return text


def of_json(document: dict[str, Any]) -> dict[str, Any]:
    [choice] = document.get("choices") or [{"message": {"content": ""}, "finish_reason": None}]
    return {
        "text": choice["message"]["content"],
        "finish": choice["finish_reason"],
        "events": 0,
        "done": False,
        "error": document.get("error"),
    }


def of_stream(received: bytes) -> dict[str, Any]:
    """Nothing may come after an error or the end, and only whole events."""
    *events, rest = received.split(b"\n\n")
    assert rest == b""
    data = [event.removeprefix(b"data: ") for event in events]
    done = data[-1] == b"[DONE]"
    documents = [json.loads(each) for each in (data[:-1] if done else data)]
    assert not any("error" in each for each in documents[:-1])
    error = documents[-1].get("error")
    choices = [choice for each in documents for choice in each.get("choices", ())]
    finishes = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    assert len(finishes) <= 1
    said = [choice["delta"]["content"] for choice in choices if choice["delta"]]
    return {
        "text": "".join(said),
        "finish": finishes[0] if finishes else None,
        "events": len(said),
        "done": done,
        "error": error,
    }
