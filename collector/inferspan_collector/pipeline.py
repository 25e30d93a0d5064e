"""The one room where stages, the clock and threads meet.

Two threads. One writes requests into the journal, as many as wait in one append and one sync of
the disk (group commit), and then answers their senders. The other takes what was acknowledged over
into the store, in few and large transactions. Who asks the store is answered once it has what was
acknowledged before the question. Requests whose sender is told what became of its rows skip the
journal: they are answered when their transaction is on disk.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import partial
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import duckdb

from inferspan_collector import failpoints
from inferspan_collector.appending import Appender
from inferspan_collector.applying import PASSING, Applier, Request, fatal, refusal
from inferspan_collector.batches import Decoded, LabelBatch
from inferspan_collector.config import Config
from inferspan_collector.first_line import first_line
from inferspan_collector.journal.journal import Entry, Journal
from inferspan_collector.queues import Errand, Queues, Work
from inferspan_collector.store.backup import Backup, backup
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import Database
from inferspan_collector.store.forgetting import Forgotten, ToForget
from inferspan_collector.store.naming import TooManyPairs
from inferspan_collector.store.reader import Reader, StoreReader
from inferspan_collector.store.writer import Writer
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import CONTAINED, HELD, HELD_LIMIT, LOGS_CUT, QUEUED, Telemetry

logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_ROW_BYTES: Final = 512
"""What a decoded row weighs at least, for the queue's limit."""
TIDY_UNDER_LOAD_NS: Final = 1_000_000_000
"""Between two steps of tidying while requests wait."""
CATCH_UP_SECONDS: Final = 30.0
"""How long a question waits for what was acknowledged before it."""
_REPLAYED_ROWS: Final = 100_000
"""Rows of the journal that one transaction takes over at the start, at least."""


