"""OTLP/HTTP: raw ASGI, answered only once the content is on disk.

The codes are those of the OTLP specification as exporters really treat them: only 429, 502, 503
and 504 are tried again, everything else loses the sender's data. So whatever may pass is 503,
and never 500.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from google.protobuf import json_format
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status
from starlette.types import Receive, Scope, Send

from inferspan_collector import http_uploads
from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import Content
from inferspan_collector.receivers import bodies, inflating
from inferspan_collector.receivers.access import EVERYBODY, INGEST, LABELS, Access, Denied, Rights
from inferspan_collector.receivers.failures import CLIENT_CLOSED, Failure, answered, failure_of
from inferspan_collector.receivers.intake import committed, count, outcome, permitted
from inferspan_collector.receivers.otlp import SIGNALS, Signal
from inferspan_collector.receivers.pending_labels import UNLIMITED, PendingLabels
from inferspan_collector.receivers.waking import Waker
from inferspan_collector.submission import Overloaded, Sink, Stopping
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
_NOTHING: Final = memoryview(b"")
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
) -> http_uploads.Application:
    """The OTLP/HTTP receiver: `POST /v1/traces` and `POST /v1/logs`, protobuf and JSON.

    Its answers are the same whichever way a request comes, as an ordinary upload or by ASGI.

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

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", (JSON if self.json else PROTOBUF).encode()),
            (b"content-length", b"%d" % len(self.body)),
            *self.headers,
        ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the head of a request asks for."""

    signal: Signal
    encoding: str
    json: bool
    rights: Rights


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
        self.sink = sink
        self.telemetry = telemetry
        self.budget = budget
        self.pending = pending
        self._limit = limits.request_bytes
        self._access = access
        self._apart_until = 0.0
        self._signals = {signal.path: signal for signal in signals}
        self._waker: Waker | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # Answers have the request's content type; one we do not know gets JSON, for people.
        json = not _is_protobuf(scope)
        answer = await answered(
            self._answer(scope, receive),
            lambda failure: _failed(failure, json),
            self.telemetry,
            TRANSPORT,
        )
        if answer is not None:
            self.telemetry.add(REQUESTS, transport=TRANSPORT, code=str(answer.status))
            start = {"status": answer.status, "headers": answer.all_headers}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": answer.body})

    def begin(
        self, scope: Scope, length: int, answer: http_uploads.Answer
    ) -> http_uploads.Upload | None:
        """As of `http_uploads.Uploads`: what the head shows to be refused goes the other way."""
        try:
            headers = bodies.Headers.of(scope)
            asked = self._asked(scope, headers)
            if asked.json or length > AT_ONCE_BYTES or length > self._limit:
                return None
            if asked.encoding not in bodies.ENCODINGS:
                return None
            if self.budget.held + length > self.budget.limit // 2:
                # This way holds what is announced, the other what has come.
                return None
            return _Upload(self, asked, length, answer)
        except (bodies.RefusedBody, Denied, Overloaded):
            return None

    def in_loop(self) -> Waker:
        """Brings the loop that receives what other threads end."""
        if self._waker is None:
            self._waker = Waker(asyncio.get_running_loop())
        return self._waker

    async def _answer(self, scope: Scope, receive: Receive) -> _Answer:
        headers = bodies.Headers.of(scope)
        asked = self._asked(scope, headers)
        async with bodies.received(headers, receive, self._limit, self.budget) as body:
            decoded = self.decoded_here(asked, body)
            if decoded is None:
                decoded = await asyncio.to_thread(self.decoded, asked, body)
        return await self.stored(asked, decoded)

    def _asked(self, scope: Scope, headers: bodies.Headers) -> _Asked:
        rights = self._access.require(headers.authorization, INGEST, LABELS)
        signal = self._signals.get(scope["path"])
        if signal is None:
            rule = f"{' and '.join(self._signals)} are served here"
            raise bodies.RefusedBody(404, f"{scope['path']!r:.80}", rule, "send to one of these")
        if scope["method"] != "POST":
            value, allow = f"{scope['method']} {signal.path}", (("allow", "POST"),)
            raise bodies.RefusedBody(405, value, "only POST is allowed", "send POST", allow)
        json = headers.media_type == JSON
        if not json and headers.media_type != PROTOBUF:
            value = f"Content-Type {headers.media_type!r:.80}"
            rule = f"{PROTOBUF} and {JSON} are read"
            raise bodies.RefusedBody(415, value, rule, f"send {PROTOBUF}")
        return _Asked(signal, headers.encoding, json, rights)

    def decoded_here(self, asked: _Asked, body: Content) -> Decoded | None:
        """Decode what takes less than the way to another thread and back; None leaves it to one."""
        self.sink.check_room(len(body), TRANSPORT)
        now = asyncio.get_running_loop().time()
        if asked.json or len(body) > AT_ONCE_BYTES or now < self._apart_until:
            return None
        began = time.thread_time()
        try:
            most = min(INFLATED_AT_ONCE_BYTES, self._limit)
            return self._decode(asked, self._inflated(body, asked.encoding, most), len(body))
        except bodies.RefusedBody as error:
            if error.status != 413:
                raise
        finally:
            if time.thread_time() - began > HELD_UP_SECONDS:
                self._apart_until = now + APART_SECONDS
        # Much more than it seemed, or a bomb: nobody else waits for that.
        return None

    def decoded(self, asked: _Asked, body: Content) -> Decoded:
        """Decode in a thread."""
        return self._decode(asked, self._inflated(body, asked.encoding, self._limit), len(body))

    def _inflated(self, body: Content, encoding: str, limit: int) -> Content:
        if encoding == "identity":
            return body
        with self.telemetry.timed("inflate"):
            return inflating.inflated(body, encoding, limit)

    def _decode(self, asked: _Asked, content: Content, body_bytes: int) -> Decoded:
        with self.telemetry.timed("decode"), self.budget.making_rows(body_bytes) as reserve:
            return asked.signal.decode(
                content, json=asked.json, received_ns=self.sink.now_ns(), reserve=reserve
            )

    async def stored(self, asked: _Asked, decoded: Decoded) -> _Answer:
        """Have it stored, and answer."""
        decoded = await self.pending.admit_here(permitted(decoded, asked.rights))
        await committed(self.sink.keep(decoded, TRANSPORT))
        return self.done(asked, decoded)

    def done(self, asked: _Asked, decoded: Decoded) -> _Answer:
        """Count what is stored, and answer."""
        self.pending.note_at_most(len(decoded.labels))
        count(decoded, self.telemetry, TRANSPORT)
        return _Answer(200, asked.signal.answer(decoded, json=asked.json), asked.json)


class _Upload:
    """As `http_uploads.Upload`: read, stored and answered without a task, where it needs none."""

    def __init__(
        self, receiver: _Receiver, asked: _Asked, length: int, answer: http_uploads.Answer
    ) -> None:
        self._receiver = receiver
        self._asked = asked
        self._answer: http_uploads.Answer | None = answer
        self._held = 0
        receiver.budget.begin(length, self.give_up)
        self._held = length
        self.memory = np.empty(length, np.uint8).data

    def whole(self) -> None:
        receiver, asked = self._receiver, self._asked
        receiver.budget.whole(self.give_up)
        try:
            decoded = receiver.decoded_here(asked, self.memory)
            if decoded is None or not receiver.pending.knows_of(decoded):
                self._task = asyncio.create_task(self._apart(decoded))
                return
            self._let_go()
            decoded = receiver.pending.admit(permitted(decoded, asked.rights))
            future = receiver.sink.keep(decoded, TRANSPORT)
        except Exception as error:
            self._fail(error)
            return
        if future.done():
            self._end(decoded, future)
        else:
            waker = receiver.in_loop()
            future.add_done_callback(lambda done: waker.call(lambda: self._end(decoded, done)))

    def gone(self) -> None:
        self._receiver.telemetry.add(REQUESTS, transport=TRANSPORT, code=CLIENT_CLOSED)
        self._answer = None
        self._let_go()

    def look(self, seconds: float, silent: float) -> None:
        try:
            self._receiver.budget.check_pace(seconds, silent)
        except bodies.RefusedBody as error:
            self._fail(error)

    def give_up(self) -> None:
        self._fail(Stopping())

    def _end(self, decoded: Decoded, future: Future[Any]) -> None:
        try:
            outcome(future)
            answer = self._receiver.done(self._asked, decoded)
        except Exception as error:
            self._fail(error)
        else:
            self._say(answer)

    async def _apart(self, decoded: Decoded | None) -> None:
        """The same, where a thread has to decode it or to ask the store."""
        answer = await answered(
            self._answer_apart(decoded),
            lambda failure: _failed(failure, json=False),
            self._receiver.telemetry,
            TRANSPORT,
        )
        if answer is not None:
            self._say(answer)

    async def _answer_apart(self, decoded: Decoded | None) -> _Answer:
        try:
            if decoded is None:
                decoded = await asyncio.to_thread(self._receiver.decoded, self._asked, self.memory)
        finally:
            self._let_go()
        return await self._receiver.stored(self._asked, decoded)

    def _fail(self, error: Exception) -> None:
        self._let_go()
        if self._answer is not None:
            failure = failure_of(error, self._receiver.telemetry, TRANSPORT)
            self._say(_failed(failure, json=False))

    def _say(self, answer: _Answer) -> None:
        say, self._answer = self._answer, None
        if say is not None:
            self._receiver.telemetry.add(REQUESTS, transport=TRANSPORT, code=str(answer.status))
            say(answer.status, answer.all_headers, answer.body)

    def _let_go(self) -> None:
        """Hold the body no longer."""
        self._receiver.budget.whole(self.give_up)
        self._receiver.budget.give(self._held)
        self._held = 0
        self.memory = _NOTHING


def _is_protobuf(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.partition(b";")[0].strip().lower() == PROTOBUF.encode()
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
