"""How long steps of predictions took: counted once each, when their prediction is in the store.

A run may come before its prediction or after it, and again with every retry. Runs are known again
by all they say, for as long as one may count: `WINDOW_NS` from the receipt of their prediction,
before or after. What is older is never counted, so that a retry of it need not be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import StageBatch
from inferspan_collector.config import Config
from inferspan_collector.latency_sketch import bucket_sql
from inferspan_collector.store.cells import MINUTE_NS
from inferspan_collector.store.database import sql
from inferspan_collector.store.interning import Interner
from inferspan_collector.store.staging import Columns
from inferspan_collector.telemetry import OTHER

WINDOW_NS: Final = 10 * MINUTE_NS
"""Between the receipt of a step's run and of its prediction, at most."""
KEPT_NS: Final = 2 * WINDOW_NS
"""How long a run is known: a copy that came last may be so much younger than one that came first,
and the prediction between them."""
_RUN: Final = (
    "trace_high", "trace_low", "span", "owner", "stage", "phase", "start_time", "duration",
)  # fmt: skip
"""What a run says. Ids alone do not tell: programs seed the random numbers that they come from."""
_MATCH: Final = sql("inferspan_collector.store", "stages.sql")
_COUNT: Final = sql("inferspan_collector.store", "count_stages.sql").format(
    run=", ".join(_RUN),
    same_run=" AND ".join(f"w.{name} = m.{name}" for name in _RUN),
    minute=MINUTE_NS,
    other=OTHER,
    bucket=bucket_sql("m.duration"),
)
_WAIT: Final = f"""
INSERT INTO waiting_stages
SELECT {", ".join(_RUN)}, received FROM fresh_stages ANTI JOIN met_stages USING ({", ".join(_RUN)})
"""
_NAMES: Final = """
SELECT DISTINCT s.model, m.stage
FROM met_stages AS m
JOIN series AS s ON s.series_id = m.series_id
WHERE m.stage <> ''
"""
_HELD: Final = """
SELECT (SELECT count(*) FROM stage_runs), (SELECT count(*) FROM waiting_stages)
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the runs of one transaction."""

    counted: int = 0
    duplicate: int = 0
    dropped: int = 0
    """There was no room to know them again."""


_NOTHING: Final = Taken()


class Stages:
    """Takes runs of steps in, inside the writer's transactions. One thread owns it."""

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, config: Config, interner: Interner
    ) -> None:
        self._cursor = cursor
        self._interner = interner
        self._runs_max = config.limits.stage_runs
        self.reload()

    def reload(self) -> None:
        """Look at what is committed: at start, after a rollback, and once runs were dropped."""
        self._runs, self._waiting = self._cursor.execute(_HELD).fetchall()[0]

    def take(self, batch: StageBatch, first_row: int, predictions: bool) -> Taken:
        """Count what can be counted now, inside the open transaction; the rest waits.

        Args:
            batch: runs as they came.
            first_row: of the predictions that this transaction has appended.
            predictions: whether it has appended any.
        """
        if not len(batch) and not (self._waiting and predictions):
            return _NOTHING
        cursor = self._cursor
        arrived_stages = _columns(batch)  # noqa: F841
        since = int(batch.received.min()) - WINDOW_NS if len(batch) else 0
        room = max(0, self._runs_max - self._runs - self._waiting)
        cursor.execute(
            _MATCH.format(
                run=", ".join(_RUN),
                asked_run=", ".join(f"a.{name}" for name in _RUN),
                room=room,
                received_since=since,
                first_row=first_row,
                window=WINDOW_NS,
            )
        )
        fresh, met, waited = cursor.execute(
            "SELECT (SELECT count(*) FROM fresh_stages), count(*), count(*) FILTER (NOT fresh)"
            " FROM met_stages"
        ).fetchall()[0]
        if met:
            self._interner.admit_stages(cursor.execute(_NAMES).fetchall())
            cursor.execute(_COUNT)
        if fresh > met - waited:
            cursor.execute(_WAIT)
        self._runs += met
        self._waiting += fresh - met
        rest = len(batch) - fresh
        # Where there was no room for all, which of the rest would have been new is not known.
        full = fresh == room
        return Taken(met, 0 if full else rest, rest if full else 0)

    def drop_old(self, now_ns: int) -> tuple[int, int]:
        """Forget runs that cannot count any more, inside the open transaction; `reload` then.

        Returns:
            How many had been counted, and how many had met no prediction.
        """
        before = now_ns - KEPT_NS
        dropped = [
            self._cursor.execute(f"DELETE FROM {table} WHERE received < ?", [before]).fetchall()
            for table in ("stage_runs", "waiting_stages")
        ]
        counted, unmatched = (int(rows[0][0]) for rows in dropped)
        return counted, unmatched


def _columns(batch: StageBatch) -> Columns:
    columns: dict[str, Any] = {
        "trace_high": np.ascontiguousarray(batch.trace[:, 0]),
        "trace_low": np.ascontiguousarray(batch.trace[:, 1]),
        "span": batch.span,
        "owner": batch.owner,
        "start_time": batch.start_time,
        "duration": batch.duration,
        "received": batch.received,
    }
    for name in ("stage", "phase"):
        texts = getattr(batch, name).objects()
        texts[texts == None] = ""  # noqa: E711 - of an array of objects
        columns[name] = texts
    return columns
