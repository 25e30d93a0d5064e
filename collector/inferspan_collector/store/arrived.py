"""What arrived since it was last asked: rows are numbered as they come, so that is where they lie.

`/metrics` adds this up into counters that only grow. Each question reads only what is new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.store import cell_queries
from inferspan_collector.store.cells import SERIES_KEYS, ArrivalCells

NOTHING: Final = -1
"""Before the first row."""

_NEWEST: Final = """
SELECT
    greatest((SELECT max(row_id) FROM predictions), prediction_rows, $nothing),
    greatest((SELECT max(row_id) FROM labels), label_rows, $nothing)
FROM kept
"""
_SERIES: Final = ", ".join(f"s.{key}" for key in SERIES_KEYS)
_CALLS: Final = f"""
SELECT
    {_SERIES}, d.row_id IS NOT NULL AS failed, <place> AS place, count(*),
    sum(greatest(p.duration, 0)), count(*) FILTER (p.duration > b.limit_ns), max(p.row_id)
FROM (SELECT * FROM predictions WHERE row_id > $since) AS p
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN (
    SELECT row_id FROM prediction_details WHERE row_id > $since AND error_type IS NOT NULL
) AS d ON d.row_id = p.row_id
LEFT JOIN (
    SELECT unnest($models::VARCHAR[]) AS model, unnest($limits::DOUBLE[]) AS limit_ns
) AS b ON b.model = s.model
GROUP BY ALL
"""
_JUDGED: Final = f"""
WITH newest AS (
    SELECT
        o.series_id, j.target, j.predicted, j.actual, j.correct,
        max(o.label_row) AS label_row, arg_max(o.prediction_row, o.label_row) AS prediction_row
    FROM (SELECT * FROM outcomes WHERE label_row > $since) AS o
    JOIN judgements AS j ON j.judgement_id = o.judgement_id
    WHERE j.counted
    GROUP BY ALL
)
SELECT
    {_SERIES}, n.target, n.predicted, n.actual, n.correct, l.received, p.trace_high, p.trace_low,
    p.span, n.label_row
FROM newest AS n
JOIN series AS s ON s.series_id = n.series_id
JOIN labels AS l ON l.row_id = n.label_row
JOIN predictions AS p ON p.row_id = n.prediction_row
"""


@dataclass(frozen=True, slots=True)
class Newest:
    """Numbers of the newest rows."""

    prediction: int = NOTHING
    label: int = NOTHING


@dataclass(frozen=True, slots=True)
class Calls:
    """Predictions that arrived, of one series, outcome and range of durations."""

    series: tuple[str | None, ...]
    """Texts of `SERIES_KEYS`."""
    failed: bool
    place: int
    """How many of the limits the durations lie above."""
    n: int
    duration_ns: int
    """Sum of all."""
    slow: int
    """Those that took longer than their model's objective; 0 without one."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The newest label that joined, of one series, target, pair of classes and outcome."""

    series: tuple[str | None, ...]
    """Texts of `SERIES_KEYS`."""
    target: str
    predicted: str | None
    actual: str | None
    correct: int
    received: int
    """Unix ns."""
    trace_id: str
    """Of the prediction, 32 hexadecimal digits."""
    span_id: str


def newest(cursor: duckdb.DuckDBPyConnection) -> Newest:
    """The newest rows, erased ones too."""
    found = cursor.execute(_NEWEST, {"nothing": NOTHING}).fetchall()
    return Newest(*map(int, found[0]))


def calls(
    cursor: duckdb.DuckDBPyConnection,
    since: int,
    limits_ns: Sequence[int],
    objectives_ns: Mapping[str, float],
) -> tuple[list[Calls], int]:
    """Count the predictions that came after a row, and say which one is the newest now.

    Args:
        cursor: of the store.
        since: a prediction's row.
        limits_ns: that durations are sorted by, rising.
        objectives_ns: model → how long a call should take at most.
    """
    place = " + ".join(f"(p.duration > {int(limit)})::INTEGER" for limit in limits_ns)
    found = cursor.execute(
        _CALLS.replace("<place>", place),
        {"since": since, "models": [*objectives_ns], "limits": [*objectives_ns.values()]},
    ).fetchall()
    keys = len(SERIES_KEYS)
    return (
        [Calls(row[:keys], *row[keys:-1]) for row in found],
        max((row[-1] for row in found), default=since),
    )


def judged(cursor: duckdb.DuckDBPyConnection, since: int) -> tuple[list[Judged], int]:
    """The newest of the labels that came after a row and joined, and the newest row of them."""
    found = cursor.execute(_JUDGED, {"since": since}).fetchall()
    keys = len(SERIES_KEYS)
    rows = []
    for row in found:
        target, predicted, actual, correct, received, high, low, span, _ = row[keys:]
        trace_id, span_id = f"{high:016x}{low:016x}", f"{span:016x}"
        rows.append(
            Judged(row[:keys], target, predicted, actual, correct, received, trace_id, span_id)
        )
    return rows, max((row[-1] for row in found), default=since)


def outcomes(cursor: duckdb.DuckDBPyConnection) -> ArrivalCells:
    """Outcomes added and retracted since the store began."""
    columns = cursor.execute(cell_queries.ARRIVALS).fetchnumpy()
    return ArrivalCells(
        series=list(zip(*(texts(columns[key]) for key in SERIES_KEYS), strict=True)),
        target=[str(text) for text in columns["target"]],
        predicted=texts(columns["predicted"]),
        actual=texts(columns["actual"]),
        correct=columns["correct"].astype(np.int8),
        added=columns["added"].astype(np.int64),
        retracted=columns["retracted"].astype(np.int64),
    )


def texts(column: Any) -> list[str | None]:
    """A text column as a list: numpy masks what is NULL."""
    return list(column.tolist())
