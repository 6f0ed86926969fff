"""Finished records come in; signed requests to one URL go out, as Standard Webhooks describes them.

standardwebhooks.com: `webhook-id`, `webhook-timestamp`, and in `webhook-signature` the HMAC-SHA256
of both and the body. A batch is one request. Its id comes from what is in it, so that a batch that
is sent again can be told by its id; a record can be told by its own. Whoever reads along could read
all of it unless the URL is `https`: certificates are checked, and redirects are not followed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import anyio.to_thread
import msgspec

from ..exceptions import ConfigurationError, Headers, UpstreamError
from ..records import Endpoint, Secret, Timeouts, UpstreamRequest, UsageRecord
from ..routing.backoff import retry_after
from ..types import Upstream
from ..upstream.httpx import HTTPXUpstream
from .refusals import RecordsRefusedError

TIMEOUT_SECONDS = 8.0

_PREFIX = "whsec_"
_PORTS = {"http": 80, "https": 443}
_LEAST_BYTES = 24  # of a secret, as the specification has it
_REPLY_BYTES = 65536

_encoder = msgspec.json.Encoder(decimal_format="string")


class WebhookError(OSError):
    """The receiver did not take a batch, but may take it later: after `retry_after` seconds, where
    it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class _Event(msgspec.Struct):
    type: str
    timestamp: str
    data: Sequence[UsageRecord]


class WebhookSink:
    """Posts batches to `url`, signed with each of the secrets: `whsec_` and base64 text.

    The body is `{"type": "usage.records", "timestamp": …, "data": [records]}`. A status of 2xx says
    that it is taken. A request has `timeout` seconds. `upstream` is another transport, and `clock`
    tells the time that is signed.
    """

    def __init__(
        self,
        url: str,
        secrets: str | Sequence[str],
        *,
        timeout: float = TIMEOUT_SECONDS,
        upstream: Upstream | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._endpoint = _endpoint(url)
        self._keys = [_key(text) for text in ([secrets] if isinstance(secrets, str) else secrets)]
        if not self._keys:
            raise ConfigurationError("A webhook needs a secret.")
        self._timeouts = Timeouts(connect=timeout, first_byte=timeout, idle=timeout, total=timeout)
        self._given = upstream
        self._upstream = upstream
        self._clock = clock

    async def emit(self, records: Sequence[UsageRecord]) -> None:
        """Post the batch; raises `WebhookError` or `UpstreamError`.

        A status of 4xx raises `RecordsRefusedError`, but for 408 and 429.
        """
        if not records:
            return
        try:
            # A large batch takes longer than requests should wait.
            request = await anyio.to_thread.run_sync(self._request, records)
        except UnicodeError:
            raise RecordsRefusedError("The record is no JSON.") from None
        if self._upstream is None:
            self._upstream = HTTPXUpstream(max_connections=1)
        status, headers = await _post(self._upstream, request)
        if 200 <= status < 300:
            return
        message = f"The webhook's receiver answered with status {status}."
        if 400 <= status < 500 and status not in (408, 429):
            raise RecordsRefusedError(message)
        raise WebhookError(message, retry_after(headers, self._clock()))

    async def aclose(self) -> None:
        """Close the connections, but for those of a transport that was given."""
        if self._given is None and self._upstream is not None:
            await self._upstream.aclose()
            self._upstream = None

    def _request(self, records: Sequence[UsageRecord]) -> UpstreamRequest:
        body = _body(records)
        endpoint = msgspec.structs.replace(
            self._endpoint, headers=self._endpoint.headers + self._signed(body)
        )
        return UpstreamRequest(endpoint=endpoint, content=body, timeouts=self._timeouts)

    def sign(self, id: bytes, moment: int, body: bytes) -> bytes:
        """The header `webhook-signature`: one signature a secret."""
        content = b"%b.%d.%b" % (id, moment, body)
        keys = [base64.b64decode(key.reveal()) for key in self._keys]
        return b" ".join(
            b"v1," + base64.b64encode(hmac.digest(key, content, "sha256")) for key in keys
        )

    def _signed(self, body: bytes) -> tuple[tuple[bytes, bytes], ...]:
        id = b"usage_" + hashlib.sha256(body).hexdigest()[:32].encode()
        moment = int(self._clock())
        return (
            (b"webhook-id", id),
            (b"webhook-timestamp", b"%d" % moment),
            (b"webhook-signature", self.sign(id, moment, body)),
        )


async def _post(upstream: Upstream, request: UpstreamRequest) -> tuple[int, Headers]:
    response = await upstream.send(request)
    try:
        # Read to its end the connection can be used again, unless that would take too long.
        left = _REPLY_BYTES
        with suppress(UpstreamError):
            while left > 0 and (data := await response.receive()):
                left -= len(data)
    finally:
        await response.aclose()
    return response.status, tuple(response.headers)


def _body(records: Sequence[UsageRecord]) -> bytes:
    moment = records[-1].time.isoformat()
    return _encoder.encode(_Event("usage.records", moment, records))


def _endpoint(url: str) -> Endpoint:
    """Where to post; the URL is not shown, for it may be a secret itself."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        if not parts.hostname or parts.username or parts.password or parts.fragment:
            raise ValueError
    except (ValueError, KeyError):
        raise ConfigurationError(
            "The URL of a webhook is not valid: expected https://host/path, without a password."
        ) from None
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    headers = ((b"content-type", b"application/json"), (b"user-agent", b"waystone-asgi"))
    return Endpoint(scheme=parts.scheme, host=parts.hostname, port=port, path=path, headers=headers)


def _key(text: str) -> Secret:
    encoded = text.removeprefix(_PREFIX)
    try:
        size = len(base64.b64decode(encoded, validate=True))
    except ValueError:
        size = 0
    if size < _LEAST_BYTES:
        raise ConfigurationError(
            f"The secret of a webhook is not valid: expected {_PREFIX} and the base64 text of "
            f"{_LEAST_BYTES} bytes or more."
        )
    return Secret(encoded)
