"""OTLP/HTTP: raw ASGI, answered only once the content is on disk.

The codes are those of the OTLP specification as exporters really treat them: only 429, 502, 503
and 504 are tried again, everything else loses the sender's data. So whatever may pass is 503,
and never 500.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.receivers import bodies
from inferspan_collector.receivers.failures import Failure, answered
from inferspan_collector.receivers.intake import committed, count
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.submission import Sink
from inferspan_collector.telemetry import REQUESTS, Telemetry

TRANSPORT: Final = "otlp_http"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}


def application(sink: Sink, telemetry: Telemetry, limits: Limits, budget: bodies.Budget) -> ASGIApp:
    """The OTLP/HTTP receiver: `POST /v1/traces` and `POST /v1/logs`, protobuf and JSON.

    Args:
        sink: takes what was decoded.
        telemetry: counts.
        limits: `request_bytes` is the largest body.
        budget: what requests under way may hold, shared with the other receivers.
    """
    return _Receiver(sink, telemetry, limits, budget)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    message: Message
    headers: tuple[tuple[bytes, bytes], ...] = ()


def _refusal(status: int, message: str, *headers: tuple[bytes, bytes]) -> _Answer:
    return _Answer(status, Status(code=_CODES[status], message=message), headers)


def _failed(failure: Failure) -> _Answer:
    seconds = failure.retry_after_seconds
    headers = () if seconds is None else ((b"retry-after", b"%d" % seconds),)
    return _refusal(failure.status, failure.message, *headers)


class _Receiver:
    def __init__(
        self, sink: Sink, telemetry: Telemetry, limits: Limits, budget: bodies.Budget
    ) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._limit = limits.request_bytes
        self._budget = budget
        self._signals = {signal.path: signal for signal in SIGNALS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        answer = await answered(self._answer(scope, receive), _failed, self._telemetry, TRANSPORT)
        if answer is not None:
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=str(answer.status))
            await _send(answer, _asks_for_protobuf(scope), send)

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        signal = self._signals.get(scope["path"])
        if signal is None:
            known = " and ".join(self._signals)
            return _refusal(404, f"{scope['path']!r:.80} is not served here; {known} are")
        if scope["method"] != "POST":
            return _refusal(405, f"{scope['method']} is not allowed; POST is", (b"allow", b"POST"))
        headers = bodies.Headers.of(scope)
        if headers.media_type not in (PROTOBUF, JSON):
            return _refusal(
                415, f"Content-Type {headers.media_type!r:.80} is neither {PROTOBUF} nor {JSON}"
            )
        async with bodies.received(headers, receive, self._limit, self._budget) as body:
            decoded = await asyncio.to_thread(self._decode, signal, headers, body)
        await committed(self._sink.submit(decoded, TRANSPORT))
        count(decoded, self._telemetry, TRANSPORT)
        return _Answer(200, signal.answer(decoded))

    def _decode(self, signal: Signal, headers: bodies.Headers, body: bytes) -> Decoded:
        with self._telemetry.timed("inflate"):
            content = bodies.inflated(body, headers.encoding, self._limit)
        with self._telemetry.timed("decode"), self._budget.making_rows(len(body)) as reserve:
            return signal.decode(
                content,
                json=headers.media_type == JSON,
                received_ns=self._sink.now_ns(),
                reserve=reserve,
            )


def _asks_for_protobuf(scope: Scope) -> bool:
    """Answers have the request's content type; one we do not know gets JSON, for people."""
    return any(
        name.lower() == b"content-type" and value.strip().lower().startswith(PROTOBUF.encode())
        for name, value in scope["headers"]
    )


async def _send(answer: _Answer, protobuf: bool, send: Send) -> None:
    if protobuf:
        body = answer.message.SerializeToString()
    else:
        body = json_format.MessageToJson(answer.message, indent=None).encode()
    headers = [
        (b"content-type", (PROTOBUF if protobuf else JSON).encode()),
        (b"content-length", b"%d" % len(body)),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
