"""The one transaction per micro-batch: dedupe, append, join, count, outbox, commit."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import duckdb
import numpy as np

from inferspan_collector import class_aliases, failpoints, join
from inferspan_collector.batches import Bool, Decoded, LabelBatch, PredictionBatch, StageBatch
from inferspan_collector.config import Config
from inferspan_collector.slow_calls import slowest
from inferspan_collector.store import loading, outbox, staging, warming
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.database import Database, sql
from inferspan_collector.store.forgetting import FORGOTTEN, Forgetting, Forgotten, ToForget
from inferspan_collector.store.implied import IMPLIED, Implied
from inferspan_collector.store.known import Known
from inferspan_collector.store.naming import Naming, answers
from inferspan_collector.store.nearby import Since
from inferspan_collector.store.remembered import Remembered
from inferspan_collector.store.retention import Retention
from inferspan_collector.store.stages import Stages
from inferspan_collector.store.tally import Tally
from inferspan_collector.store.transaction import Transaction
from inferspan_collector.store.unmatched import UNMATCHED, Unmatched
from inferspan_collector.submission import Changed
from inferspan_collector.telemetry import CONTAINED, ERASED, LABELS, STAGE_RUNS, Telemetry

logger = logging.getLogger(__name__)

_COMPACT = sql("inferspan_collector.store", "compact.sql")
_APPLIED = "UPDATE journal SET applied = ?"


class Writer:
    """Writes batches to the store. One thread owns it; it reads no clock."""

    def __init__(self, database: Database, config: Config, telemetry: Telemetry) -> None:
        self._database = database
        self._cursor = database.cursor()
        self._config = config
        self._telemetry = telemetry
        self._aliases = class_aliases.configured(config)
        self._allowance = outbox.Allowance(config.jaeger.evaluations_per_second)
        self._rebuilding = outbox.Allowance(config.jaeger.rebuilt_spans_per_second)
        self._commits_since_compaction = 0
        self._stale = False
        self._remembered = Remembered(self._cursor)
        self._forgetting = Forgetting(self._cursor, config, self._remembered)
        self._naming = Naming(self._cursor, config)
        self._known = Known(self._cursor, config, database.path.parent)
        self._stages = Stages(self._cursor, config, self._known.interner)
        self._retention = Retention(
            self._cursor,
            config,
            self._remembered,
            self._naming,
            self._stages,
            self._known.dictionaries,
            lambda last: self._known.note_erased(last, self._newest),
        )
        self._implied = Implied(self._cursor, config)
        self._unmatched = Unmatched(self._cursor)
        self._join = join.prepare(self._cursor, config)
        self._newest = Since()
        self._take_in()

    def commit(
        self,
        group: Sequence[Decoded],
        now_ns: int,
        *,
        implied: bool = False,
        applied: int | None = None,
    ) -> list[Committed]:
        """Store a group of requests in one transaction; it is on disk when this returns.

        Args:
            group: requests' batches; rows keep their order.
            now_ns: the current time, Unix ns.
            implied: its labels are what silence means, and counted as such.
            applied: the sequence of the journal up to which the store has everything with this.

        Returns:
            What became of each request's rows, in the order of `group`.

        Raises:
            duckdb.Error: nothing of the group was stored.
        """
        self._catch_up()
        failpoints.reach("before-begin")
        with self._transaction():
            committed, met, tally = self._take(group, now_ns)
            if applied is not None:
                self._cursor.execute(_APPLIED, [applied])
            failpoints.reach("before-commit")
        failpoints.reach("after-commit")
        self._telemetry.add(LABELS, met, result="joined")
        if implied:
            said = sum(part.labels.count("joined") for part in committed)
            committed = [replace(part, labels=()) for part in committed]
            self._telemetry.add(LABELS, said, result=IMPLIED)
        # The rows are on disk: a fault in counting them must not make their sender try again.
        try:
            self._after_commit(committed, tally)
        except Exception:
            self._telemetry.add(CONTAINED, where="after_commit")
            logger.exception("a transaction is on disk, and what follows it failed")
        return committed

    def rehearse(self, labels: LabelBatch, now_ns: int) -> tuple[str, ...]:
        """What would become of each label now: a transaction like any other, undone at its end.

        It costs what storing them would, and what a transaction that fails does.

        Raises:
            duckdb.Error, TooManyPairs: they could not be stored.
        """
        return self._rehearsed(Decoded(PredictionBatch.empty(), labels), now_ns).labels

    def probe(self, now_ns: int) -> None:
        """Take an ordinary prediction and its label, and undo that: raises what any row would meet.

        Raises:
            Exception: whatever keeps every row out.
        """
        self._rehearsed(warming.ordinary_request(), now_ns)

    def _rehearsed(self, request: Decoded, now_ns: int) -> Committed:
        self._catch_up()
        self._cursor.begin()
        try:
            (committed,), _, _ = self._take([request], now_ns)
        finally:
            self._roll_back()
        return committed

    @property
    def store(self) -> str:
        """What tells the store from any other; a copy of it has the same."""
        return self._known.secret.name()

    def applied(self) -> int | None:
        """The last sequence of the journal that the file has; None where that was lost with it."""
        found = self._cursor.execute("SELECT applied FROM journal").fetchall()
        return int(found[0][0]) if found else None

    def begin_journal(self, applied: int) -> None:
        """Say that the file has the journal up to a sequence, where it has lost what it said."""
        self._cursor.execute("INSERT INTO journal VALUES (?)", [applied])

    def note_applied(self, sequence: int) -> None:
        """Say how far the store has taken the journal over, where nothing else is to be written."""
        self._cursor.execute(_APPLIED, [sequence])

    def delete_outbox(self, sequences: Sequence[int]) -> None:
        """Forget outbox entries whose spans were accepted."""
        failpoints.reach("outbox-delete")
        self._cursor.execute("DELETE FROM outbox WHERE list_contains(?, sequence)", [sequences])

    def compact(self) -> None:
        """Add up the append-only counter tables, in a transaction of its own."""
        with self._transaction():
            self._cursor.execute(_COMPACT)
            failpoints.reach("compaction")
        self._commits_since_compaction = 0

    def forget(self, asked: ToForget, now_ns: int, *, dry_run: bool = False) -> Forgotten:
        """Erase the rows of an id for good, in a transaction of its own; on disk when this returns.

        Raises:
            duckdb.Error: nothing was erased.
        """
        self._catch_up()
        if dry_run:
            return self._forgetting.find(asked)
        with self._transaction():
            forgotten = self._forgetting.forget(asked, now_ns)
        for table in ("predictions", "labels"):
            self._telemetry.add(ERASED, getattr(forgotten, table), table=table, reason="request")
        self._retention.look_now()
        return forgotten

    def change(self, run: Callable[[duckdb.DuckDBPyConnection], Changed]) -> Changed:
        """Change what no row counts, in a transaction of its own; on disk when this returns.

        Raises:
            duckdb.Error: nothing was changed.
        """
        self._catch_up()
        with self._transaction():
            return run(self._cursor)

    def tidying_due(self, now_ns: int) -> bool:
        """Whether `tidy` has something to do."""
        tidying = (self._unmatched, self._implied, self._retention)
        return any(part.due(now_ns) for part in tidying)

    def tidy(self, now_ns: int) -> bool:
        """Do one small step of what time asks for, in a transaction of its own.

        That is, to count what waits too long, to say what silence means, and to erase what is
        too old or too much.

        Returns:
            Whether more is due now.

        Raises:
            duckdb.Error: nothing of this step was done.
        """
        if self._unmatched.due(now_ns):
            self._telemetry.add(LABELS, self._unmatched.count(now_ns), result=UNMATCHED)
        if self._implied.due(now_ns):
            labels = self._implied.labels(now_ns)
            if labels is not None:
                self._imply(labels, now_ns)
                return True
        if not self._retention.due(now_ns):
            return False
        step = self._retention.step(now_ns)
        if step is None:
            return False
        self._known.sealed.drop(self._cursor, self._known.recent.erased)
        self._telemetry.add(ERASED, step.rows, table=step.table, reason=step.reason)
        self._telemetry.add(STAGE_RUNS, step.unmatched, result=UNMATCHED)
        return True

    def _imply(self, labels: LabelBatch, now_ns: int) -> None:
        if not len(labels):
            return
        try:
            self.commit([Decoded(PredictionBatch.empty(), labels)], now_ns, implied=True)
        except BaseException:
            self._implied.again()
            raise

    @property
    def index_bytes(self) -> tuple[int, int]:
        """What the index of recent ids holds, and what it may hold."""
        return self._known.recent.held_bytes, self._known.recent.limit_bytes

    @property
    def links_bytes(self) -> int:
        """What is held of spans that labels name by a link alone: 8 bytes each, without limit."""
        return self._known.linked.nbytes

    @property
    def compaction_due(self) -> bool:
        """Whether enough was appended that compaction pays."""
        return self._commits_since_compaction >= self._config.store.compact_every

    def _take(self, group: Sequence[Decoded], now_ns: int) -> tuple[list[Committed], int, Tally]:
        """Write a group inside the open transaction.

        Returns:
            What became of each request's rows; how many labels that had waited for an entity or a
            response have joined; what is to be counted.
        """
        group, forgotten = self._remembered.without(group)
        named = self._naming.resolve(group)
        committed, tally = self._write(group if named is None else named.group, now_ns)
        met = 0
        if named is not None:
            *committed, those = answers(named, committed)
            met = len(those.labels)
        if forgotten is not None:
            committed = [
                part if not mask.any() else replace(part, labels=_with_forgotten(part, mask))
                for part, mask in zip(committed, forgotten, strict=True)
            ]
        return committed, met, tally

    def _write(self, group: Sequence[Decoded], now_ns: int) -> tuple[list[Committed], Tally]:
        predictions = class_aliases.of_predictions(
            PredictionBatch.concat([p.predictions for p in group if len(p.predictions)]),
            self._aliases,
        )
        labels = class_aliases.of_labels(
            LabelBatch.concat([p.labels for p in group if len(p.labels)]), self._aliases
        )
        transaction = Transaction(
            self._cursor, self._known, self._newest, predictions, labels, self._join
        )
        jaeger = self._config.jaeger
        written = transaction.run(evaluations=jaeger.otlp is not None)
        stages = self._stages.take(
            StageBatch.concat([p.stages for p in group if len(p.stages)]),
            self._newest.prediction,
            bool(written.new_predictions.any()),
        )
        filled = outbox.Filled(0, {})
        if written.due is not None:
            filled = outbox.fill(
                self._cursor, jaeger, self._allowance, self._rebuilding, now_ns, written.due
            )
        requests = staging.request_of([len(part.predictions) for part in group])
        stored = np.bincount(requests[written.new_predictions], minlength=len(group))
        results, ends = written.label_results, np.cumsum([0, *(len(p.labels) for p in group)])
        committed = [
            Committed(int(n), tuple(results[start:end].tolist()))
            for n, (start, end) in zip(stored, pairwise(ends.tolist()), strict=True)
        ]
        tally = Tally(
            predictions=len(predictions),
            labels=len(labels),
            retried=len(predictions) - int(written.new_predictions.sum()),
            superseded=written.superseded,
            met=written.met,
            filled=filled,
            unindexed=transaction.unindexed,
            slowest=slowest(predictions),
            stages=stages,
        )
        return committed, tally

    def _after_commit(self, committed: Sequence[Committed], tally: Tally) -> None:
        """Remember what is on disk now, and count it."""
        self._newest = Since(
            self._newest.prediction + tally.predictions, self._newest.label + tally.labels
        )
        for keys in tally.unindexed:
            self._known.recent.cold.add(keys.low, keys.high)
            self._known.recent.loosen(self._newest)
        self._known.recent.keep()
        self._commits_since_compaction += 1
        self._allowance.spend(tally.filled.entries)
        self._rebuilding.spend(tally.filled.rebuilt)
        tally.tell(self._telemetry, committed, self._known.interner.take_folded())
        if self._known.seal_due(self._newest):
            self._known.seal(self._cursor, self._newest)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction that is on disk when the block has ended, or of which nothing is left."""
        self._cursor.begin()
        try:
            yield
            self._cursor.commit()
            self._database.settle()
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        # What was interned is gone; until the file is read again, nothing may be numbered.
        self._stale = True
        self._known.recent.undo()
        # A COMMIT that failed has ended its transaction already.
        with contextlib.suppress(duckdb.TransactionException):
            self._cursor.rollback()

    def _catch_up(self) -> None:
        """Read anew what a failed transaction may have left in memory only."""
        if self._stale:
            self._known.reload()
            self._remembered.reload()
            self._stages.reload()
            self._take_in()

    def _take_in(self) -> None:
        """Number rows on from what the file holds, and let the index see what it has not seen.

        At start that is all; after a failed transaction it is nothing, unless the file kept it.
        """
        # Never back: duplicates had numbers, too, and rows before `sealed.until` pass for sealed.
        stored = Since(
            max(self._newest.prediction, self._next_row("predictions", "prediction_rows")),
            max(self._newest.label, self._next_row("labels", "label_rows")),
        )
        if stored != self._newest:
            loading.load(self._cursor, self._known, self._newest, stored)
            self._newest = stored
        self._stale = False

    def _next_row(self, table: str, erased: str) -> int:
        # A number that was erased may still be said by what hung on its row.
        query = f"SELECT greatest(max(row_id), (SELECT {erased} FROM kept)) + 1 FROM {table}"
        return int(self._cursor.execute(query).fetchall()[0][0])


def _with_forgotten(part: Committed, mask: Bool) -> tuple[str, ...]:
    """What became of a request's labels, those that were left out among them."""
    results = iter(part.labels)
    return tuple(FORGOTTEN if forgotten else next(results) for forgotten in mask)
