"""The outbox: evaluation spans written in the transaction that made them due."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import Bool, Int64, UInt64
from inferspan_collector.config import Jaeger
from inferspan_collector.store import full_rows, rebuilding
from inferspan_collector.store.keys import PADDING

_OUTCOMES: Final = ("incorrect", "retracted", "correct")
_CHOSEN: Final = f"""
WITH found AS MATERIALIZED (
    SELECT * FROM predictions WHERE row_id IN (SELECT prediction_row FROM chosen)
)
SELECT
    p.trace_high, p.trace_low, p.span, p.start_time + p.duration, p.event_time, p.series_id,
    p.prediction_id, p.position, l.target, l.label_id, l.revision, l.time, c.outcome,
    coalesce(p.predicted, CASE WHEN isnan(p.value) THEN NULL ELSE p.value::VARCHAR END),
    l.actual,
    CASE WHEN p.predicted IS NULL AND NOT isnan(l.value) THEN p.value - l.value END,
    l.content_hash, f.unsampled IS TRUE AND c.outcome = 'incorrect', {rebuilding.COLUMNS}
FROM chosen AS c
JOIN ({full_rows.predictions("found")}) AS p ON p.row_id = c.prediction_row
JOIN found AS f ON f.row_id = p.row_id
JOIN series AS s ON s.series_id = p.series_id
JOIN (
    {full_rows.labels("(SELECT * FROM labels WHERE row_id IN (SELECT label_row FROM chosen))")}
) AS l ON l.row_id = c.label_row
ORDER BY c.place
"""
_INSERT: Final = """
INSERT INTO outbox BY NAME
SELECT ?::UBIGINT AS span, ? AS trace_high, ? AS trace_low, ? AS prediction_span,
    ? AS prediction_end, ? AS event_time, ? AS series_id, ? AS prediction_id, ? AS position,
    ? AS target, ? AS label_id, ? AS revision, ? AS label_time, ? AS outcome,
    ? AS predicted, ? AS expected, ? AS error, ? AS rebuilt
"""
_ENTRY: Final = 17
"""Columns of `_CHOSEN` that are of the entry, the label's content hash after the others."""
_SAVED_SECONDS: Final = 10
"""What a sender holds back while it cannot send comes at once, and is no more than its rate."""


@dataclass(slots=True)
class Allowance:
    """How many spans may be made now: so many per second, ten seconds' worth saved."""

    per_second: int
    _left: float = 0.0
    _at_ns: int = 0

    def refill(self, now_ns: int) -> int:
        """What is left at this time; a clock that went back refills nothing."""
        gained = max(0, now_ns - self._at_ns) * self.per_second / 1e9
        self._left = min(float(_SAVED_SECONDS * self.per_second), self._left + gained)
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
    rebuilt: int = 0
    """Spans of unsampled predictions that were rebuilt beside their evaluations."""
    not_rebuilt: int = 0
    """Those beyond their allowance."""


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Evaluations that a transaction makes due, one row each.

    `outcome` is the place in (incorrect, retracted, correct); `id_hash` is a hash of the
    prediction's id that is the same in every store.
    """

    prediction_row: Int64
    label_row: Int64
    outcome: Int64
    id_hash: UInt64


def numbers(outcomes: Iterable[str]) -> Int64:
    """The number of each outcome's text."""
    return np.array([_OUTCOMES.index(text) for text in outcomes], np.int64)


def fill(
    cursor: duckdb.DuckDBPyConnection,
    jaeger: Jaeger,
    allowance: Allowance,
    rebuilding_allowance: Allowance,
    now_ns: int,
    due: Due,
) -> Filled:
    """Write what the join made due into the outbox, inside the open transaction.

    Wrong predictions and retractions come first, then a share of the right ones, up to the
    allowance and to the room the outbox has. The figures hold all of them all the same. The share
    is chosen by the id's hash, so that a retry or a replay chooses the same. With an evaluation
    that finds an unsampled prediction wrong goes that one's own span, up to its own allowance.
    """
    allowed = allowance.refill(now_ns)
    if len(due.prediction_row) == 0:
        return Filled(0, {})
    right = due.outcome == _OUTCOMES.index("correct")
    chosen: Bool = ~right | ((due.id_hash >> np.uint64(32)) < jaeger.correct_share * 2**32)
    held = cursor.execute("SELECT count(*) FROM outbox").fetchall()[0][0]
    room = max(0, jaeger.outbox_entries - held)
    order = np.lexsort((due.label_row, due.prediction_row, due.id_hash, right))
    taken = order[chosen[order]][: min(allowed, room)]
    rebuilt = rebuilding.Rebuilt({})
    if len(taken):
        cursor.register(
            "chosen",
            {
                "place": np.arange(len(taken)),
                "prediction_row": due.prediction_row[taken],
                "label_row": due.label_row[taken],
                "outcome": np.array(_OUTCOMES, np.object_)[due.outcome[taken]],
            },
        )
        rows = cursor.execute(_CHOSEN).fetchall()
        wrong = {
            place: rebuilding.Unsampled(*row[_ENTRY + 1 :])
            for place, row in enumerate(rows)
            if row[_ENTRY]
        }
        rebuilt = rebuilding.rebuild(cursor, wrong, rebuilding_allowance.refill(now_ns))
        cursor.executemany(
            _INSERT,
            [[*_entry(row[:_ENTRY]), rebuilt.texts.get(place)] for place, row in enumerate(rows)],
        )
    limited = "rate" if allowed <= room else "outbox_full"
    some = int(chosen.sum())
    skipped = {"sampled": len(chosen) - some, limited: some - len(taken)}
    return Filled(len(taken), skipped, len(rebuilt.texts), rebuilt.left_out)


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
    columns[6] = PADDING + prediction_id
    return [int.from_bytes(digest, "big") or 1, *columns]
