"""Counters of several windows that end at the same minute, by one question each.

What `cell_queries` answers for one window and target, here for all windows and targets at once, in
columns of numbers: `/metrics` asks it at every scrape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.store.cell_queries import folded
from inferspan_collector.store.cells import SERIES_KEYS

Series = Mapping[int, tuple[str | None, ...]]
"""Number of a series → texts of `SERIES_KEYS`."""

_SERIES: Final = f"SELECT series_id, {', '.join(SERIES_KEYS)} FROM series"
_PREDICTIONS: Final = """
SELECT c.series_id, c.failed, c.bucket, <sums>
FROM <cells> AS c
WHERE c.slice_key = '' AND c.minute >= $start_0 AND c.minute < $end
GROUP BY ALL
"""
_OUTCOMES: Final = """
SELECT c.series_id, c.target, c.predicted, c.actual, c.correct, <sums>
FROM <cells> AS c
WHERE c.slice_key = '' AND c.minute >= $start_0 AND c.minute < $end
GROUP BY ALL
"""
_STORED: Final = f"""
SELECT {", ".join(f"s.{key}" for key in SERIES_KEYS)}, c.failed, c.n
FROM (
    SELECT series_id, failed, sum(n)::BIGINT AS n
    FROM prediction_cells
    WHERE slice_key = ''
    GROUP BY ALL
) AS c
JOIN series AS s ON s.series_id = c.series_id
WHERE c.n <> 0
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Predictions that the store counts, of one series and outcome, whenever they were made."""

    series: tuple[str | None, ...]
    """Texts of `SERIES_KEYS`."""
    failed: bool
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class TrailingPredictions:
    """Predictions per series, R rows, in W windows."""

    series: NDArray[np.int64]
    failed: NDArray[np.bool_]
    bucket: NDArray[np.int16]
    """As `latency_sketch` numbers them."""
    n: NDArray[np.int64]
    """int64[R, W]; 0 where a window has none."""


@dataclass(frozen=True, slots=True, eq=False)
class TrailingOutcomes:
    """Labelled predictions per series, target, classes and outcome, R rows, in W windows."""

    series: NDArray[np.int64]
    target: Sequence[str]
    predicted: Sequence[str | None]
    actual: Sequence[str | None]
    correct: NDArray[np.int8]
    """As `OutcomeCells.correct`."""
    n: NDArray[np.int64]
    """int64[R, W]; 0 where a window has none."""


@dataclass(frozen=True, slots=True, eq=False)
class Trailing:
    """What the windows hold, corrections applied, and the series that its numbers mean."""

    series: Series
    predictions: TrailingPredictions
    outcomes: TrailingOutcomes


def read(cursor: duckdb.DuckDBPyConnection, starts: Sequence[int], end: int) -> Trailing:
    """Count windows [start, end) of Unix minutes; some milliseconds for a day of minutes.

    Args:
        cursor: of the store.
        starts: the first minute of each window, at least one of them.
        end: the minute after all of them.
    """
    # Outcomes first: what is committed between the two questions may only add predictions.
    outcomes = _fetch(cursor, _OUTCOMES, "outcome_cells", starts, end)
    predictions = _fetch(cursor, _PREDICTIONS, "prediction_cells", starts, end)
    return Trailing(
        series(cursor),
        TrailingPredictions(
            predictions["series_id"].astype(np.int64),
            predictions["failed"].astype(np.bool_),
            predictions["bucket"].astype(np.int16),
            _numbers(predictions, len(starts)),
        ),
        TrailingOutcomes(
            outcomes["series_id"].astype(np.int64),
            outcomes["target"].tolist(),
            outcomes["predicted"].tolist(),
            outcomes["actual"].tolist(),
            outcomes["correct"].astype(np.int8),
            _numbers(outcomes, len(starts)),
        ),
    )


def stored(cursor: duckdb.DuckDBPyConnection) -> list[Stored]:
    """All predictions that are counted."""
    keys = len(SERIES_KEYS)
    return [Stored(row[:keys], *row[keys:]) for row in cursor.execute(_STORED).fetchall()]


def series(cursor: duckdb.DuckDBPyConnection) -> Series:
    """Every series that there is."""
    return {row[0]: row[1:] for row in cursor.execute(_SERIES).fetchall()}


def _fetch(
    cursor: duckdb.DuckDBPyConnection, template: str, cells: str, starts: Sequence[int], end: int
) -> dict[str, Any]:
    sums = ", ".join(
        f"coalesce(sum(c.n) FILTER (c.minute >= $start_{place}), 0)::BIGINT AS n_{place}"
        for place in range(1, len(starts) + 1)
    )
    parameters = {f"start_{place}": start for place, start in enumerate(starts, start=1)}
    # As everywhere: cells of whole hours count at the first minute of theirs.
    statement = template.replace("<sums>", sums)
    statement = statement.replace("<cells>", folded(cells, "$start_0", "$end"))
    found: dict[str, Any] = cursor.execute(
        statement, {**parameters, "start_0": min(starts), "end": end}
    ).fetchnumpy()
    return found


def _numbers(columns: Mapping[str, Any], windows: int) -> NDArray[np.int64]:
    return np.column_stack(
        [columns[f"n_{place}"].astype(np.int64) for place in range(1, windows + 1)]
    )
