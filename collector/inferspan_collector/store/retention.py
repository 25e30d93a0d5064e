"""Rows and cells leave: by age and by size, in steps so small that ingest does not feel them.

Rows live as long as a label may come for them: the longest label window, by the time of receipt.
Beyond it no label joins them, whether they are still there or not, so a figure never depends on
when exactly a row left. Cells of minutes are folded into cells of hours, and these leave at last.
Nothing here changes a figure of a window whose cells are kept.

Each step is a transaction of its own, in the writer's thread, and erases `STEP_ROWS` rows at most:
so many hold up what waits for the store, whatever the size of the file, for rows lie in the order
of receipt. `benchmarks/bench_keeping.py` says for how long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Literal

import duckdb

from inferspan_collector import failpoints
from inferspan_collector.config import Config
from inferspan_collector.store import clock_jumps, full_rows, scrubbing, unused
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.cursors import transaction
from inferspan_collector.store.database import ROW_GROUP_ROWS, sql
from inferspan_collector.store.dictionary import Dictionary
from inferspan_collector.store.matching import matching, windows_of
from inferspan_collector.store.naming import Naming
from inferspan_collector.store.nearby import Since
from inferspan_collector.store.remembered import Remembered
from inferspan_collector.store.stages import Stages

CHECK_NS: Final = 10 * MINUTE_NS
"""Between two looks at what is too old."""
STEP_ROWS: Final = 4 * ROW_GROUP_ROWS
"""Rows that leave in one step: whole row groups, which a checkpoint drops as they are."""
FOLD_MINUTES: Final = 1_440
"""Minutes whose cells are folded in one step."""
SIZE_FLOOR_NS: Final = 60 * MINUTE_NS
"""Rows younger than this stay whatever the size: a sender's retry must still find them."""
SIZE_GOAL: Final = 0.95
"""Part of the limit that is left filled once it was exceeded."""

_ERASE_PREDICTIONS: Final = sql("inferspan_collector.store", "erase_predictions.sql")
_ERASE_LABELS: Final = sql("inferspan_collector.store", "erase_labels.sql")
_FOLD: Final = sql("inferspan_collector.store", "fold_cells.sql")
_OLD: Final = """
CREATE OR REPLACE TEMP TABLE old AS
SELECT * FROM {table}
WHERE received < $before AND row_id >= $first AND row_id < $first + $rows
"""
_OUTLIVED: Final = """
CREATE OR REPLACE TEMP TABLE linked AS
SELECT DISTINCT o.row_id, o.key_high, o.key_low
FROM label_details AS l
JOIN (SELECT * FROM old SEMI JOIN superseded_predictions USING (row_id)) AS o
    ON o.span = l.link_span AND o.trace_high = l.link_trace_high AND o.trace_low = l.link_trace_low
WHERE l.link_span <> 0;
CREATE OR REPLACE TEMP TABLE outlived AS
SELECT l.row_id
FROM linked AS l
JOIN (
    SELECT DISTINCT p.key_high, p.key_low
    FROM predictions AS p
    SEMI JOIN linked AS l ON l.key_high = p.key_high AND l.key_low = p.key_low
    WHERE p.received >= $before
) AS p ON p.key_high = l.key_high AND p.key_low = l.key_low;
"""
"""Rows by whose span a label may name a younger prediction: that is told of their key."""
_NEAR: Final = f"""
CREATE OR REPLACE TEMP TABLE old_labels AS {full_rows.labels("old")};
CREATE OR REPLACE TEMP TABLE wanted AS
SELECT key_high, key_low FROM old
UNION
SELECT p.key_high, p.key_low
FROM predictions AS p
SEMI JOIN (SELECT * FROM old_labels WHERE link_span <> 0) AS l
    ON l.link_span = p.span AND l.link_trace_high = p.trace_high AND l.link_trace_low = p.trace_low;
CREATE OR REPLACE TEMP TABLE found AS
SELECT p.*
FROM predictions AS p
SEMI JOIN wanted AS w ON w.key_high = p.key_high AND w.key_low = p.key_low;
CREATE OR REPLACE TEMP TABLE near_predictions AS {full_rows.predictions("found")};
"""
"""The predictions that labels which are old may be about."""
_SIZE: Final = """
SELECT block_size * used_blocks, (SELECT count(*) FROM predictions)
FROM pragma_database_size() WHERE database_name = current_database()
"""

