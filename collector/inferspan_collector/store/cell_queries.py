"""Counter queries: what is filtered and grouped, as one SQL statement and its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inferspan_collector import latency_sketch
from inferspan_collector.store import full_rows
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS, CellQuery, Group, QueryError

SLICE: Final = "slice."

ARRIVALS: Final = f"""
SELECT
    {", ".join(SERIES_KEYS)}, target, predicted, actual, correct,
    sum(added)::BIGINT AS added, sum(retracted)::BIGINT AS retracted
FROM arrival_cells
JOIN series USING (series_id)
GROUP BY ALL
"""

_WEIGHED_ROWS: Final = """(
    SELECT
        o.minute, o.series_id, o.slices_id, j.target, j.predicted, j.actual, j.correct,
        coalesce(d.adjusted_count, 1) * coalesce(l.weight, 1) AS weight, 1 AS n
    FROM outcomes AS o
    JOIN judgements AS j ON j.judgement_id = o.judgement_id AND j.counted
    LEFT JOIN prediction_details AS d ON d.row_id = o.prediction_row
    LEFT JOIN label_details AS l ON l.row_id = o.label_row
)"""
WEIGHS: Final = """
SELECT
    EXISTS (SELECT 1 FROM prediction_details WHERE adjusted_count <> 1)
    OR EXISTS (SELECT 1 FROM label_details WHERE weight <> 1)
