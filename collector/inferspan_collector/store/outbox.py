"""The outbox: evaluation spans written in the transaction that made them due."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from inferspan_collector.config import Jaeger
from inferspan_collector.store.database import sql

_DUE: Final = sql("inferspan_collector.store", "due.sql")
_CHOSEN: Final = """
SELECT * EXCLUDE (id_hash, content_hash, chosen), content_hash
FROM due
WHERE chosen
ORDER BY outcome = 'correct', id_hash, prediction_id, position, series_id, target, label_id,
    trace_high, trace_low, prediction_span
LIMIT ?
"""
_COUNTS: Final = """
SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM due WHERE chosen),
    (SELECT count(*) FROM outbox)
"""
_INSERT: Final = """
INSERT INTO outbox BY NAME
SELECT ?::UBIGINT AS span, ? AS trace_high, ? AS trace_low, ? AS prediction_span,
    ? AS prediction_end, ? AS event_time, ? AS series_id, ? AS prediction_id, ? AS position,
    ? AS target, ? AS label_id, ? AS revision, ? AS label_time, ? AS outcome,
    ? AS predicted, ? AS expected, ? AS error
"""


@dataclass(slots=True)
class Allowance:
    """How many evaluation spans may be made now: so many per second, one second's worth saved."""

    per_second: int
    _left: float = 0.0
    _at_ns: int = 0

    def refill(self, now_ns: int) -> int:
        """What is left at this time; a clock that went back refills nothing."""
        gained = max(0, now_ns - self._at_ns) * self.per_second / 1e9
        self._left = min(float(self.per_second), self._left + gained)
        self._at_ns = now_ns
        return int(self._left)

    def spend(self, n: int) -> None:
        """Use up n, once what they were used for is committed."""
        self._left -= n


@dataclass(frozen=True, slots=True)
class Filled:
    """What one transaction put into the outbox, and what it left out, by reason."""

    entries: int
    skipped: dict[str, int]


def fill(
    cursor: duckdb.DuckDBPyConnection, jaeger: Jaeger, allowance: Allowance, now_ns: int
) -> Filled:
    """Write what the join made due into the outbox, inside the open transaction.

    Wrong predictions and retractions come first, then a share of the right ones, up to the
    allowance and to the room the outbox has. The figures hold all of them all the same.
    """
    cursor.execute(_DUE, {"share": jaeger.correct_share})
    due, chosen, held = cursor.execute(_COUNTS).fetchall()[0]
    allowed = allowance.refill(now_ns)
    room = max(0, jaeger.outbox_entries - held)
    rows = cursor.execute(_CHOSEN, [min(allowed, room)]).fetchall()
    if rows:
        cursor.executemany(_INSERT, [_entry(row) for row in rows])
    limited = "rate" if allowed <= room else "outbox_full"
    return Filled(len(rows), {"sampled": due - chosen, limited: chosen - len(rows)})


def _entry(row: tuple[Any, ...]) -> list[Any]:
    """A row of `due` as a row of the outbox: its own span id first.

    The id is a hash of what the span says, so that the same evaluation sent twice is the same
    span, and another one of the same prediction is not.
    """
    *columns, content_hash = row
    trace_high, trace_low, span, _, _, _, prediction_id, position, target, label_id = columns[:10]
    revision, _, outcome = columns[10:13]
    parts = (trace_high, trace_low, span, prediction_id, position, target, label_id, revision)
    text = "\0".join(map(str, (*parts, content_hash, outcome == "retracted")))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return [int.from_bytes(digest, "big") or 1, *columns]
