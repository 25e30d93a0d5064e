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
from inferspan_collector.receivers.intake import outcome, permitted
from inferspan_collector.receivers.otlp_exchange import TRANSPORT, Answer, Asked, failed
from inferspan_collector.receivers.pending_labels import PendingLabels
from inferspan_collector.receivers.read_as_one import ONE_BY_ONE_SECONDS, kept_as_one, pays
from inferspan_collector.submission import Sink, Stopping
from inferspan_collector.telemetry import REQUESTS, Telemetry

COMPRESSED: Final = 12
"""How often a compressed body may be its size: a guess, for that."""
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

    While other bodies are under way they are waited for, as the journal does that answers: until
    none was whole for `QUIET_SECONDS`, or there is enough. Where none is under way nobody waits
    beyond this turn of the event loop.

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
        self._timer: asyncio.Handle | None = None
        """What stores them in the end."""
        self._soon = False
        """That does so at the end of this turn."""
        self._one_by_one_until: dict[_Kind, float] = {}

    def add(self, upload: Upload) -> None:
        """Have a whole upload stored."""
        size = _weight(upload)
        if self._size + size > self._most and self._whole:
            self._store()
        loop = asyncio.get_running_loop()
        self._newest = loop.time()
        if not self._whole:
            self._began = self._newest
        self._whole.append(upload)
        self._size += size
        if not self._receiver.budget.bodies_under_way:
            if not self._soon:
                self._cancel()
                self._timer, self._soon = loop.call_soon(self._store), True
        elif self._timer is None:
            self._timer = loop.call_later(min(QUIET_SECONDS, self._seconds), self._look)

    def _look(self) -> None:
        """Store them, unless more may come."""
        loop = asyncio.get_running_loop()
        left = min(self._newest + QUIET_SECONDS, self._began + self._seconds) - loop.time()
        if left < _TICK_SECONDS or not self._receiver.budget.bodies_under_way:
            self._store()
        else:
            self._timer = loop.call_later(left, self._look)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._soon = None, False

    def _store(self) -> None:
        self._cancel()
        uploads, self._whole, self._size = self._whole, [], 0
        now = asyncio.get_running_loop().time()
        for kind, some in _alike([upload for upload in uploads if upload.waits], self._most):
            apart = some
            together = some[0].asked.signal.together is not None
            if len(some) > 1 and together and now >= self._one_by_one_until.get(kind, 0.0):
                apart = self._stored(kind, some, now)
            for upload in apart:
                upload.store()

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
        asked = upload.asked
        kinds.setdefault((asked.signal.path, asked.encoding, asked.rights), []).append(upload)
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


def _weight(upload: Upload) -> int:
    """The bytes of a body, inflated, as far as that can be told before."""
    size = len(upload.memory)
    return size if upload.asked.encoding == "identity" else size * COMPRESSED


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

    def store(self) -> None:
        """Have it stored by itself."""
        receiver, asked = self._receiver, self.asked
        try:
            decoded = receiver.decoded_here(asked, self.memory)
            if decoded is None or not receiver.pending.knows_of(decoded):
                self._task = asyncio.create_task(self._apart(decoded))
                return
            self.let_go()
            decoded = receiver.pending.admit(permitted(decoded, asked.rights))
            future = receiver.sink.keep(decoded, TRANSPORT)
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
        except bodies.RefusedBody as error:
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