Reason = Literal["age", "size", "request"]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: rows that left a table. `cells` that were folded are not counted."""

    table: Literal["predictions", "labels", "names", "stage_runs", "cells", "sets", "free"]
    """`names`: by which labels of entities and responses find predictions; `sets`: combinations
    that no row has any more; `free`: unused blocks were overwritten."""
    rows: int
    reason: Reason
    unmatched: int = 0
    """Of runs of stages: those that had met no prediction."""


class Retention:
    """Keeps one store within its ages and its size. It reads no clock.

    `leaving` is told the last rows of what leaves before that is committed: where a commit fails,
    nobody knows whether they have left.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        config: Config,
        remembered: Remembered,
        naming: Naming,
        stages: Stages,
        dictionaries: Sequence[Dictionary],
        leaving: Callable[[Since], None],
    ) -> None:
        self._cursor = cursor
        self._leaving = leaving
        self._stages = stages
        self._remembered = remembered
        self._naming = naming
        self._dictionaries = dictionaries
        self._rows_ns = config.rows_kept_ns
        self._minutes_ns = config.store.retention.minutes_ns
        self._hours_ns = config.store.retention.hours_ns
        # A label that came before its prediction lives as long as that does: it may win yet.
        self._needed = matching("old_labels", "near_predictions", windows_of(config))
        self._size_limit = config.store.size_limit_bytes
        self._pass: Generator[Step] | None = None
        self._next_ns = 0

    def look_now(self) -> None:
        """Make the next look due at once."""
        self._next_ns = 0

    def due(self, now_ns: int) -> bool:
        """Whether `step` has something to look at."""
        # A clock that was set back must not put the next look off for years.
        return self._pass is not None or not self._next_ns - CHECK_NS <= now_ns < self._next_ns

    def step(self, now_ns: int) -> Step | None:
        """Do a little of what is due; None once nothing more is, until the next look.

        Raises:
            duckdb.Error: nothing of this step was done; the next look tries again.
        """
        if self._pass is None:
            self._pass = self._steps(now_ns)
            self._next_ns = now_ns + CHECK_NS
        try:
            step = next(self._pass, None)
        except BaseException:
            self._pass = None
            raise
        if step is None:
            self._pass = None
        return step

    def _steps(self, now_ns: int) -> Generator[Step]:
        jumps = clock_jumps.jumps_ahead(self._cursor, now_ns)
        # First of all: it writes to the log, and scrubbing leaves none behind.
        by_age = clock_jumps.may_erase(self._cursor, now_ns)
        if scrubbing.due(self._cursor):
            for _ in scrubbing.scrub(self._cursor):
                yield Step("free", 0, "request")
        # Runs of stages wait for one look, in which the journal of before is read, and no longer:
        # after that a wrong clock has nothing to lose in them, and new ones need their room.
        if not jumps:
            yield from self._drop_stages(now_ns)
        if by_age:
            yield from self._by_age(now_ns)
        if self._size_limit is not None:
            yield from self._shrink(now_ns, self._size_limit)
        yield from self._drop_unused()

    def _by_age(self, now_ns: int) -> Generator[Step]:
        self._remembered.drop_expired(now_ns)
        before = now_ns - self._rows_ns
        for rows in self._naming.drop_old(before, STEP_ROWS):
            yield Step("names", rows, "age")
        yield from self._erase(before, "age")
        yield from self._fold((now_ns - self._minutes_ns) // (60 * MINUTE_NS) * 60)
        yield from self._drop_cells((now_ns - self._hours_ns) // (60 * MINUTE_NS) * 60)

    def _drop_unused(self) -> Generator[Step]:
        for dictionary in self._dictionaries:
            rows = STEP_ROWS
            while rows == STEP_ROWS:
                with self._transaction():
                    rows = unused.drop(self._cursor, dictionary, STEP_ROWS)
                if rows:
                    yield Step("sets", rows, "age")

    def _drop_stages(self, now_ns: int) -> Generator[Step]:
        with self._transaction():
            counted, unmatched = self._stages.drop_old(now_ns)
        self._stages.reload()
        if counted + unmatched:
            yield Step("stage_runs", counted + unmatched, "age", unmatched=unmatched)

    def _erase(self, before_ns: int, reason: Reason, most: int | None = None) -> Generator[Step]:
        """Erase rows received before a time; of predictions at most so many, the oldest."""
        erased = 0
        first = self._first_row("predictions", before_ns, 0)
        while first is not None and (most is None or erased < most):
            with self._transaction():
                self._look("predictions", before_ns, first)
                self._cursor.execute(_OUTLIVED, {"before": before_ns})
                rows, last = self._leave(
                    "SELECT row_id FROM old ANTI JOIN outlived USING (row_id)", _ERASE_PREDICTIONS
                )
                if rows:
                    self._leaving(Since(prediction=last))
            erased += rows
            yield Step("predictions", rows, reason)
            first = self._first_row("predictions", before_ns, first + STEP_ROWS)
        if most is not None:
            # Labels go as far as predictions went.
            oldest = self._cursor.execute("SELECT min(received) FROM predictions").fetchall()[0][0]
            before_ns = before_ns if oldest is None else min(before_ns, oldest)
        first = self._first_row("labels", before_ns, 0)
        while first is not None:
            with self._transaction():
                self._look("labels", before_ns, first)
                self._cursor.execute(_NEAR)
                rows, last = self._leave(
                    "SELECT row_id FROM old"
                    f" WHERE row_id NOT IN (SELECT label_row FROM ({self._needed}))",
                    _ERASE_LABELS,
                )
                if rows:
                    self._leaving(Since(label=last))
            yield Step("labels", rows, reason)
            first = self._first_row("labels", before_ns, first + STEP_ROWS)
        with self._transaction():
            self._cursor.execute(
                "UPDATE kept SET rows_since = greatest(rows_since, ?) WHERE rows_since < ?",
                [before_ns, before_ns],
            )

    def _fold(self, before: int) -> Generator[Step]:
        since = self._kept("minutes_since")
        while since < before:
            first = self._first_minute(since)
            if first is None or first >= before:
                with self._transaction():
                    self._cursor.execute("UPDATE kept SET minutes_since = ?", [before])
                return
            first = first // 60 * 60
            since = min(first + FOLD_MINUTES, before)
            with self._transaction():
                self._cursor.execute(
                    "CREATE OR REPLACE TEMP TABLE folding AS SELECT ? AS first, ? AS last",
                    [first, since],
                )
                self._cursor.execute(_FOLD)
            yield Step("cells", 0, "age")

    def _drop_cells(self, before: int) -> Generator[Step]:
        while (first := self._first_minute(0)) is not None and first < before:
            end = min(first + 30 * FOLD_MINUTES, before)
            with self._transaction():
                rows = sum(
                    self._changed(f"DELETE FROM {table} WHERE minute < ?", end)
                    for table in ("prediction_cells", "outcome_cells", "stage_cells")
                )
                self._cursor.execute("UPDATE kept SET hours_since = ?", [end])
            yield Step("cells", rows, "age")

    def _shrink(self, now_ns: int, limit: int) -> Generator[Step]:
        size, rows = self._cursor.execute(_SIZE).fetchall()[0]
        if size <= limit or not rows:
            return
        most = int(rows * (1 - SIZE_GOAL * limit / size)) + 1
        erased = 0
        for step in self._erase(now_ns - SIZE_FLOOR_NS, "size", most):
            erased += step.rows
            yield step
        if erased:
            # Blocks are free only after it.
            self._cursor.execute("CHECKPOINT")
        _logger.warning(
            "the store holds %d bytes, store.size_limit is %d: %d of its oldest rows were erased "
            "before their label windows had passed%s",
            size,
            limit,
            erased,
            "" if erased else "; all that is left is younger than an hour, or counters",
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with transaction(self._cursor):
            yield
            failpoints.reach("retention")

    def _look(self, table: str, before_ns: int, first: int) -> None:
        self._cursor.execute(
            _OLD.format(table=table), {"before": before_ns, "first": first, "rows": STEP_ROWS}
        )

    def _leave(self, rows: str, erase: str) -> tuple[int, int]:
        """How many rows left, and the greatest of their ids; 0 where none did."""
        self._cursor.execute(f"CREATE OR REPLACE TEMP TABLE leaving AS {rows}")
        self._cursor.execute(erase)
        query = "SELECT count(*), coalesce(max(row_id), 0) FROM leaving"
        ((count, last),) = self._cursor.execute(query).fetchall()
        return int(count), int(last)

    def _first_row(self, table: str, before_ns: int, at_least: int) -> int | None:
        query = f"SELECT min(row_id) FROM {table} WHERE received < ? AND row_id >= ?"
        row: int | None = self._cursor.execute(query, [before_ns, at_least]).fetchall()[0][0]
        return row

    def _first_minute(self, at_least: int) -> int | None:
        query = """
            SELECT min(minute) FROM (
                SELECT min(minute) AS minute FROM prediction_cells WHERE minute >= $1
                UNION ALL
                SELECT min(minute) AS minute FROM outcome_cells WHERE minute >= $1
                UNION ALL
                SELECT min(minute) AS minute FROM stage_cells WHERE minute >= $1
            )
        """
        minute: int | None = self._cursor.execute(query, [at_least]).fetchall()[0][0]
        return minute

    def _kept(self, column: str) -> int:
        return int(self._cursor.execute(f"SELECT {column} FROM kept").fetchall()[0][0])

    def _changed(self, statement: str, *parameters: int) -> int:
        return int(self._cursor.execute(statement, parameters).fetchall()[0][0])
