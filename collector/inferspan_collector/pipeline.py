"""The one room where stages, the clock and threads meet.

A writer thread drains a bounded queue of decoded requests (group commit: a few milliseconds or a
byte limit, whichever comes first) into one transaction at a time. Senders are answered when
their transaction is on disk. If a group fails, its requests are replayed one by one, so that the
bad one alone is refused.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import duckdb

from inferspan_collector import failpoints
from inferspan_collector.batches import Decoded
from inferspan_collector.config import Config
from inferspan_collector.gathering import still_to_wait
from inferspan_collector.store.backup import Backup, backup
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import Forgotten, ToForget
from inferspan_collector.store.naming import TooManyPairs
from inferspan_collector.store.reader import Reader, StoreReader
from inferspan_collector.store.writer import Writer
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import (
    COMMIT_FAILURES,
    CONTAINED,
    HELD,
    HELD_LIMIT,
    QUEUED,
    Telemetry,
)

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_ROW_BYTES: Final = 512
"""What a decoded row weighs at least, for the queue's limit."""


IDLE_SECONDS: Final = 1.0
"""How long the writer sleeps before it looks whether something grew too old."""
TIDY_UNDER_LOAD_NS: Final = 1_000_000_000
"""Between two steps of tidying while requests wait."""
_REQUEST_FAULTS: Final = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
    TooManyPairs,
)
"""What a request's own content can cause. Every other fault is ours or the disk's: it may pass,
and a sender that is told so keeps its data."""


@dataclass(frozen=True, slots=True)
class _Request:
    decoded: Decoded
    size: int
    done: Future[Committed]


@dataclass(frozen=True, slots=True)
class _Errand:
    """Something else for the writer to do between two transactions."""

    run: Callable[[], Any]
    done: Future[Any]


