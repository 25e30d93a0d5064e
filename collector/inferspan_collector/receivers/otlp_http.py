"""OTLP/HTTP: raw ASGI, answered only once the content is on disk.

The codes are those of the OTLP specification as exporters really treat them: only 429, 502, 503
and 504 are tried again, everything else loses the sender's data. So whatever may pass is 503,
and never 500.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from inferspan_collector import http_uploads
from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import Content, Together
from inferspan_collector.receivers import bodies, inflating, otlp_uploads
from inferspan_collector.receivers.access import EVERYBODY, INGEST, LABELS, Access, Denied
from inferspan_collector.receivers.defects import Defects, is_defect
from inferspan_collector.receivers.failures import answered
from inferspan_collector.receivers.intake import committed, count, permitted
from inferspan_collector.receivers.otlp import SIGNALS, Decode, Signal
from inferspan_collector.receivers.otlp_exchange import (
    JSON,
    PROTOBUF,
    TRANSPORT,
    Answer,
    Asked,
    failed,
)
from inferspan_collector.receivers.otlp_uploads import Upload
from inferspan_collector.receivers.pending_labels import UNLIMITED, PendingLabels
from inferspan_collector.receivers.read_as_one import bytes_max
from inferspan_collector.receivers.waking import Waker
from inferspan_collector.submission import Overloaded, Sink
from inferspan_collector.telemetry import REQUESTS, Telemetry

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
        self.defects = Defects(telemetry, TRANSPORT)
        self.budget = budget
        self.pending = pending
        self._limit = limits.request_bytes
        self._access = access
        self._apart_until = 0.0
        self._signals = {signal.path: signal for signal in signals}
        self._waker: Waker | None = None
        self.uploads = otlp_uploads.Together(
            self, bytes_max(limits), limits.group_milliseconds / 1e3
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # Answers have the request's content type; one we do not know gets JSON, for people.
        json = not _is_protobuf(scope)
        answer = await answered(
            self._answer(scope, receive),
            lambda failure: failed(failure, json),
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
            return Upload(self, asked, length, answer)
        except (bodies.RefusedBody, Denied, Overloaded):
            return None

    def once(self, future: Future[Any], run: Callable[[Future[Any]], None]) -> None:
        """Run in the loop that receives, when the future is done: now, if it is."""
        if future.done():
            run(future)
            return
        if self._waker is None:
            self._waker = Waker(asyncio.get_running_loop())
        waker = self._waker
        future.add_done_callback(lambda done: waker.call(lambda: run(done)))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        headers = bodies.Headers.of(scope)
        asked = self._asked(scope, headers)
        async with bodies.received(headers, receive, self._limit, self.budget) as body:
            decoded = self.decoded_here(asked, body)
            if decoded is None:
                decoded = await asyncio.to_thread(self.decoded, asked, body)
        return await self.stored(asked, decoded)

    def _asked(self, scope: Scope, headers: bodies.Headers) -> Asked:
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
        return Asked(signal, headers.encoding, json, rights)

    def decoded_here(self, asked: Asked, body: Content) -> Decoded | None:
        """Decode what takes less than the way to another thread and back; None leaves it to one."""
        self.sink.check_room(len(body), TRANSPORT)
        if asked.json or len(body) > AT_ONCE_BYTES or self._is_apart():
            return None
        try:
            with self._attended():
                most = min(INFLATED_AT_ONCE_BYTES, self._limit)
                content = self._inflated(body, asked.encoding, most)
                return self._decode(asked, content, len(body), asked.signal.decode)
        except bodies.RefusedBody as error:
            if error.status != 413:
                raise
        except Exception as error:
            if not is_defect(error):
                raise
        # Much more than it seemed, a bomb, or read in parts: nobody else waits for that.
        return None

    def decoded_together(self, asked: Asked, some: Sequence[Content]) -> Together | None:
        """Decode several bodies, of senders with the same rights, as one.

        Returns:
            Without those that are damaged, or too large together with those before them; None
            where all are to be decoded one by one.

        Raises:
            Overloaded: there is no room.
        """
        if asked.signal.together is None or self._is_apart():
            return None
        size = sum(map(len, some))
        self.sink.check_room(size, TRANSPORT)
        # Of all of them together: so many bombs are held at once as one may be.
        left = min(INFLATED_AT_ONCE_BYTES, self._limit)
        contents: dict[int, Content] = {}
        with self._attended(max(1.0, size / AT_ONCE_BYTES)):
            for place, body in enumerate(some):
                with contextlib.suppress(bodies.RefusedBody):
                    contents[place] = self._inflated(body, asked.encoding, left)
                    left = max(0, left - len(contents[place]))
            with self.telemetry.timed("decode"), self.budget.making_rows(size) as reserve:
                read = asked.signal.together(
                    [*contents.values()],
                    received_ns=self.sink.now_ns(),
                    reserve=reserve,
                    labels=LABELS in asked.rights,
                )
        if read is None or len(contents) == len(some):
            return read
        inflated = [*contents]
        return Together(read.decoded, tuple(inflated[place] for place in read.places))

    def _is_apart(self) -> bool:
        return asyncio.get_running_loop().time() < self._apart_until

    @contextlib.contextmanager
    def _attended(self, times: float = 1.0) -> Iterator[None]:
        """See how long a decoding holds up whoever else is being received; it is of that many."""
        began = time.thread_time()
        try:
            yield
        finally:
            if time.thread_time() - began > HELD_UP_SECONDS * times:
                self._apart_until = asyncio.get_running_loop().time() + APART_SECONDS

    def decoded(self, asked: Asked, body: Content) -> Decoded:
        """Decode in a thread."""
        with self.defects.refusing():
            content = self._inflated(body, asked.encoding, self._limit)
        return self._decode(asked, content, len(body), partial(self.defects.decoded, asked.signal))

    def _inflated(self, body: Content, encoding: str, limit: int) -> Content:
        if encoding == "identity":
            return body
        with self.telemetry.timed("inflate"):
            return inflating.inflated(body, encoding, limit)

    def _decode(self, asked: Asked, content: Content, body_bytes: int, decode: Decode) -> Decoded:
        with self.telemetry.timed("decode"), self.budget.making_rows(body_bytes) as reserve:
            return decode(content, json=asked.json, received_ns=self.sink.now_ns(), reserve=reserve)

    async def stored(self, asked: Asked, decoded: Decoded) -> Answer:
        """Have it stored, and answer."""
        decoded = await self.pending.admit_here(permitted(decoded, asked.rights))
        await committed(self.sink.keep(decoded, TRANSPORT))
        return self.done(asked, decoded)

    def done(self, asked: Asked, decoded: Decoded) -> Answer:
        """Count what is stored, and answer."""
        self.pending.note_at_most(len(decoded.labels))
        count(decoded, self.telemetry, TRANSPORT)
        return Answer(200, asked.signal.answer(decoded, json=asked.json), asked.json)


def _is_protobuf(scope: Scope) -> bool:
    return any(
        name == b"content-type" and value.partition(b";")[0].strip().lower() == PROTOBUF.encode()
        for name, value in scope["headers"]
    )
