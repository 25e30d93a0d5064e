"""Questions about how long steps of predictions took."""

from __future__ import annotations

from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.store.arrived import texts
from inferspan_collector.store.cell_queries import SLICE, by_minute, conditions, group, window
from inferspan_collector.store.cells import (
    SERIES_KEYS,
    CellQuery,
    Groups,
    QueryError,
    StageArrivals,
    StageCells,
)

_SUMS: Final = """
    sum(c.n)::BIGINT AS n, sum(c.covered)::BIGINT AS covered, sum(c.duration)::DOUBLE AS duration
"""
_ARRIVALS: Final = f"""
SELECT {", ".join(f"s.{key}" for key in SERIES_KEYS)}, c.stage, c.phase, c.bucket, {_SUMS}
FROM stage_arrivals AS c
JOIN series AS s ON s.series_id = c.series_id
GROUP BY ALL
ORDER BY ALL
"""


def cells(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> StageCells:
    """Runs of steps per (window, group, step, bucket), by the time of their predictions.

    Raises:
        QueryError: a key of `by` is a slice.
    """
    if any(key.startswith(SLICE) for key in query.by):
        raise QueryError(
            f"by = {', '.join(query.by)}; steps are counted without slices: leave those out"
        )
    wanted, parameters = conditions(query)
    keys = [f"{group(key, {})} AS by_{place}" for place, key in enumerate(query.by)]
    statement = f"""
        SELECT {", ".join([f"{window(query)} AS window_start", *keys])},
            c.stage, c.phase, c.bucket, {_SUMS}
        FROM {by_minute("stage_cells", query)} AS c
        JOIN series AS s ON s.series_id = c.series_id
        {f"WHERE {' AND '.join(wanted)}" if wanted else ""}
        GROUP BY ALL
        ORDER BY ALL
    """
    found = cursor.execute(statement, parameters).fetchnumpy()
    groups = zip(*(texts(found[f"by_{place}"]) for place in range(len(keys))), strict=True)
    return StageCells(
        by=query.by,
        window=np.ma.getdata(found["window_start"]),
        groups=Groups.of(groups if keys else [()] * len(found["n"])),
        **_columns(found),
    )


def arrivals(cursor: duckdb.DuckDBPyConnection) -> StageArrivals:
    """Runs of steps since the store began."""
    found = cursor.execute(_ARRIVALS).fetchnumpy()
    series = zip(*(texts(found[key]) for key in SERIES_KEYS), strict=True)
    return StageArrivals(series=tuple(series), **_columns(found))


def _columns(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "stage": texts(found["stage"]),
        "phase": texts(found["phase"]),
        "bucket": np.ma.getdata(found["bucket"]),
        "n": np.ma.getdata(found["n"]),
        "covered": np.ma.getdata(found["covered"]),
        "duration_ns": np.ma.getdata(found["duration"]),
    }