class Pipeline:
    """Receivers submit, one writer thread commits, publishers read. Implements Sink, Queries
    and Keeping.

    Args:
        database: the open store; the pipeline closes it.
        config: limits, store and Jaeger sections are read.
        telemetry: where everything refused or folded is counted.
        clock: Unix ns; a test passes its own.
        arriving: whether requests are being received, which are worth a wait.
    """

    def __init__(
        self,
        database: Database,
        config: Config,
        telemetry: Telemetry,
        clock: Callable[[], int] = time.time_ns,
        arriving: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._limits = config.limits
        self._telemetry = telemetry
        self._clock = clock
        self._arriving = arriving
        self._newest = 0.0
        self._writer = Writer(database, config, telemetry)
        self._reader = StoreReader(database, config)
        self._waiting: deque[_Request] = deque()
        self._errands: deque[_Errand] = deque()
        self._copying = threading.Lock()
        self._memory = config.store.memory
        self._queued_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._tidied_ns = 0
        self._committed = threading.Event()
        self._failure: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, name="inferspan-writer", daemon=True)
        telemetry.watch(HELD, lambda: self._queued_bytes, part="queue")
        telemetry.watch(HELD_LIMIT, lambda: self._limits.queue_bytes, part="queue")
        telemetry.watch(HELD, lambda: self._writer.index_bytes[0], part="recent_ids")
        telemetry.watch(HELD_LIMIT, lambda: self._writer.index_bytes[1], part="recent_ids")
        telemetry.watch(QUEUED, lambda: len(self._waiting))

    def start(self) -> Self:
        """Start the writer thread."""
        self._thread.start()
        return self

    @property
    def reader(self) -> Reader:
        """Questions to the store; safe from any thread."""
        return self._reader

    @property
    def committed(self) -> threading.Event:
        """Set after each commit; whoever waits on it clears it."""
        return self._committed

    def now_ns(self) -> int:
        """The current time, Unix ns."""
        return self._clock()

    def submit(self, decoded: Decoded, transport: str) -> Future[Committed]:
        """Queue a request's batches; the future is done once they are on disk.

        Args:
            decoded: batches of one request.
            transport: how it came (`http`, `grpc`, `labels`), for messages.

        Raises:
            Overloaded: the queue is full, or the collector is shutting down.
        """
        rows = len(decoded.predictions) + len(decoded.labels)
        size = max(decoded.size_bytes, rows * _ROW_BYTES)
        request = _Request(decoded, size, Future())
        # A sender that goes away must not cancel what the writer is about to answer.
        request.done.set_running_or_notify_cancel()
        if rows == 0:
            request.done.set_result(Committed(0, ()))
            return request.done
        with self._changed:
            self._check_room(size, transport)
            self._waiting.append(request)
            self._queued_bytes += size
            self._newest = time.perf_counter()
            # Woken by each, the writer would only take turns with who receives the next.
            if len(self._waiting) == 1 or self._queued_bytes >= self._limits.group_bytes:
                self._changed.notify_all()
        return request.done

    def check_room(self, size: int, transport: str) -> None:
        """Raise `Overloaded` as `submit` would of so many bytes, before they are decoded."""
        with self._changed:
            self._check_room(size, transport)

    def _check_room(self, size: int, transport: str) -> None:
        if self._closing:
            raise Overloaded(
                "the collector is shutting down; send this again", 5, reason="stopping"
            )
        # An empty queue takes any one request, however large, or it could never pass.
        if self._waiting and self._queued_bytes + size > self._limits.queue_bytes:
            raise Overloaded(
                f"{self._queued_bytes} bytes wait for the store, limits.queue_bytes is "
                f"{self._limits.queue_bytes}; send this {transport} request again",
                reason="queue_full",
            )

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        """Delete outbox entries that were delivered; done once that is on disk.

        Those of a collector that shuts down are sent once more; Jaeger hides the copy.
        """
        return self._between(lambda: self._writer.delete_outbox(sequences))

    def forget(self, asked: ToForget, *, dry_run: bool = False) -> Future[Forgotten]:
        """Erase the rows of an id for good; done once that is on disk."""
        return self._between(lambda: self._writer.forget(asked, self._clock(), dry_run=dry_run))

    def _between(self, run: Callable[[], _T]) -> Future[_T]:
        """Have the writer do something between two transactions."""
        errand = _Errand(run, Future())
        errand.done.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                errand.done.set_exception(Overloaded("the collector is shutting down", 5))
                return errand.done
            self._errands.append(errand)
            self._changed.notify_all()
        return errand.done

    def backup(self, directory: Path) -> Backup:
        """Copy the store into a directory; returns when the copy is whole. One at a time."""
        if not self._copying.acquire(blocking=False):
            raise Overloaded("another backup is being written; ask again when it is done", 30)
        try:
            return backup(self._database, directory, self._memory)
        finally:
            self._copying.release()

    @property
    def failure(self) -> Future[str]:
        """Done, and says why, once the store can never be used again by this process.

        DuckDB closes itself after some faults, a failed checkpoint among them. What was
        acknowledged is on disk; a new process reads it. Cancelled by `close`.
        """
        return self._failure

    @property
    def alive(self) -> bool:
        """Whether the writer runs: without it nothing is ever answered."""
        return self._thread.is_alive() and not self._closing

    def close(self, timeout_seconds: float = 30.0) -> None:
        """Take nothing more, write what is queued, close the store. Idempotent."""
        with self._changed:
            already = self._closing
            self._closing = True
            self._changed.notify_all()
        if already:
            return
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)
        self._failure.cancel()
        self._committed.set()
        self._database.close()

    def _run(self) -> None:
        tidying = False
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._errands or self._closing,
                    # More to tidy: only look whether somebody waits.
                    timeout=0.0 if tidying else IDLE_SECONDS,
                )
                if self._closing and not self._waiting and not self._errands:
                    return
                if self._waiting:
                    self._gather()
                group = self._take_group()
                errands = [*self._errands]
                self._errands.clear()
            try:
                if group:
                    # Around the answers, too: what cannot be counted is acknowledged all the same.
                    with self._telemetry.timed("transaction"):
                        self._commit(group)
                self._run_errands(errands)
                tidying = self._tidy(idle=not group)
                if self._writer.compaction_due:
                    with self._telemetry.timed("compaction"):
                        self._writer.compact()
            except Exception as error:
                tidying = False
                # The writer must outlive any one fault, and nobody may wait for ever.
                self._telemetry.add(CONTAINED, where="writer")
                logger.exception("the writer met an unexpected error and goes on")
                waiting: list[Future[Any]] = [
                    *(request.done for request in group),
                    *(errand.done for errand in errands),
                ]
                for done in waiting:
                    if not done.done():
                        done.set_exception(_refusal(error))
                self._note_if_fatal(error)

    def _gather(self) -> None:
        """Wait for more requests; called with the lock held."""
        began, group_seconds = time.perf_counter(), self._limits.group_milliseconds / 1e3
        while not self._closing and self._queued_bytes < self._limits.group_bytes:
            wait = still_to_wait(
                began=began,
                newest=self._newest,
                now=time.perf_counter(),
                arriving=self._arriving(),
                group_seconds=group_seconds,
            )
            if wait <= 0:
                return
            self._changed.wait(wait)

    def _tidy(self, idle: bool) -> bool:
        """Do a step of what age and size ask for, while nobody waits; whether more is due.

        Under load, too, but for a small part of the time: or nothing would ever leave.
        """
        now = self._clock()
        if not self._writer.tidying_due(now):
            return False
        if not idle and 0 <= now - self._tidied_ns < TIDY_UNDER_LOAD_NS:
            return False
        self._tidied_ns = now
        with self._telemetry.timed("tidying"):
            return self._writer.tidy(now)

    def _note_if_fatal(self, error: Exception) -> None:
        if isinstance(error, duckdb.FatalException) and not self._failure.done():
            self._failure.set_result(str(error).splitlines()[0])

    def _take_group(self) -> list[_Request]:
        group: list[_Request] = []
        size = 0
        while self._waiting and (not group or size < self._limits.group_bytes):
            request = self._waiting.popleft()
            size += request.size
            group.append(request)
        self._queued_bytes -= size
        return group

    def _commit(self, group: list[_Request]) -> None:
        try:
            results = self._writer.commit([r.decoded for r in group], self._clock())
        except Exception as error:
            self._telemetry.add(COMMIT_FAILURES)
            if len(group) > 1:
                # One by one, so that only what is to blame is refused: the bad request, or the one
                # too large for the memory there is.
                for request in group:
                    self._commit([request])
                return
            logger.error("a transaction failed: %s", error)
            if not isinstance(error, (*_REQUEST_FAULTS, duckdb.Error, OSError)):
                self._telemetry.add(CONTAINED, where="writer")
            group[0].done.set_exception(_refusal(error))
            self._note_if_fatal(error)
            return
        for request, result in zip(group, results, strict=True):
            request.done.set_result(result)
            failpoints.reach("between-answers")
        self._committed.set()

    def _run_errands(self, errands: list[_Errand]) -> None:
        for errand in errands:
            try:
                result = errand.run()
            except duckdb.Error as error:
                errand.done.set_exception(_refusal(error))
                self._note_if_fatal(error)
            else:
                errand.done.set_result(result)


def _refusal(error: Exception) -> Exception:
    """What a sender is told: 400 only for what its own request holds, else come again."""
    first_line = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, _REQUEST_FAULTS):
        return Unstorable(f"this request cannot be stored: {first_line}")
    return Overloaded(f"the store cannot write now ({first_line}); send this again", 5)