"""
"""Whether any row stands for more or less than itself."""

# With two slices or more the cells do not know; the rows do.
_PREDICTION_ROWS: Final = f"""(
    SELECT
        event_time // {MINUTE_NS} AS minute, series_id, slices_id,
        error_type IS NOT NULL AS failed,
        {latency_sketch.bucket_sql("duration")} AS bucket, 1 AS n
    FROM ({full_rows.predictions()})
    WHERE current
)"""
_OUTCOME_ROWS: Final = f"""(
    SELECT minute, series_id, slices_id, target, predicted, actual, correct, 1 AS n
    FROM ({full_rows.outcomes()})
    WHERE counted
)"""


_ARRIVED_ROWS: Final = f"""(
    SELECT
        l.received // {MINUTE_NS} AS minute, o.series_id, o.slices_id, j.target, j.predicted,
        j.actual, j.correct, 1 AS n
    FROM (
        SELECT row_id, received FROM labels
        WHERE received >= $start_minute * {MINUTE_NS} AND received < $end_minute * {MINUTE_NS}
    ) AS l
    JOIN outcomes AS o ON o.label_row = l.row_id
    JOIN judgements AS j ON j.judgement_id = o.judgement_id AND j.counted
)"""
"""Outcomes at the minute in which the label that stands now was received."""


_ITEMS: Final = """(
    SELECT
        o.minute, o.series_id, o.slices_id, o.target, o.prediction_row AS ranking,
        coalesce(o.place, 0)::BIGINT AS place, o.relevance,
        CASE
            WHEN p.predicted IS NULL THEN 0
            WHEN json_valid(p.predicted) AND json_type(p.predicted) = 'ARRAY'
                THEN json_array_length(p.predicted)
            ELSE 1
        END::BIGINT AS shown,
        coalesce(d.adjusted_count, 1)::DOUBLE AS weight,
        1 AS n
    FROM item_outcomes AS o
    JOIN predictions AS p ON p.row_id = o.prediction_row
    LEFT JOIN prediction_details AS d ON d.row_id = p.row_id
)"""


IMPLIES: Final = "SELECT count(*) FROM label_sets WHERE kind = 'implied' AND target = $target"
"""Whether silence ever implied a label of a target."""
_IMPLIED_ROWS: Final = """(
    SELECT o.minute, o.series_id, o.slices_id, j.target, 1 AS n
    FROM outcomes AS o
    JOIN judgements AS j ON j.judgement_id = o.judgement_id AND j.counted
    JOIN labels AS l ON l.row_id = o.label_row
    JOIN label_sets AS s ON s.set_id = l.set_id AND s.kind = 'implied'
)"""


@dataclass(frozen=True, slots=True)
class Coding:
    """Numbers that stand for the texts of a query, so that counting touches no text.

    `series` maps the number of a series to its place in `series_groups`, `slices` a value, or the
    number of a combination of slices where `by_combination`, to its place in `slice_groups`. Both
    hold the texts of the query's keys of their kind, in its order. `classes` are all classes of
    the target.
    """

    series: Mapping[int, int]
    series_groups: Sequence[Group]
    slices: Mapping[Any, int]
    slice_groups: Sequence[Group]
    by_combination: bool
    classes: Sequence[str] = ()


def predictions(
    query: CellQuery, coding: Coding, most: int | None = None
) -> tuple[str, dict[str, Any]]:
    """The statement for predictions per (window, group, failed, bucket).

    With `most`, as they are stored, equal ones not added up, and at most so many.
    """
    columns = ("c.failed", "c.bucket")
    return _statement(query, coding, "prediction_cells", _PREDICTION_ROWS, columns, most=most)


def windows(query: CellQuery, coding: Coding) -> tuple[str, dict[str, Any]]:
    """The statement for how many (window, group) the predictions of a query fall into."""
    statement, parameters = predictions(query, coding)
    keys = "window_start, series_group, slice_group"
    return f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM ({statement}))", parameters


def outcomes(
    query: CellQuery, coding: Coding, most: int | None = None
) -> tuple[str, dict[str, Any]]:
    """The statement for outcomes per (window, group, predicted, actual, correct).

    Classes are places in `coding.classes`, -1 = none, -2 = one that is not among them. `most` as
    for predictions.
    """
    return _of_classes(query, coding, "outcome_cells", _OUTCOME_ROWS, ["c.correct"], most)


def arrived_outcomes(query: CellQuery, coding: Coding) -> tuple[str, dict[str, Any]]:
    """The statement for outcomes as `outcomes` has them, by the minute in which the label came.

    The query has a start and an end.
    """
    return _of_classes(query, coding, None, _ARRIVED_ROWS, ["c.correct"])


def weighed(query: CellQuery, coding: Coding) -> tuple[str, dict[str, Any]]:
    """The statement for outcomes of rows per (window, group, predicted, actual, weight)."""
    return _of_classes(query, coding, None, _WEIGHED_ROWS, ["c.correct", "c.weight"])


def _of_classes(
    query: CellQuery,
    coding: Coding,
    cells: str | None,
    rows: str,
    columns: list[str],
    most: int | None = None,
) -> tuple[str, dict[str, Any]]:
    joins, codes = [], []
    for name in ("predicted", "actual"):
        joins.append(f"LEFT JOIN classes_of AS {name} ON {name}.text = c.{name}")
        without = f"CASE WHEN c.{name} IS NULL THEN -1 ELSE -2 END"
        codes.append(f"coalesce({name}.code, {without})::INTEGER AS {name}")
    about = (cells, rows, [*codes, *columns], joins)
    statement, parameters = _statement(query, coding, *about, targeted=True, most=most)
    coded = (
        "WITH classes_of AS (SELECT unnest($classes::VARCHAR[]) AS text, unnest(range($n)) AS code)"
    )
    classes = list(coding.classes)
    return f"{coded} {statement}", {**parameters, "classes": classes, "n": len(classes)}


def items(query: CellQuery, coding: Coding) -> tuple[str, dict[str, Any]]:
    """The statement for labelled items of rankings, with the window and group of each."""
    columns = ("c.ranking", "c.place", "c.relevance", "c.shown", "c.weight")
    return _statement(query, coding, None, _ITEMS, columns, targeted=True)


def implied(query: CellQuery, coding: Coding) -> tuple[str, dict[str, Any]]:
    """The statement for labelled predictions per (window, group) whose label silence implied."""
    return _statement(query, coding, None, _IMPLIED_ROWS, (), targeted=True)


def series(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for the number and the keys of `by` of each series that is asked for."""
    wanted, parameters = _of_series(query)
    keys = ["s.series_id", *(group(key, {}) for key in series_keys(query))]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    return f"SELECT {', '.join(keys)} FROM series AS s {where} ORDER BY s.series_id", parameters


def series_keys(query: CellQuery) -> tuple[str, ...]:
    """Those of `by` that are no slices."""
    return tuple(key for key in query.by if not key.startswith(SLICE))


def slice_keys(query: CellQuery) -> tuple[str, ...]:
    """The keys of slices in `by`."""
    return tuple(key.removeprefix(SLICE) for key in query.by if key.startswith(SLICE))


