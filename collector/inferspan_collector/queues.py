"""What waits for whom between receivers, the journal and the store, and how much of it may.

    keep  ->  kept requests  ->  journal  ->  backlog  ->  store
    submit  ->  requests that wait for the store's answer  ->  store

No thread is started here, and the clock is an argument.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final

from inferspan_collector.applying import Request
from inferspan_collector.config.limits import Limits
from inferspan_collector.gathering import still_to_wait
from inferspan_collector.journal.journal import Entry
from inferspan_collector.submission import Overloaded, Stopping

IDLE_SECONDS: Final = 1.0
"""How long the writer sleeps before it looks whether something grew too old."""
AGAIN_SECONDS: Final = 1.0
"""Between two attempts to take over what the store would not take."""
BACKLOG_SHARE: Final = 0.5
"""Of the queue's limit, for what is acknowledged and not stored; with more, answers wait."""
APPLY_SHARE: Final = 0.25
"""Of the queue's limit, at most for what one transaction takes over: the next gathers meanwhile."""


@dataclass(frozen=True, slots=True)
class Errand:
    """Something else for the writer to do between two transactions."""

    run: Callable[[], Any]
    done: Future[Any]
    after: int = 0
    """It is about all that was acknowledged up to this sequence."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the writer does next: one transaction, then the errands."""

    entries: tuple[Entry, ...]
    requests: tuple[Request, ...]
    errands: tuple[Errand, ...]


@dataclass(frozen=True, slots=True)
class _Queued:
    request: Request
    since: float


@dataclass(frozen=True, slots=True)
class _Acknowledged:
    entry: Entry
    size: int
    since: float


