"""OTLP/HTTP: raw ASGI, answered only once the content is on disk.

The codes are those of the OTLP specification as exporters really treat them: only 429, 502, 503
and 504 are tried again, everything else loses the sender's data. So whatever may pass is 503,
and never 500.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.types import ASGIApp, Receive, Scope, Send

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import MalformedRequest
from inferspan_collector.receivers import bodies
from inferspan_collector.receivers.intake import committed, count, submitted
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.submission import Overloaded, Sink, Unstorable
from inferspan_collector.telemetry import CONTAINED, REQUESTS, Telemetry

TRANSPORT: Final = "otlp_http"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
CLIENT_CLOSED: Final = "499"
"""How a request without anybody left to answer is counted."""
RETRY_AFTER_SECONDS: Final = 1
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}

_log = logging.getLogger(__name__)


def application(sink: Sink, telemetry: Telemetry, limits: Limits) -> ASGIApp:
    """The OTLP/HTTP receiver: `POST /v1/traces` and `POST /v1/logs`, protobuf and JSON."""
    return _Receiver(sink, telemetry, limits)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    message: Message
    headers: tuple[tuple[bytes, bytes], ...] = ()


def _refusal(status: int, message: str, *headers: tuple[bytes, bytes]) -> _Answer:
    return _Answer(status, Status(code=_CODES[status], message=message), headers)


def _come_again(message: str, seconds: int = RETRY_AFTER_SECONDS) -> _Answer:
    return _refusal(503, message, (b"retry-after", b"%d" % max(1, seconds)))


class _Receiver:
    def __init__(self, sink: Sink, telemetry: Telemetry, limits: Limits) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._limit = limits.request_bytes
        self._budget = bodies.Budget(max(limits.queue_bytes, limits.request_bytes))
        self._signals = {signal.path: signal for signal in SIGNALS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            answer = await self._answer(scope, receive)
        except bodies.ClientDisconnected:
            self._telemetry.add(REQUESTS, transport=TRANSPORT, code=CLIENT_CLOSED)
            return
        except bodies.RefusedBody as refused:
            answer = _refusal(refused.status, str(refused))
        except (MalformedRequest, Unstorable) as error:
            answer = _refusal(400, str(error))
        except Overloaded as error:
            answer = _come_again(str(error), error.retry_after_seconds)
        except Exception as error:
            self._telemetry.add(CONTAINED, where=TRANSPORT)
            _log.exception("an OTLP/HTTP request failed; its sender was told to come again")
            answer = _come_again(f"unexpected {type(error).__name__}; see the collector's log")
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
        future = submitted(decoded, self._sink, TRANSPORT)
        if future is not None:
            await committed(future)
        count(decoded, self._telemetry, TRANSPORT)
        return _Answer(200, signal.answer(decoded))

    def _decode(self, signal: Signal, headers: bodies.Headers, body: bytes) -> Decoded:
        content = bodies.inflated(body, headers.encoding, self._limit)
        return signal.decode(
            content, json=headers.media_type == JSON, received_ns=self._sink.now_ns()
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