def _statement(
    query: CellQuery,
    coding: Coding,
    cells: str | None,
    rows: str,
    columns: Sequence[str],
    joins: Sequence[str] = (),
    *,
    targeted: bool = False,
    most: int | None = None,
) -> tuple[str, dict[str, Any]]:
    """Columns `window_start`, `series_group`, `slice_group`, the given ones, and `n`.

    Args:
        query: what is asked.
        coding: of its groups.
        cells: the table of counters, None where there is none.
        rows: what is read instead where cells do not know, or there are none.
        columns: what else is grouped by.
        joins: what these need.
        targeted: whether only the query's target counts.
        most: what is stored is read as it is, and at most so much; None = it is added up.
    """
    wanted, parameters = _of_minutes(query)
    parameters |= {"series": list(coding.series), "series_groups": list(coding.series.values())}
    keys = slice_keys(query)
    source = rows if cells is None or coding.by_combination else cells
    if source == cells:
        wanted.append("c.slice_key = $slice_key")
        parameters["slice_key"] = keys[0] if keys else ""
    slice_group, joined = "0", list(joins)
    if keys:
        slice_group = "k.code"
        column, kind = "slice_value", "VARCHAR"
        if coding.by_combination:
            column, kind = "slices_id", "INTEGER"
        joined.append(
            "JOIN (SELECT unnest("
            f"$slices::{kind}[]) AS value, unnest($slice_groups::INTEGER[]) AS code) AS k"
            f" ON k.value = c.{column}"
        )
        parameters["slices"] = list(coding.slices)
        parameters["slice_groups"] = list(coding.slices.values())
    if targeted:
        wanted.append("c.target = $target")
        parameters["target"] = query.target
    selected = [
        f"{window(query)} AS window_start",
        "s.code::INTEGER AS series_group",
        f"{slice_group}::INTEGER AS slice_group",
        *columns,
    ]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    n, end = "sum(c.n)::BIGINT", "GROUP BY ALL HAVING sum(c.n) <> 0"
    if most is not None:
        n, end = "c.n::BIGINT", f"LIMIT {most:d}"
    statement = f"""
        SELECT {", ".join(selected)}, {n} AS n
        FROM {by_minute(source, query)} AS c
        JOIN (
            SELECT unnest($series::INTEGER[]) AS number, unnest($series_groups::INTEGER[]) AS code
        ) AS s ON s.number = c.series_id
        {" ".join(joined)}
        {where}
        {end}
    """
    return statement, parameters


def by_minute(source: str, query: CellQuery) -> str:
    """A table or query of things counted by minute, as a query has to see it.

    `folded` where it matters at which minute of its hour something is counted.
    """
    bounds = (query.every, query.start, query.end)
    if not any(minutes is not None and minutes % 60 for minutes in bounds):
        return source
    start = None if query.start is None else "$start_minute"
    return folded(source, start, None if query.end is None else "$end_minute")


def folded(source: str, start: str | None, end: str | None) -> str:
    """Things counted by minute, those that are old at the first minute of their hour.

    Older cells are those of whole hours. A correction that came later stands at its own minute, and
    so may what a fold has not reached: all of it is read as if it were folded.

    Args:
        source: a table or query.
        start: the first minute that is asked for, in SQL.
        end: the minute after the last one.
    """
    # Of minutes as they stand, so that whole row groups are left out.
    near = [] if start is None else [f"minute >= {start}"]
    near += [] if end is None else [f"minute < {end} + 59"]
    where = f"WHERE {' AND '.join(near)}" if near else ""
    return f"""(
        SELECT * REPLACE (
            CASE
                WHEN minute < (SELECT minutes_since FROM kept) THEN minute // 60 * 60 ELSE minute
            END AS minute
        )
        FROM {source}
        {where}
    )"""


def conditions(query: CellQuery) -> tuple[list[str], dict[str, Any]]:
    """What `s`, a series, and `c`, a counted row, have to fulfil, and the parameters of that."""
    of_series, of_minutes = _of_series(query), _of_minutes(query)
    return of_series[0] + of_minutes[0], of_series[1] | of_minutes[1]


def _of_series(query: CellQuery) -> tuple[list[str], dict[str, Any]]:
    found: list[str] = []
    parameters: dict[str, Any] = {}
    for key in ("model", "service", "environment", "version"):
        wanted = getattr(query, key)
        if wanted is not None:
            # "" asks for those that have none.
            found.append(f"coalesce(s.{key}, '') = ${key}")
            parameters[key] = wanted
    return found, parameters


def _of_minutes(query: CellQuery) -> tuple[list[str], dict[str, Any]]:
    found: list[str] = []
    parameters: dict[str, Any] = {}
    if query.start is not None:
        found.append("c.minute >= $start_minute")
        parameters["start_minute"] = query.start
    if query.end is not None:
        found.append("c.minute < $end_minute")
        parameters["end_minute"] = query.end
    return found, parameters


def window(query: CellQuery) -> str:
    """The first minute of the window of `c`."""
    if query.every is None:
        return "0::BIGINT"
    if query.every < 1:
        raise QueryError(f"every = {query.every} minutes; a window has at least 1 minute")
    return f"(c.minute // {int(query.every)}) * {int(query.every)}"


def group(key: str, slice_columns: dict[str, str]) -> str:
    """What a key of `by` groups by; slices have columns of their own."""
    if key.startswith(SLICE):
        return slice_columns[key.removeprefix(SLICE)]
    if key not in SERIES_KEYS:
        raise QueryError(
            f"by = {key!r}; group by {', '.join(SERIES_KEYS)} or slice.<key>, as declared"
        )
    return f"s.{key}"