class Queues:
    """All that waits, behind one lock.

    Args:
        limits: bytes and times.
        applied: the last sequence of the journal that the store has.
        clock: seconds of any monotonic clock.
        arriving: how many requests are being received.
    """

    def __init__(
        self,
        limits: Limits,
        applied: int,
        clock: Callable[[], float],
        arriving: Callable[[], int],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._arriving = arriving
        self._lock = threading.Lock()
        self._for_journal = threading.Condition(self._lock)
        self._for_writer = threading.Condition(self._lock)
        self._taken_over = threading.Condition(self._lock)
        self._kept: deque[_Queued] = deque()
        self._backlog: deque[_Acknowledged] = deque()
        self._requests: deque[_Queued] = deque()
        self._errands: deque[Errand] = deque()
        self._bytes = self._backlog_bytes = 0
        self._newest = 0.0
        self._applied = self._acknowledged = self._asked = applied
        self._apply_bytes = min(limits.apply_bytes, int(APPLY_SHARE * limits.queue_bytes))
        self._again_at = 0.0
        """Not before then is what the store would not take tried again; 0 = it takes all."""
        self._journal_ended = False
        self.closing = False

    @property
    def bytes(self) -> int:
        """Of requests that wait, for the journal or for the store."""
        return self._bytes

    @property
    def waiting(self) -> int:
        """Requests that nobody has answered."""
        return len(self._kept) + len(self._requests)

    @property
    def applied(self) -> int:
        """The last sequence of the journal that the store has."""
        return self._applied

    def check_room(self, size: int, transport: str) -> None:
        """Raise `Overloaded` where so many bytes more are too many."""
        with self._lock:
            self._check_room(size, transport)

    def _check_room(self, size: int, transport: str) -> None:
        if self.closing:
            raise Stopping()
        # An empty queue takes any one request, however large, or it could never pass.
        if self._bytes and self._bytes + size > self._limits.queue_bytes:
            raise Overloaded(
                f"{self._bytes} bytes wait for the store, limits.queue_bytes is "
                f"{self._limits.queue_bytes}; send this {transport} request again",
                reason="queue_full",
            )

    def keep(self, request: Request, transport: str, waited: float = 0.0) -> None:
        """Queue a request that has waited so long, s, for the journal; raises `Overloaded`."""
        self._add(request, self._kept, self._for_journal, transport, waited)

    def submit(self, request: Request, transport: str) -> None:
        """Queue a request for the store itself; raises `Overloaded`."""
        self._add(request, self._requests, self._for_writer, transport)

    def _add(
        self,
        request: Request,
        queue: deque[_Queued],
        taker: threading.Condition,
        transport: str,
        waited: float = 0.0,
    ) -> None:
        with self._lock:
            self._check_room(request.size, transport)
            came = self._clock() - waited
            self._newest = max(self._newest, came)
            queue.append(_Queued(request, came))
            self._bytes += request.size
            # Woken by each, the taker would only take turns with who receives the next.
            if len(queue) == 1 or self._bytes >= self._limits.group_bytes:
                taker.notify()

    def run(self, errand: Errand) -> None:
        """Queue an errand; raises `Overloaded`."""
        with self._lock:
            if self.closing:
                raise Stopping()
            self._errands.append(replace(errand, after=self._acknowledged))
            self._for_writer.notify()

    def next_kept(self) -> list[Request] | None:
        """Wait for requests for the journal; None once there will be none."""
        with self._lock:
            self._for_journal.wait_for(lambda: self._kept or self.closing)
            if not self._kept:
                self._journal_ended = True
                self._for_writer.notify()
                return None
            self._gather(self._kept, self._for_journal)
            # What comes faster than the store takes it waits for its answer.
            self._for_journal.wait_for(
                lambda: not self._backlog_full() or self._again_at or self.closing
            )
            return _taken(self._kept, self._limits.group_bytes)

    def check_store(self) -> None:
        """Raise `Overloaded` where the store takes nothing, and as much as may waits for it."""
        with self._lock:
            if self._again_at and self._backlog_full():
                raise Overloaded(
                    f"{self._backlog_bytes} acknowledged bytes wait for a store that takes "
                    "nothing; see the collector's log, and send this again",
                    5,
                )

    def _backlog_full(self) -> bool:
        return self._backlog_bytes >= BACKLOG_SHARE * self._limits.queue_bytes

    def acknowledged(self, entry: Entry, size: int, counted: int = 0) -> None:
        """Take what is in the journal now; `counted` of its bytes were counted as kept requests."""
        with self._lock:
            self._acknowledged = entry.sequence
            self._backlog.append(_Acknowledged(entry, size, self._clock()))
            self._backlog_bytes += size
            self._bytes += size - counted
            if len(self._backlog) == 1 or self._backlog_bytes >= self._apply_bytes:
                self._for_writer.notify()

    def give_back(self, size: int) -> None:
        """Count bytes no more of kept requests that were refused."""
        with self._lock:
            self._bytes -= size

    def next_work(self, *, at_once: bool) -> Work | None:
        """Wait for something to do, `IDLE_SECONDS` at most; None once there will be nothing.

        Args:
            at_once: only look.
        """
        with self._lock:
            until = self._clock() + (0.0 if at_once else IDLE_SECONDS)
            while not (self._requests or self._errands or self._due()):
                if self.closing and self._journal_ended:
                    return None
                patience = min(until, self._due_at()) - self._clock()
                if patience <= 0:
                    break
                self._for_writer.wait(patience)
            if self._requests:
                self._gather(self._requests, self._for_writer)
            requests = tuple(_taken(self._requests, self._limits.group_bytes))
            self._bytes -= sum(request.size for request in requests)
            entries: tuple[Entry, ...] = ()
            if self._due() or ((requests or self._errands) and not self._again_at):
                # A request is judged with all that was acknowledged before it.
                entries = self._oldest(everything=bool(requests))
            return Work(entries, requests, tuple(self._errands_after(entries)))

    def done(self, entries: int, *, stuck: bool) -> None:
        """Say what became of work: so many entries are in the store; whether it takes no more."""
        with self._lock:
            for _ in range(entries):
                one = self._backlog.popleft()
                self._applied = one.entry.sequence
                self._backlog_bytes -= one.size
                self._bytes -= one.size
            self._again_at = self._clock() + AGAIN_SECONDS if stuck and self._backlog else 0.0
            self._taken_over.notify_all()
            self._for_journal.notify()

    def catch_up(self, seconds: float) -> bool:
        """Wait until the store has what was acknowledged by now; not while it takes nothing.

        Returns:
            Whether it has.
        """
        with self._lock:
            wanted = self._acknowledged
            if self._applied >= wanted:
                return True
            self._asked = max(self._asked, wanted)
            self._for_writer.notify()
            self._taken_over.wait_for(
                lambda: self._applied >= wanted or self._again_at or self.closing, seconds
            )
            return self._applied >= wanted

    def close(self) -> bool:
        """Take nothing more; whether it was closed already."""
        with self._lock:
            before, self.closing = self.closing, True
            for condition in (self._for_journal, self._for_writer, self._taken_over):
                condition.notify_all()
        return before

    def _gather(self, queue: deque[_Queued], taker: threading.Condition) -> None:
        """Wait for more requests; called with the lock held."""
        began, group_seconds = self._clock(), self._limits.group_milliseconds / 1e3
        while not self.closing and self._bytes - self._backlog_bytes < self._limits.group_bytes:
            wait = still_to_wait(
                began=began,
                oldest=queue[0].since,
                newest=self._newest,
                waiting=len(queue),
                now=self._clock(),
                arriving=self._arriving(),
                group_seconds=group_seconds,
            )
            if wait <= 0:
                return
            taker.wait(wait)

    def _due(self) -> bool:
        """Whether the store is to take over what is acknowledged."""
        if not self._backlog or self._clock() < self._again_at:
            return False
        enough = self._backlog_bytes >= self._apply_bytes
        return enough or self._asked > self._applied or self._clock() >= self._due_at()

    def _due_at(self) -> float:
        """When the store takes over what is acknowledged if nothing makes it do so before."""
        if not self._backlog:
            return float("inf")
        if self._again_at:
            return self._again_at
        if self.closing:
            return 0.0
        return self._backlog[0].since + self._limits.apply_milliseconds / 1e3

    def _errands_after(self, entries: tuple[Entry, ...]) -> Iterator[Errand]:
        """Those that are about nothing beyond these entries; where the store is stuck, all."""
        reached = entries[-1].sequence if entries else self._applied
        while self._errands and (self._again_at or self._errands[0].after <= reached):
            yield self._errands.popleft()

    def _oldest(self, *, everything: bool) -> tuple[Entry, ...]:
        entries: list[Entry] = []
        size = 0
        for one in self._backlog:
            if entries and size >= self._apply_bytes and not everything:
                break
            entries.append(one.entry)
            size += one.size
        return tuple(entries)


def _taken(queue: deque[_Queued], most: int) -> list[Request]:
    """The oldest of a queue, so many bytes of them, or the first."""
    taken: list[Request] = []
    size = 0
    while queue and (not taken or size < most):
        taken.append(queue.popleft().request)
        size += taken[-1].size
    return taken