class Pipeline:
    """Receivers submit, the store's writer commits, publishers read. Implements Sink, Queries
    and Keeping.

    Args:
        database: the open store; the pipeline closes it.
        config: limits, store and Jaeger sections are read.
        telemetry: where everything refused or folded is counted.
        clock: Unix ns; a test passes its own.
        arriving: how many requests are being received.

    Raises:
        JournalError: the journal beside the store cannot be read.
    """

    def __init__(
        self,
        database: Database,
        config: Config,
        telemetry: Telemetry,
        clock: Callable[[], int] = time.time_ns,
        arriving: Callable[[], int] = lambda: 0,
    ) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock
        self._writer = Writer(database, config, telemetry)
        applied = self._writer.applied()
        self._journal = Journal.open(database.path.parent, applied, self._writer.store)
        if applied is None:
            applied = self._journal.begins_behind
            self._writer.begin_journal(applied)
        telemetry.add(LOGS_CUT, self._journal.cuts)
        self._applier = Applier(self._writer, self._journal, telemetry)
        self._queues = Queues(config.limits, applied, time.perf_counter, arriving)
        self._appender = Appender(self._queues, self._journal, telemetry, self._note_if_fatal)
        self._stored = StoreReader(database, config)
        self._reader = StoreReader(_UpToDate(database, self.catch_up), config)
        self._copying = threading.Lock()
        self._memory = config.store.memory
        self._tidied_ns = 0
        self._committed = threading.Event()
        self._failure: Future[str] = Future()
        self._threads = [
            threading.Thread(target=run, name=f"inferspan-{name}", daemon=True)
            for name, run in (("journal", self._run_journal), ("writer", self._run_writer))
        ]
        watch = telemetry.watch
        watch(HELD, lambda: self._queues.bytes, part="queue")
        watch(HELD_LIMIT, lambda: config.limits.queue_bytes, part="queue")
        watch(HELD, lambda: self._writer.index_bytes[0], part="recent_ids")
        watch(HELD_LIMIT, lambda: self._writer.index_bytes[1], part="recent_ids")
        watch(HELD, lambda: self._writer.links_bytes, part="links")
        watch(HELD, self._journal.held_bytes, part="journal")
        watch(QUEUED, lambda: self._queues.waiting)

    def start(self) -> Self:
        """Take over what the journal holds, and start the threads.

        Where the store does not take it now, as on a full disk, the writer tries again.
        """
        left: list[Entry] = []
        fault: Exception | None = None
        for entry in self._journal.left(self._queues.applied):
            left.append(entry)
            self._queues.acknowledged(entry, len(entry) * _ROW_BYTES)
            if sum(map(len, left)) >= _REPLAYED_ROWS and fault is None:
                fault = self._apply(Work(tuple(left), (), ()))
                left = []
        if left and fault is None:
            fault = self._apply(Work(tuple(left), (), ()))
        if fault is not None:
            logger.error("the store does not take over what the journal holds yet: %s", fault)
        for thread in self._threads:
            thread.start()
        return self

    @property
    def reader(self) -> Reader:
        """Questions to the store; safe from any thread.

        Whoever asks sees all that was acknowledged before.
        """
        return self._reader

    @property
    def stored(self) -> Reader:
        """Questions to the store as the last transaction left it; they hasten nothing."""
        return self._stored

    @property
    def committed(self) -> threading.Event:
        """Set after each commit; whoever waits on it clears it."""
        return self._committed

    def now_ns(self) -> int:
        """The current time, Unix ns."""
        return self._clock()

    def keep(self, decoded: Decoded, transport: str, waited: float = 0.0) -> Future[Any]:
        """Queue a request's batches; the future is done once they are on disk, for good.

        Args, Raises: as `submit`; `waited` seconds count for what the journal waits for others.
        """
        if _is_answered_by_the_store(decoded):
            return self.submit(decoded, transport)
        return _queued(decoded, transport, partial(self._queues.keep, waited=waited), None)

    def submit(self, decoded: Decoded, transport: str) -> Future[Committed]:
        """Queue a request's batches; the future says what became of them, once they are on disk.

        Args:
            decoded: batches of one request.
            transport: how it came (`otlp_http`, `otlp_grpc`, `labels`), for messages.

        Raises:
            Overloaded: the queue is full, or the collector is shutting down.
        """
        return _queued(decoded, transport, self._queues.submit, Committed(0, ()))

    def check_room(self, size: int, transport: str) -> None:
        """Raise `Overloaded` as `submit` would of so many bytes, before they are decoded."""
        self._queues.check_room(size, transport)

    def catch_up(self) -> None:
        """Return once the store has all that was acknowledged until now.

        Or where it cannot: after `CATCH_UP_SECONDS`, or as long as it takes nothing.
        """
        self._queues.catch_up(CATCH_UP_SECONDS)

    def acknowledge(self, sequences: Sequence[int]) -> Future[None]:
        """Delete outbox entries that were delivered; done once that is on disk.

        Those of a collector that shuts down are sent once more; Jaeger hides the copy.
        """
        return self._between(lambda: self._writer.delete_outbox(sequences))

    def rehearse(self, labels: LabelBatch) -> Future[tuple[str, ...]]:
        """What would become of each label now; nothing is stored."""
        return self._between(lambda: self._writer.rehearse(labels, self._clock()))

    def forget(self, asked: ToForget, *, dry_run: bool = False) -> Future[Forgotten]:
        """Erase the rows of an id for good; done once that is on disk."""
        return self._between(lambda: self._forget(asked, dry_run))

    def _forget(self, asked: ToForget, dry_run: bool) -> Forgotten:
        forgotten = self._writer.forget(asked, self._clock(), dry_run=dry_run)
        if not dry_run:
            # What was acknowledged before is in the store by now, and stands here as well.
            self._journal.renew(self._queues.applied)
        return forgotten

    def change(self, run: Callable[[duckdb.DuckDBPyConnection], _T]) -> Future[_T]:
        """Change what no row counts, in a transaction of its own; done once that is on disk."""
        return self._between(lambda: self._writer.change(run))

    def _between(self, run: Callable[[], _T]) -> Future[_T]:
        """Have the writer do something between two transactions."""
        errand = Errand(run, Future())
        errand.done.set_running_or_notify_cancel()
        try:
            self._queues.run(errand)
        except Overloaded as error:
            errand.done.set_exception(error)
        return errand.done

    def backup(self, directory: Path) -> Backup:
        """Copy the store into a directory; returns when the copy is whole. One at a time."""
        if not self._copying.acquire(blocking=False):
            raise Overloaded("another backup is being written; ask again when it is done", 30)
        try:
            if not self._queues.catch_up(CATCH_UP_SECONDS):
                raise Overloaded("the store does not take over what is acknowledged; ask again", 30)
            return backup(self._database, directory, self._memory)
        finally:
            self._copying.release()

    @property
    def failure(self) -> Future[str]:
        """Done, and says why, once the store can never be used again by this process.

        DuckDB closes itself after some faults, a failed checkpoint among them; its files may be
        removed while they are open. What was acknowledged was put on disk; a new process reads what
        is there. Cancelled by `close`.
        """
        return self._failure

    @property
    def alive(self) -> bool:
        """Whether both threads run: without them nothing is ever answered."""
        return all(thread.is_alive() for thread in self._threads) and not self._queues.closing

    def close(self, timeout_seconds: float = 30.0) -> None:
        """Take nothing more, write what is queued, close the store. Idempotent."""
        if self._queues.close():
            return
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout_seconds)
        self._failure.cancel()
        self._committed.set()
        self._journal.close()
        self._database.close()

    def _run_journal(self) -> None:
        while (group := self._queues.next_kept()) is not None:
            with self._telemetry.timed("journal"):
                self._appender.keep(group)

    def _run_writer(self) -> None:
        tidying = False
        while (work := self._queues.next_work(at_once=tidying)) is not None:
            if work.entries or work.requests:
                # Around the answers, too: what cannot be counted is acknowledged all the same.
                with self._telemetry.timed("transaction", rare=True):
                    self._apply_contained(work)
            try:
                self._run_errands(work.errands)
                tidying = self._tidy(idle=not (work.entries or work.requests))
                if self._writer.compaction_due:
                    with self._telemetry.timed("compaction", rare=True):
                        self._writer.compact()
            except Exception as error:
                tidying = False
                self._contain(error, [errand.done for errand in work.errands])

    def _apply_contained(self, work: Work) -> None:
        try:
            self._apply(work)
        except Exception as error:
            if work.entries:
                self._queues.done(0, stuck=True)
            self._contain(error, [request.done for request in work.requests])

    def _contain(self, error: Exception, waiting: Sequence[Future[Any]]) -> None:
        """The writer must outlive any one fault, and nobody may wait for ever."""
        if not isinstance(error, PASSING):
            self._telemetry.add(CONTAINED, where="writer")
            logger.exception("the writer met an unexpected error and goes on")
        else:
            # A full disk, a checkpoint while the store is copied: the next look tries again.
            logger.error("the writer could not do what was due: %s", first_line(error))
        for done in waiting:
            if not done.done():
                done.set_exception(refusal(error))
        self._note_if_fatal(fatal(error))

    def _apply(self, work: Work) -> Exception | None:
        """Bring work into the store and answer for it; what kept entries out, if anything did."""
        applied = self._applier.apply(work.entries, work.requests, self._clock())
        self._note_if_fatal(applied.fatal)
        if work.entries:
            self._queues.done(applied.entries, stuck=applied.fault is not None)
            self._journal.trim(self._queues.applied)
        for request, answer in applied.answers:
            if isinstance(answer, Exception):
                request.done.set_exception(answer)
            else:
                request.done.set_result(answer)
                failpoints.reach("between-answers")
        self._committed.set()
        return applied.fault

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
        with self._telemetry.timed("tidying", rare=True):
            return self._writer.tidy(now)

    def _note_if_fatal(self, fault: str | None) -> None:
        if fault is not None and not self._failure.done():
            # Both threads may come here, and one of them while it is cancelled.
            with contextlib.suppress(InvalidStateError):
                self._failure.set_result(fault)

    def _run_errands(self, errands: Sequence[Errand]) -> None:
        for errand in errands:
            try:
                result = errand.run()
            except (duckdb.Error, OSError, TooManyPairs) as error:
                errand.done.set_exception(refusal(error))
                self._note_if_fatal(fatal(error))
            else:
                errand.done.set_result(result)


class _UpToDate:
    """Gives cursors on the store once it has what was acknowledged."""

    def __init__(self, database: Database, catch_up: Callable[[], None]) -> None:
        self._database = database
        self._catch_up = catch_up

    @property
    def path(self) -> Path:
        return self._database.path

    def cursor(self) -> duckdb.DuckDBPyConnection:
        self._catch_up()
        return self._database.cursor()


def _queued(
    decoded: Decoded, transport: str, queue: Callable[[Request, str], None], without_rows: Any
) -> Future[Any]:
    """The future of a request that waits in a queue; of one without rows, done already."""
    rows = len(decoded.predictions) + len(decoded.labels) + len(decoded.stages)
    request = Request(decoded, max(decoded.size_bytes, rows * _ROW_BYTES), Future())
    # A sender that goes away must not cancel what is about to be answered.
    request.done.set_running_or_notify_cancel()
    if rows:
        queue(request, transport)
    else:
        request.done.set_result(without_rows)
    return request.done


def _is_answered_by_the_store(decoded: Decoded) -> bool:
    """Whether a request goes by other names than ids: the store may yet refuse it for that."""
    labels = decoded.labels
    return (
        decoded.named is not None or len(labels.entity_id.data) + len(labels.response_id.data) > 0
    )
