"""Counter queries: what is filtered and grouped, as one SQL statement and its parameters."""

from __future__ import annotations

from typing import Any, Final

from inferspan_collector import latency_sketch
from inferspan_collector.store import full_rows
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS, CellQuery, QueryError

SLICE: Final = "slice."

ARRIVALS: Final = f"""
SELECT
    {", ".join(SERIES_KEYS)}, target, predicted, actual, correct,
    sum(added)::BIGINT AS added, sum(retracted)::BIGINT AS retracted
FROM arrival_cells
JOIN series USING (series_id)
GROUP BY ALL
"""

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


# Older cells are those of whole hours. A correction that came later stands at its own minute, and
# so may what a fold has not reached: all of it is read as if it were folded.
FOLDED: Final = """(
    SELECT * REPLACE (
        CASE WHEN minute < (SELECT minutes_since FROM kept) THEN minute // 60 * 60 ELSE minute END
        AS minute
    )
    FROM {source}
)"""


def predictions(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for predictions per (window, group, failed, bucket)."""
    return _statement(query, "prediction_cells", _PREDICTION_ROWS, ("failed", "bucket"))


def windows(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for how many (window, group) the predictions of a query fall into."""
    statement, parameters = predictions(query)
    keys = ", ".join(["window_start", *(f"group_{i}" for i in range(len(query.by)))])
    return f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM ({statement}))", parameters


def outcomes(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for outcomes per (window, group, predicted, actual, correct)."""
    statement, parameters = _statement(
        query, "outcome_cells", _OUTCOME_ROWS, ("predicted", "actual", "correct"), "c.target"
    )
    return statement, {**parameters, "target": query.target}


def items(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for labelled items of rankings, with the window and group of each."""
    columns = ("ranking", "place", "relevance", "shown", "weight")
    statement, parameters = _statement(query, None, _ITEMS, columns, "c.target")
    return statement, {**parameters, "target": query.target}


def implied(query: CellQuery) -> tuple[str, dict[str, Any]]:
    """The statement for labelled predictions per (window, group) whose label silence implied."""
    statement, parameters = _statement(query, None, _IMPLIED_ROWS, (), "c.target")
    return statement, {**parameters, "target": query.target}


def _statement(
    query: CellQuery,
    cells: str | None,
    rows: str,
    columns: tuple[str, ...],
    target: str | None = None,
) -> tuple[str, dict[str, Any]]:
    slice_keys = [key.removeprefix(SLICE) for key in query.by if key.startswith(SLICE)]
    wanted, parameters = conditions(query)
    joins: list[str] = []
    groups: dict[str, str] = {}
    if cells is not None and len(slice_keys) <= 1:
        source = cells
        wanted.append("c.slice_key = $slice_key")
        parameters["slice_key"] = slice_keys[0] if slice_keys else ""
        groups = {key: "c.slice_value" for key in slice_keys}
    else:
        source = rows
        for i, key in enumerate(slice_keys):
            joins.append(
                f"JOIN slice_sets AS k{i}"
                f" ON k{i}.slices_id = c.slices_id AND k{i}.slice_key = $slice_{i}"
            )
            parameters[f"slice_{i}"] = key
            groups[key] = f"k{i}.slice_value"
    if target is not None:
        wanted.append(f"{target} = $target")
    keys = [f"{group(key, groups)} AS group_{i}" for i, key in enumerate(query.by)]
    if finer_than_hours(query):
        source = FOLDED.format(source=source)
    selected = [f"{window(query)} AS window_start", *keys, *(f"c.{name}" for name in columns)]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    statement = f"""
        SELECT {", ".join(selected)}, sum(c.n)::BIGINT AS n
        FROM {source} AS c
        JOIN series AS s ON s.series_id = c.series_id
        {" ".join(joins)}
        {where}
        GROUP BY ALL
        HAVING sum(c.n) <> 0
        ORDER BY ALL
    """
    return statement, parameters


def finer_than_hours(query: CellQuery) -> bool:
    """Whether it matters at which minute of its hour something is counted."""
    bounds = (query.every, query.start, query.end)
    return any(minutes is not None and minutes % 60 for minutes in bounds)


def conditions(query: CellQuery) -> tuple[list[str], dict[str, Any]]:
    """What `s`, a series, and `c`, a counted row, have to fulfil, and the parameters of that."""
    found: list[str] = []
    parameters: dict[str, Any] = {}
    for key in ("model", "service", "environment", "version"):
        wanted = getattr(query, key)
        if wanted is not None:
            # "" asks for those that have none.
            found.append(f"coalesce(s.{key}, '') = ${key}")
            parameters[key] = wanted
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
