"""A provider whose every answer uses the same: `python -m tests.servers.serve NAME FD` this module.

The model `ten` writes ten tokens and `nine` nine, both for forty of input.
"""

from __future__ import annotations

import json
from typing import Any

from waystone_asgi.types import Receive, Scope, Send

INPUT_TOKENS = 40
OUTPUT_TOKENS = {"ten": 10, "nine": 9}


def answer(model: str) -> bytes:
    """The whole answer of a model."""
    output = OUTPUT_TOKENS[model]
    message = {"role": "assistant", "content": "one two three"}
    document: dict[str, Any] = {
        "id": "chatcmpl-steady",
        "object": "chat.completion",
        "created": 1700000000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": output,
            "total_tokens": INPUT_TOKENS + output,
        },
    }
    return json.dumps(document).encode()


ANSWERS = {model: answer(model) for model in OUTPUT_TOKENS}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whatever is asked."""
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    found = ANSWERS[json.loads(body)["model"]]
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(found)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": found})
