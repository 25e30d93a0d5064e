"""Counter cells as numbers: texts are places in short lists, and none is made per cell.

A day of minutes of ten classes has 300,000 cells. DuckDB would group them by their texts, sort
them, and hand each text over as a Python object; numbers cost a fifth of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Int32, Strings
from inferspan_collector.store import cell_queries, grouping
from inferspan_collector.store.cell_queries import SLICE, Coding
from inferspan_collector.store.cells import (
    CellQuery,
    Group,
    Groups,
    JudgedItems,
    OutcomeCells,
    PredictionCells,
    WeighedCells,
)

_CELLS_MAX: Final = 500_000
"""Cells that are read as they are stored, of some 40 bytes each."""
_PLACES_MAX: Final = 20_000_000
"""Combinations of what cells are about for which there is a byte each."""
_CLASSES: Final = """
SELECT DISTINCT unnest([predicted, actual]) AS class FROM arrival_cells WHERE target = $target
"""


def predictions(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> PredictionCells:
    """Predictions per (window, group, failed, bucket)."""
    coding = _coding(cursor, query)
    columns = _added_up(cursor, cell_queries.predictions, query, coding)
    return PredictionCells(
        by=query.by,
        window=columns["window_start"],
        groups=_groups(query, coding, columns),
        failed=columns["failed"],
        bucket=columns["bucket"],
        n=columns["n"],
    )


def outcomes(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> OutcomeCells:
    """Labelled predictions per (window, group, predicted, actual, correct)."""
    coding = _coding(cursor, query, _classes(cursor, query))
    columns = _added_up(cursor, cell_queries.outcomes, query, coding)
    return _outcomes(query, coding, columns)


def arrived_outcomes(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> OutcomeCells:
    """The same by the minute in which the label came, of a query with a start and an end."""
    coding = _coding(cursor, query, _classes(cursor, query), by_combination=True)
    columns = _fetch(cursor, *cell_queries.arrived_outcomes(query, coding))
    return _outcomes(query, coding, columns)


def weighed(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> WeighedCells:
    """The same of rows, by their weights."""
    coding = _coding(cursor, query, _classes(cursor, query), by_combination=True)
    columns = _fetch(cursor, *cell_queries.weighed(query, coding))
    # In one order, whatever DuckDB's is: what follows are sums of floats.
    order = np.lexsort([columns[name] for name in sorted(columns)])
    columns = {name: column[order] for name, column in columns.items()}
    return WeighedCells(_outcomes(query, coding, columns), columns["weight"])


def _classes(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> tuple[str, ...]:
    """The classes of a query's target: whatever is counted arrived, and those are few rows."""
    found = cursor.execute(_CLASSES, {"target": query.target}).fetchall()
    return tuple(sorted(text for (text,) in found if text is not None))


def _outcomes(query: CellQuery, coding: Coding, columns: dict[str, Any]) -> OutcomeCells:
    if any((columns[name] < -1).any() for name in ("predicted", "actual")):
        raise RuntimeError(
            "a counter names a class that no arrival named, so the store's counters contradict "
            "each other; restore a backup, and report this"
        )
    classes = tuple(coding.classes)
    return OutcomeCells(
        by=query.by,
        window=columns["window_start"],
        groups=_groups(query, coding, columns),
        predicted=Strings(columns["predicted"], classes),
        actual=Strings(columns["actual"], classes),
        correct=columns["correct"],
        n=columns["n"],
    )


