"""Labelled predictions with what they said, per window and group: what scores and numbers need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Float64, Int32, Int64, Strings, UInt64
from inferspan_collector.store import cell_queries, feature_blocks, full_rows
from inferspan_collector.store.cell_queries import SLICE
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.feature_blocks import Features

# What a sender does not say of a row stands in no table of details.
_ROWS: Final = f"""(
    SELECT
        o.minute, o.series_id, o.slices_id, o.target, t.kind, o.prediction_row AS row_id,
        p.event_time,
        hash(p.prediction_id, p.position) AS identity, p.predicted, p.score, p.value,
        l.actual, l.value AS truth, p.adjusted_count * coalesce(d.weight, 1) AS weight,
        q.classes, q.doubles
    FROM ({full_rows.outcomes()}) AS o
    JOIN ({full_rows.predictions()}) AS p ON p.row_id = o.prediction_row
    JOIN labels AS l ON l.row_id = o.label_row
    JOIN label_sets AS t ON t.set_id = l.set_id
    LEFT JOIN label_details AS d ON d.row_id = l.row_id
    LEFT JOIN prediction_probabilities AS q ON q.row_id = o.prediction_row
    WHERE o.counted
)"""
_COLUMNS: Final = (
    "kind",
    "identity",
    "predicted",
    "score",
    "value",
    "actual",
    "truth",
    "weight",
    "doubles",
    "row_id",
    "slices_id",
    "event_time",
)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedRows:
    """Labelled predictions whose call did not raise, N rows of G groups.

    A group has one window, one tuple of the texts of `by`, one task, positive class, kind of label,
    and list of classes whose probabilities its rows have (none: no probabilities). `group` is
    int64[N]: the group of each row; `doubles` are its probabilities as bytes. Numbers that are
    absent are NaN.
    """

    window: Sequence[int]
    groups: Sequence[tuple[str | None, ...]]
    task: Sequence[str | None]
    positive_class: Sequence[str | None]
    kind: Sequence[str]
    classes: Sequence[tuple[str, ...]]
    group: Int64
    identity: UInt64
    predicted: Strings
    actual: Strings
    score: Float64
    value: Float64
    truth: Float64
    weight: Float64
    doubles: NDArray[np.object_]
    row_id: Int64
    slices: Mapping[str, NDArray[np.object_]]
    """Of each slice key, the text of each row, None = it has none."""
    features: Features
    """Those of the rows, where they were asked for."""

    def __len__(self) -> int:
        return len(self.group)

    def probabilities(self, rows: Int64) -> Float64:
        """Those of rows of one group: float64[rows, classes]."""
        raw = b"".join(self.doubles[rows].tolist())
        return np.frombuffer(raw, "<f8").reshape(len(rows), -1)


def judged_rows(
    cursor: duckdb.DuckDBPyConnection, query: CellQuery, most: int, *, features: bool = False
) -> JudgedRows:
    """The rows of a query, at most `most` of them (which, is not said).

    With their declared features if these are asked for, and the query names a model.
    """
    statement, parameters = _statement(query)
    columns = cursor.execute(statement, {**parameters, "most": most}).fetchnumpy()
    keys = ["window_start", *(f"group_{i}" for i in range(len(query.by)))]
    keys += ["task", "positive_class", "kind", "classes"]
    coded = [_coded(columns[key]) for key in keys]
    first, group = _groups([column.codes for column in coded])
    distinct = [[column.values[code] if code >= 0 else None for code in column.codes[first]]
                for column in coded]  # fmt: skip
    window, *by, task, positive_class, kind, classes = distinct
    row_id = np.asarray(columns["row_id"]).astype(np.int64)
    times = np.asarray(columns["event_time"]).astype(np.int64)
    with_features = features and query.model is not None
    return JudgedRows(
        window=[int(start or 0) for start in window],
        groups=list(zip(*by, strict=True)) if by else [()] * len(first),
        task=task,
        positive_class=positive_class,
        kind=[str(text) for text in kind],
        classes=[tuple(json.loads(text)) if text else () for text in classes],
        group=group,
        identity=np.asarray(columns["identity"]).astype(np.uint64),
        predicted=_strings(columns["predicted"]),
        actual=_strings(columns["actual"]),
        score=_numbers(columns["score"]),
        value=_numbers(columns["value"]),
        truth=_numbers(columns["truth"]),
        weight=_numbers(columns["weight"]),
        doubles=columns["doubles"],
        row_id=row_id,
        features=feature_blocks.read(cursor, query.model or "", row_id, times)
        if with_features
        else Features(),
        slices=_slices(cursor, np.asarray(columns["slices_id"]).astype(np.int64)),
    )


def _statement(query: CellQuery) -> tuple[str, dict[str, Any]]:
    wanted, parameters = cell_queries.conditions(query)
    joins, groups = [], {}
    for i, key in enumerate(key for key in query.by if key.startswith(SLICE)):
        joins.append(
            f"JOIN slice_sets AS k{i}"
            f" ON k{i}.slices_id = c.slices_id AND k{i}.slice_key = $slice_{i}"
        )
        groups[key.removeprefix(SLICE)] = f"k{i}.slice_value"
        parameters[f"slice_{i}"] = key.removeprefix(SLICE)
    keys = [f"{cell_queries.group(key, groups)} AS group_{i}" for i, key in enumerate(query.by)]
    selected = [
        f"{cell_queries.window(query)} AS window_start",
        *keys,
        "s.task",
        "s.positive_class",
        "c.classes",
        *(f"c.{name}" for name in _COLUMNS),
    ]
    statement = f"""
        SELECT {", ".join(selected)}
        FROM {cell_queries.by_minute(_ROWS, query)} AS c
        JOIN series AS s ON s.series_id = c.series_id
        {" ".join(joins)}
        WHERE {" AND ".join(("c.target = $target", *wanted))}
        LIMIT $most
    """
    return statement, {**parameters, "target": query.target}


def _slices(cursor: duckdb.DuckDBPyConnection, sets: Int64) -> dict[str, NDArray[np.object_]]:
    distinct, place = np.unique(sets, return_inverse=True)
    found = cursor.execute(
        "SELECT slices_id, slice_key, slice_value FROM slice_sets"
        " WHERE slice_key <> '' AND list_contains(?, slices_id)",
        [distinct.tolist()],
    ).fetchall()
    numbers = {slices_id: number for number, slices_id in enumerate(distinct.tolist())}
    tables: dict[str, NDArray[np.object_]] = {}
    for slices_id, key, value in found:
        table = tables.setdefault(key, np.full(len(distinct), None, np.object_))
        table[numbers[slices_id]] = value
    return {key: table[place] for key, table in tables.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Coded:
    codes: Int32
    values: Sequence[Any]


def _coded(column: NDArray[Any]) -> _Coded:
    entries = column.tolist()
    values = [entry for entry in dict.fromkeys(entries) if entry is not None]
    codes: dict[Any, int] = {entry: code for code, entry in enumerate(values)}
    codes[None] = -1
    return _Coded(np.fromiter(map(codes.__getitem__, entries), np.int32, len(entries)), values)


def _strings(column: NDArray[Any]) -> Strings:
    coded = _coded(column)
    return Strings(coded.codes, tuple(coded.values))


def _numbers(column: NDArray[Any]) -> Float64:
    numbers: Float64 = np.ma.filled(column.astype(np.float64), np.nan)
    return numbers


def _groups(columns: Sequence[Int32]) -> tuple[Int64, Int64]:
    """The first row of each combination, and the combination of each row."""
    combined = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        # Numbered anew at every step, so that products stay small.
        pairs = combined * (int(column.max(initial=-1)) + 2) + column + 1
        _, first, combined = np.unique(pairs, return_index=True, return_inverse=True)
    return first, combined
