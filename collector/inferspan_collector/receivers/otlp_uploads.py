"""Uploads by OTLP/HTTP that need no task, and how those that come together are read as one.

What a request costs by itself, however many spans it holds, is as much as a hundred spans cost.
Under load several are on their way at once: those that become whole within moments are decoded and
queued as if they were one, and each is answered. Whatever is not ordinary is read by itself, so
that each sender hears of its own faults alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final, Protocol

import numpy as np

from inferspan_collector import decode, http_uploads
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import Content
from inferspan_collector.gathering import QUIET_SECONDS
from inferspan_collector.receivers import bodies
from inferspan_collector.receivers.access import Rights
from inferspan_collector.receivers.defects import Defects
from inferspan_collector.receivers.failures import CLIENT_CLOSED, answered, failure_of
from inferspan_collector.receivers.inflating import said_size
from inferspan_collector.receivers.intake import outcome, permitted
from inferspan_collector.receivers.otlp_exchange import TRANSPORT, Answer, Asked, failed
from inferspan_collector.receivers.pending_labels import PendingLabels
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS, kept_as_one, pays
from inferspan_collector.submission import Overloaded, Sink, Stopping
from inferspan_collector.telemetry import REQUESTS, Telemetry

COMPRESSED: Final = 12
"""How often a compressed body is its size at most: a guess, where it does not say less."""
_TICK_SECONDS: Final = 0.001
"""What the event loop's timers count in."""
_NOTHING: Final = memoryview(b"")
_Kind = tuple[str, str, Rights]
"""Path, encoding and rights: of a few of each."""


class Receiving(Protocol):
    """What uploads need of the receiver."""

    sink: Sink
    telemetry: Telemetry
    defects: Defects
    budget: bodies.Budget
    pending: PendingLabels
    uploads: Together

    def decoded_here(self, asked: Asked, body: Content) -> Decoded | None:
        """Decode it; None leaves it to a thread."""

    def decoded_together(self, asked: Asked, some: Sequence[Content]) -> decode.Together | None:
        """Decode several as one; None where all are to be decoded one by one."""

    def decoded(self, asked: Asked, body: Content) -> Decoded:
        """Decode in a thread."""

    async def stored(self, asked: Asked, decoded: Decoded) -> Answer:
        """Have it stored, and answer."""

    def once(self, future: Future[Any], run: Callable[[Future[Any]], None]) -> None:
        """Run in the loop when the future is done."""

    def done(self, asked: Asked, decoded: Decoded) -> Answer:
        """Count what is stored, and answer."""


