"""OTLP/HTTP: raw ASGI, answered only once the content is on disk.

The codes are those of the OTLP specification as exporters really treat them: only 429, 502, 503
and 504 are tried again, everything else loses the sender's data. So whatever may pass is 503,
and never 500.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.receivers import bodies, inflating
from inferspan_collector.receivers.access import EVERYBODY, INGEST, LABELS, Access
from inferspan_collector.receivers.failures import Failure, answered
from inferspan_collector.receivers.intake import committed, count, permitted
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.receivers.pending_labels import UNLIMITED, PendingLabels
from inferspan_collector.submission import Sink
from inferspan_collector.telemetry import REQUESTS, Telemetry

TRANSPORT: Final = "otlp_http"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
AT_ONCE_BYTES: Final = 1024 * 1024
"""A body up to this is decoded where it was received: 512 spans have 350 kB and take some 0.1 ms,
as long as handing them to a thread and waiting for the answer takes."""
INFLATED_AT_ONCE_BYTES: Final = 4 * 1024 * 1024
"""The same of what comes out of a compressed one."""
HELD_UP_SECONDS: Final = 0.02
"""CPU time of one decoding that shows that compiled code does not read what is sent: single
records that are not ordinary take twenty times as long."""
APART_SECONDS: Final = 60.0
"""How long all requests are decoded in threads after that: nobody else is held up again."""
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}


def application(
    sink: Sink,
    telemetry: Telemetry,
    limits: Limits,
    budget: bodies.Budget,
    access: Access = EVERYBODY,
    signals: Sequence[Signal] = SIGNALS,
    pending: PendingLabels = UNLIMITED,
) -> ASGIApp:
    """The OTLP/HTTP receiver: `POST /v1/traces` and `POST /v1/logs`, protobuf and JSON.

    Args:
        sink: takes what was decoded.
        telemetry: counts.
        limits: `request_bytes` is the largest body.
        budget: what requests under way may hold, shared with the other receivers.
        access: knows the tokens.
        signals: what is served.
        pending: limits the labels that wait.
    """
    return _Receiver(sink, telemetry, limits, budget, access, signals, pending)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    json: bool
    headers: tuple[tuple[bytes, bytes], ...] = ()


class _Receiver:
    def __init__(
        self,
        sink: Sink,
        telemetry: Telemetry,
        limits: Limits,
        budget: bodies.Budget,
        access: Access,
        signals: Sequence[Signal],
        pending: PendingLabels,
    ) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._limit = limits.request_bytes
        self._budget = budget
        self._access = access
        self._pending = pending
        self._apart_until = 0.0
        self._signals = {signal.path: signal for signal in signals}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # Answers have the request's content type; one we do not know gets JSON, for people.
        json = not _is_protobuf(scope)
        answer = await answered(
            self._answer(scope, receive),
            lambda failure: _failed(failure, json),
            self._telemetry,
            TRANSPORT,
        )
        if answer is not None:
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=str(answer.status))
            await _send(answer, send)

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        headers = bodies.Headers.of(scope)
        rights = self._access.require(headers.authorization, INGEST, LABELS)
        signal = self._signal(scope)
        json = headers.media_type == JSON
        if not json and headers.media_type != PROTOBUF:
            value = f"Content-Type {headers.media_type!r:.80}"
            rule = f"{PROTOBUF} and {JSON} are read"
            raise bodies.RefusedBody(415, value, rule, f"send {PROTOBUF}")
        async with bodies.received(headers, receive, self._limit, self._budget) as body:
            self._sink.check_room(len(body), TRANSPORT)
            decoded = await self._decoded(signal, headers.encoding, json, body)
        decoded = await self._pending.admit_here(permitted(decoded, rights))
        self._pending.note((await committed(self._sink.submit(decoded, TRANSPORT))).labels)
        count(decoded, self._telemetry, TRANSPORT)
        return _Answer(200, signal.answer(decoded, json=json), json)

    def _signal(self, scope: Scope) -> Signal:
        signal = self._signals.get(scope["path"])
        if signal is None:
            rule = f"{' and '.join(self._signals)} are served here"
            raise bodies.RefusedBody(404, f"{scope['path']!r:.80}", rule, "send to one of these")
        if scope["method"] != "POST":
            value, allow = f"{scope['method']} {signal.path}", (("allow", "POST"),)
            raise bodies.RefusedBody(405, value, "only POST is allowed", "send POST", allow)
        return signal

    async def _decoded(self, signal: Signal, encoding: str, json: bool, body: bytes) -> Decoded:
        """Decode here what takes less than the way to another thread and back; else there."""
        now = asyncio.get_running_loop().time()
        if json or len(body) > AT_ONCE_BYTES or now < self._apart_until:
            return await asyncio.to_thread(self._inflate_and_decode, signal, encoding, json, body)
        began = time.thread_time()
        try:
            content = self._inflated(body, encoding, min(INFLATED_AT_ONCE_BYTES, self._limit))
            return self._decode(signal, content, len(body), json)
        except bodies.RefusedBody as error:
            if error.status != 413:
                raise
        finally:
            if time.thread_time() - began > HELD_UP_SECONDS:
                self._apart_until = now + APART_SECONDS
        # Much more than it seemed, or a bomb: nobody else waits for that.
        return await asyncio.to_thread(self._inflate_and_decode, signal, encoding, json, body)

    def _inflate_and_decode(
        self, signal: Signal, encoding: str, json: bool, body: bytes
    ) -> Decoded:
        content = self._inflated(body, encoding, self._limit)
        return self._decode(signal, content, len(body), json)

    def _inflated(self, body: bytes, encoding: str, limit: int) -> bytes:
        if encoding == "identity":
            return body
        with self._telemetry.timed("inflate"):
            return inflating.inflated(body, encoding, limit)

    def _decode(self, signal: Signal, content: bytes, body_bytes: int, json: bool) -> Decoded:
        with self._telemetry.timed("decode"), self._budget.making_rows(body_bytes) as reserve:
            return signal.decode(
                content, json=json, received_ns=self._sink.now_ns(), reserve=reserve
            )


def _is_protobuf(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.strip().lower().startswith(PROTOBUF.encode())
        for name, value in scope["headers"]
    )


def _failed(failure: Failure, json: bool) -> _Answer:
    status = Status(code=_CODES[failure.status], message=failure.message)
    body = (
        json_format.MessageToJson(status, indent=None).encode()
        if json
        else status.SerializeToString()
    )
    headers = tuple((name.encode(), value.encode()) for name, value in failure.all_headers)
    return _Answer(failure.status, body, json, headers)


async def _send(answer: _Answer, send: Send) -> None:
    headers = [
        (b"content-type", (JSON if answer.json else PROTOBUF).encode()),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
