"""The outbox: evaluation spans written in the transaction that made them due."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from inferspan_collector.config import Jaeger

# Deterministic choice: the id's own hash decides, so a retry or a replay chooses the same.
_CANDIDATES: Final = """
SELECT
    p.trace_high, p.trace_low, p.span, p.start_time + p.duration AS prediction_end,
    p.event_time, p.series_id, p.prediction_id, p.position, p.id_hash,
    e.target, l.label_id, l.revision, l.time AS label_time, e.outcome,
    coalesce(p.predicted, CASE WHEN isnan(p.value) THEN NULL ELSE p.value::VARCHAR END)
        AS predicted,
    l.actual AS expected,
    CASE WHEN p.predicted IS NULL AND NOT isnan(l.value) THEN p.value - l.value END AS error
FROM (
    SELECT
        prediction_row, target, label_row,
        CASE correct WHEN 1 THEN 'correct' ELSE 'incorrect' END AS outcome
    FROM added
    WHERE counted AND correct >= 0
    UNION ALL
    SELECT w.prediction_row, w.target, w.label_row, 'retracted' AS outcome
    FROM winners AS w
    JOIN removed AS r ON r.prediction_row = w.prediction_row AND r.target = w.target
    WHERE w.deleted AND r.counted AND r.correct >= 0
) AS e
JOIN predictions AS p ON p.row_id = e.prediction_row
JOIN labels AS l ON l.row_id = e.label_row
WHERE e.outcome <> 'correct' OR p.id_hash // 4294967296 < $share * 4294967296
ORDER BY e.outcome = 'correct', p.id_hash, e.target
LIMIT $most
"""
_DUE: Final = "SELECT count(*) FROM added WHERE counted AND correct >= 0"
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
        """Use up n."""
        self._left -= n


def fill(
    cursor: duckdb.DuckDBPyConnection, jaeger: Jaeger, allowance: Allowance, now_ns: int
) -> int:
    """Write what the join made due into the outbox, inside the open transaction.

    Wrong predictions come first, then a share of the right ones, up to the allowance.

    Returns:
        How many evaluations were due and get no span. The figures hold them all the same.
    """
    due = int(cursor.execute(_DUE).fetchall()[0][0])
    rows = cursor.execute(
        _CANDIDATES, {"share": jaeger.correct_share, "most": allowance.refill(now_ns)}
    ).fetchall()
    if rows:
        cursor.executemany(_INSERT, [_entry(row) for row in rows])
    allowance.spend(len(rows))
    return due - sum(1 for row in rows if row[13] != "retracted")


def _entry(row: tuple[Any, ...]) -> list[Any]:
    (trace_high, trace_low, span, end, event, series, prediction_id, position, _, *rest) = row
    target, label_id, revision = rest[:3]
    parts = (trace_high, trace_low, span, prediction_id, position, target, label_id, revision)
    digest = hashlib.blake2b("\0".join(map(str, parts)).encode(), digest_size=8).digest()
    evaluation_span = int.from_bytes(digest, "big") or 1
    return [
        evaluation_span,
        trace_high,
        trace_low,
        span,
        end,
        event,
        series,
        prediction_id,
        position,
        *rest,
    ]