def items(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> JudgedItems:
    """Labelled items of rankings."""
    coding = _coding(cursor, query, by_combination=True)
    columns = _fetch(cursor, *cell_queries.items(query, coding))
    # Items that a ranking lacks are alike: one row stands for several.
    columns = {name: np.repeat(column, columns["n"]) for name, column in columns.items()}
    order = np.lexsort((columns["place"], columns["ranking"], columns["window_start"]))
    columns = {name: column[order] for name, column in columns.items()}
    return JudgedItems(
        by=query.by,
        window=columns["window_start"],
        groups=_groups(query, coding, columns),
        ranking=columns["ranking"],
        place=columns["place"],
        relevance=columns["relevance"],
        shown=columns["shown"],
        weight=columns["weight"],
    )


def implied(cursor: duckdb.DuckDBPyConnection, query: CellQuery) -> dict[tuple[int, Group], int]:
    """Per (window, group) the labelled predictions whose label silence implied."""
    # Nearly no target means anything by silence, and then no row need be read.
    asked = {"target": query.target}
    if not cursor.execute(cell_queries.IMPLIES, asked).fetchall()[0][0]:
        return {}
    coding = _coding(cursor, query, by_combination=True)
    columns = _fetch(cursor, *cell_queries.implied(query, coding))
    found: dict[tuple[int, Group], int] = {}
    keys = zip(columns["window_start"].tolist(), _groups(query, coding, columns), strict=True)
    for key, n in zip(keys, columns["n"].tolist(), strict=True):
        found[key] = found.get(key, 0) + n
    return found


def count_windows(cursor: duckdb.DuckDBPyConnection, query: CellQuery, few: int = 0) -> int:
    """How many (window, group) hold a prediction; of at most `few`, how many there can be."""
    coding = _coding(cursor, query)
    if query.every is not None and query.start is not None and query.end is not None:
        windows = (query.end - 1) // query.every - query.start // query.every + 1
        groups = max(1, len(coding.series_groups)) * max(1, len(coding.slice_groups))
        if windows * groups <= few:
            return windows * groups
    statement, parameters = cell_queries.windows(query, coding)
    return int(cursor.execute(statement, parameters).fetchall()[0][0])


def _coding(
    cursor: duckdb.DuckDBPyConnection,
    query: CellQuery,
    classes: tuple[str, ...] = (),
    *,
    by_combination: bool = False,
) -> Coding:
    """The coding of a query's groups.

    Args:
        cursor: a connection, in the transaction that reads what is coded.
        query: what is asked.
        classes: of its target.
        by_combination: that rows are read, which know combinations of slices; two keys of slices
            or more are always answered so.
    """
    series_groups: dict[Group, int] = {}
    series = {
        number: series_groups.setdefault(tuple(texts), len(series_groups))
        for number, *texts in cursor.execute(*cell_queries.series(query)).fetchall()
    }
    keys = cell_queries.slice_keys(query)
    by_combination = by_combination or len(keys) > 1
    slice_groups: dict[Group, int] = {}
    slices: dict[Any, int] = {}
    if keys:
        found = cursor.execute(
            "SELECT slices_id, slice_key, slice_value FROM slice_sets"
            " WHERE list_contains($keys, slice_key) ORDER BY ALL",
            {"keys": list(keys)},
        ).fetchall()
        combinations: dict[int, dict[str, str]] = {}
        for number, key, value in found:
            combinations.setdefault(number, {})[key] = value
        for number, values in combinations.items():
            # Those that lack one of the keys are in no group.
            if len(values) == len(set(keys)):
                texts = tuple(values[key] for key in keys)
                place = slice_groups.setdefault(texts, len(slice_groups))
                slices[number if by_combination else texts[0]] = place
    return Coding(
        series, tuple(series_groups), slices, tuple(slice_groups), by_combination, classes
    )


def _groups(query: CellQuery, coding: Coding, columns: dict[str, Any]) -> Groups:
    """The group of each row, of its series and its slices."""
    width = max(1, len(coding.slice_groups))
    pairs = columns["series_group"].astype(np.int64) * width + columns["slice_group"]
    held = np.zeros(max(1, len(coding.series_groups)) * width, np.bool_)
    held[pairs] = True
    distinct = np.flatnonzero(held)
    codes: Int32 = (np.cumsum(held) - 1).astype(np.int32)[pairs]
    return Groups(codes, tuple(_texts(query, coding, *divmod(n, width)) for n in distinct.tolist()))


def _texts(query: CellQuery, coding: Coding, series: int, slices: int) -> Group:
    """The texts of a query's keys, in its order."""
    of_series = iter(coding.series_groups[series])
    of_slices = iter(coding.slice_groups[slices] if coding.slice_groups else ())
    return tuple(next(of_slices if key.startswith(SLICE) else of_series) for key in query.by)


def _added_up(
    cursor: duckdb.DuckDBPyConnection,
    statement: Callable[[CellQuery, Coding, int | None], tuple[str, dict[str, Any]]],
    query: CellQuery,
    coding: Coding,
) -> dict[str, Any]:
    """The cells of a query, each once.

    Of single minutes the store has added up all but the newest already, and reading it as it is
    takes half the time; only many cells are left to DuckDB.
    """
    if coding.by_combination or query.every != 1:
        return _fetch(cursor, *statement(query, coding, None))
    columns = _fetch(cursor, *statement(query, coding, _CELLS_MAX + 1))
    n = columns["n"]
    if len(n) > _CELLS_MAX:
        return _fetch(cursor, *statement(query, coding, None))
    keys = [column for name, column in columns.items() if name != "n"]
    if _differ(keys):
        return columns
    group, first = grouping.groups(keys)
    n = grouping.sums(group, first, n)
    left = first[n != 0]
    return {**{name: column[left] for name, column in columns.items()}, "n": n[n != 0]}


def _differ(columns: Sequence[NDArray[Any]]) -> bool:
    """Whether the rows of some integer columns are known to be different."""
    rows = len(columns[0])
    key, places = np.zeros(rows, np.int64), 1
    for column in columns if rows else ():
        least = int(column.min())
        span = int(column.max()) - least + 1
        places *= span
        if places > _PLACES_MAX:
            return False
        key = key * span + column
        key -= least
    seen = np.zeros(places, np.bool_)
    seen[key] = True
    return int(np.count_nonzero(seen)) == rows


def _fetch(
    cursor: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, Any]
) -> dict[str, Any]:
    columns = cursor.execute(statement, parameters).fetchnumpy()
    return {name: np.ma.getdata(column) for name, column in columns.items()}