class Together:
    """Takes whole uploads, and has those stored as one that come within moments.

    They wait until none was whole for `QUIET_SECONDS`, or there is enough: who was answered at
    once sends the next at once, and small bodies are never seen under way. The journal, which
    waits for longer, counts from when the first was whole, so that nobody is answered later.

    Args:
        receiver: that they came to.
        most: bytes that are read as one.
        seconds: how long the first waits at most.
    """

    def __init__(self, receiver: Receiving, most: int, seconds: float) -> None:
        self._receiver = receiver
        self._most = most
        self._seconds = seconds
        self._whole: list[Upload] = []
        self._size = 0
        self._began = self._newest = 0.0
        self._timer: asyncio.TimerHandle | None = None
        """What stores them in the end."""
        self._one_by_one_until: dict[_Kind, float] = {}

    def add(self, upload: Upload) -> None:
        """Have a whole upload stored."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if not upload.asked.signal.together or now < self._one_by_one_until.get(_kind(upload), 0.0):
            upload.store()
            return
        size = _weight(upload)
        if self._size + size > self._most and self._whole:
            self._store()
        self._newest = now
        if not self._whole:
            self._began = now
        self._whole.append(upload)
        self._size += size
        if self._size >= self._most:
            self._store()
        elif self._timer is None:
            self._timer = loop.call_later(min(QUIET_SECONDS, self._seconds), self._look)

    def _look(self) -> None:
        """Store them, unless more may come."""
        loop = asyncio.get_running_loop()
        left = min(self._newest + QUIET_SECONDS, self._began + self._seconds) - loop.time()
        if left < _TICK_SECONDS:
            self._store()
        else:
            self._timer = loop.call_later(left, self._look)

    def _store(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        uploads, self._whole, self._size = self._whole, [], 0
        now = asyncio.get_running_loop().time()
        waited = now - self._began
        for kind, some in _alike([upload for upload in uploads if upload.waits], self._most):
            apart = some
            if len(some) > 1 and now >= self._one_by_one_until.get(kind, 0.0):
                apart = self._stored(kind, some, now)
            for upload in apart:
                upload.store(waited)

    def _stored(self, kind: _Kind, uploads: list[Upload], now: float) -> list[Upload]:
        """Store several as one; those that are to be stored by themselves."""
        receiver, asked = self._receiver, uploads[0].asked
        kept = kept_as_one(
            lambda: receiver.decoded_together(asked, [upload.memory for upload in uploads]),
            asked.rights,
            sink=receiver.sink,
            pending=receiver.pending,
            defects=receiver.defects,
            transport=TRANSPORT,
            waited=now - self._began,
        )
        if not pays([len(upload.memory) for upload in uploads], kept):
            self._one_by_one_until[kind] = now + ONE_BY_ONE_SECONDS
        if kept is None:
            return uploads
        decoded, stored = kept.decoded, [uploads[place] for place in kept.places]
        for upload in stored:
            upload.let_go()
        receiver.once(kept.future, lambda done: _end(stored, receiver, decoded, done))
        places = frozenset(kept.places)
        return [upload for place, upload in enumerate(uploads) if place not in places]


def _alike(uploads: Sequence[Upload], bytes_max: int) -> Iterator[tuple[_Kind, list[Upload]]]:
    """Those of one kind and with the same rights, as many as are read as one."""
    kinds: dict[_Kind, list[Upload]] = {}
    for upload in uploads:
        kinds.setdefault(_kind(upload), []).append(upload)
    for kind, alike in kinds.items():
        some: list[Upload] = []
        size = 0
        for upload in alike:
            if some and size + _weight(upload) > bytes_max:
                yield kind, some
                some, size = [], 0
            some.append(upload)
            size += _weight(upload)
        yield kind, some


def _kind(upload: Upload) -> _Kind:
    """Only those of one kind are read as one."""
    return upload.asked.signal.path, upload.asked.encoding, upload.asked.rights


def _weight(upload: Upload) -> int:
    """The bytes of a body, inflated, as far as that can be told before."""
    size = len(upload.memory)
    if upload.asked.encoding == "identity":
        return size
    most = size * COMPRESSED
    # What its end says may be a lie: nobody makes himself heavier by it, and keeps others apart.
    return min(said_size(upload.memory), most) if upload.asked.encoding == "gzip" else most


def _end(
    uploads: Sequence[Upload], receiver: Receiving, decoded: Decoded, future: Future[Any]
) -> None:
    """Answer all of them."""
    try:
        outcome(future)
        answer = receiver.done(uploads[0].asked, decoded)
    except Exception as error:
        for upload in uploads:
            upload.fail(error)
    else:
        for upload in uploads:
            upload.say(answer)


class Upload:
    """As `http_uploads.Upload`: read, stored and answered without a task, where it needs none.

    Args:
        receiver: that it came to.
        asked: what its head asks for.
        length: of its body.
        answer: tells its sender.
    """

    def __init__(
        self, receiver: Receiving, asked: Asked, length: int, answer: http_uploads.Answer
    ) -> None:
        self.asked = asked
        self._receiver = receiver
        self._answer: http_uploads.Answer | None = answer
        self._held = 0
        receiver.budget.begin(length, self.give_up)
        self._held = length
        self.memory = np.empty(length, np.uint8).data

    @property
    def waits(self) -> bool:
        """Whether it has not been answered."""
        return self._answer is not None

    def whole(self) -> None:
        """As of `http_uploads.Upload`, like its neighbours."""
        self._receiver.budget.whole(self.give_up)
        self._receiver.uploads.add(self)

    def store(self, waited: float = 0.0) -> None:
        """Have it stored by itself, after it has waited for others so long, in seconds."""
        receiver, asked = self._receiver, self.asked
        try:
            decoded = receiver.decoded_here(asked, self.memory)
            if decoded is None or not receiver.pending.knows_of(decoded):
                self._task = asyncio.create_task(self._apart(decoded))
                return
            self.let_go()
            decoded = receiver.pending.admit(permitted(decoded, asked.rights))
            future = receiver.sink.keep(decoded, TRANSPORT, waited)
        except Exception as error:
            self.fail(error)
            return
        receiver.once(future, lambda done: _end([self], receiver, decoded, done))

    def gone(self) -> None:
        """Its sender is."""
        self._receiver.telemetry.add(REQUESTS, transport=TRANSPORT, code=CLIENT_CLOSED)
        self._answer = None
        self.let_go()

    def look(self, seconds: float, silent: float) -> None:
        """Refuse what comes too slowly."""
        try:
            self._receiver.budget.check_pace(seconds, silent)
        except (bodies.RefusedBody, Overloaded) as error:
            self.fail(error)

    def give_up(self) -> None:
        """Have its sender come again."""
        self.fail(Stopping())

    async def _apart(self, decoded: Decoded | None) -> None:
        """The same, where a thread has to decode it or to ask the store."""
        answer = await answered(
            self._answer_apart(decoded),
            lambda failure: failed(failure, json=False),
            self._receiver.telemetry,
            TRANSPORT,
        )
        if answer is not None:
            self.say(answer)

    async def _answer_apart(self, decoded: Decoded | None) -> Answer:
        try:
            if decoded is None:
                decoded = await asyncio.to_thread(self._receiver.decoded, self.asked, self.memory)
        finally:
            self.let_go()
        return await self._receiver.stored(self.asked, decoded)

    def fail(self, error: Exception) -> None:
        """Tell its sender of a fault."""
        self.let_go()
        if self._answer is not None:
            failure = failure_of(error, self._receiver.telemetry, TRANSPORT)
            self.say(failed(failure, json=False))

    def say(self, answer: Answer) -> None:
        """Answer, if that is still to be done."""
        say, self._answer = self._answer, None
        if say is not None:
            self._receiver.telemetry.add(REQUESTS, transport=TRANSPORT, code=str(answer.status))
            say(answer.status, answer.all_headers, answer.body)

    def let_go(self) -> None:
        """Hold the body no longer."""
        self._receiver.budget.whole(self.give_up)
        self._receiver.budget.give(self._held, 1 if self._held else 0)
        self._held = 0
        self.memory = _NOTHING
