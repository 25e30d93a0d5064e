"""Rows as columns, for what counters cannot answer: pairs, scores, lags, distributions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.store import feature_blocks, full_rows
from inferspan_collector.store.cells import QueryError
from inferspan_collector.store.feature_blocks import Features
from inferspan_collector.store.row_filters import narrowed

ROWS_MAX: Final = 1_000_000
"""Rows of one answer, the newest by event time where there are more: about 0.2 GB and 2 s."""
UNLABELLED: Final = -2

_ROWS: Final = f"""
SELECT
    p.row_id, p.key_high, p.key_low, p.position, s.environment, s.version, s.variant, s.task,
    s.positive_class, p.event_time, p.error_type IS NOT NULL AS failed, p.predicted,
    p.score, p.value, p.adjusted_count, p.adjusted_count * coalesce(l.weight, 1) AS weight,
    l.actual, l.value AS truth,
    CASE WHEN o.counted THEN o.correct ELSE {UNLABELLED} END AS correct,
    CASE WHEN l.kind <> 'implied' THEN greatest(l.received - p.event_time, 0) ELSE -1 END AS lag
FROM ({full_rows.predictions()}) AS p
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN ({full_rows.outcomes()}) AS o ON o.prediction_row = p.row_id AND o.target = $target
LEFT JOIN (
    SELECT w.row_id, w.actual, w.value, w.received, t.kind, d.weight
    FROM labels AS w
    JOIN label_sets AS t ON t.set_id = w.set_id
    LEFT JOIN label_details AS d ON d.row_id = w.row_id
) AS l ON l.row_id = o.label_row
WHERE p.current AND <conditions>
ORDER BY p.event_time <order>, p.key_high, p.key_low, p.position, p.row_id
LIMIT $most
"""


_PROBABILITIES: Final = """
SELECT row_id, classes, doubles
FROM prediction_probabilities
WHERE row_id BETWEEN $first AND $last
"""


@dataclass(frozen=True, slots=True, eq=False)
class Probabilities:
    """Of each row the probability of each class, NaN where a row has none."""

    classes: tuple[str, ...]
    table: NDArray[np.float64]
    """float64[N, K]."""

    def take(self, rows: NDArray[Any]) -> Probabilities:
        """Select rows by index or mask."""
        return Probabilities(self.classes, self.table[rows])

    @property
    def known(self) -> NDArray[np.bool_]:
        """bool[N]: which rows have them."""
        if not self.classes:
            return np.zeros(len(self.table), np.bool_)
        return np.asarray(np.isfinite(self.table).all(axis=1), np.bool_)

    def places(self, texts: NDArray[np.object_]) -> NDArray[np.int64]:
        """int64[N]: the place of each class in `classes`, -1 = none of them."""
        places = {name: place for place, name in enumerate(self.classes)}
        return np.array([places.get(text, -1) for text in texts], np.int64)


@dataclass(frozen=True, slots=True)
class RowQuery:
    """Which predictions; None admits everything, "" those without. Times are event times in ns."""

    model: str
    target: str = "default"
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    most: int = ROWS_MAX
    """How many rows."""
    oldest: bool = False
    """Where there are more: the oldest instead of the newest."""
    slices: Mapping[str, str] | None = None
    """Key → value, all of which a prediction has."""
    features: bool = False
    """Whether declared features, and probabilities of all classes, are read as well."""


@dataclass(frozen=True, slots=True, eq=False)
class RowColumns:
    """Predictions with their truths, N rows in the order of event times, the same every time.

    Texts are object arrays of str and None; numbers that are absent are NaN.
    """

    row_id: NDArray[np.int64]
    key_high: NDArray[np.uint64]
    key_low: NDArray[np.uint64]
    position: NDArray[np.int32]
    environment: NDArray[np.object_]
    version: NDArray[np.object_]
    variant: NDArray[np.object_]
    task: NDArray[np.object_]
    positive_class: NDArray[np.object_]
    event_time: NDArray[np.int64]
    failed: NDArray[np.bool_]
    predicted: NDArray[np.object_]
    score: NDArray[np.float64]
    value: NDArray[np.float64]
    adjusted_count: NDArray[np.float64]
    """For how many calls the row stands (`inferspan.sampling.adjusted_count`), greater than 0."""
    weight: NDArray[np.float64]
    """The same times the weight of its label, where one joined: what the row weighs in figures of
    labelled rows."""
    actual: NDArray[np.object_]
    truth: NDArray[np.float64]
    """The truth as a number, NaN where it is none."""
    correct: NDArray[np.int8]
    """1, 0, -1 = a label joined but right or wrong is not defined, `UNLABELLED` = no label."""
    lag: NDArray[np.int64]
    """ns from the event to the receipt of the winning label, -1 = none, or one that silence
    implied."""
    features: Features
    probabilities: Probabilities

    def __len__(self) -> int:
        return len(self.row_id)

    def take(self, rows: NDArray[Any]) -> RowColumns:
        """Select rows by index or mask."""
        return RowColumns(
            **{name: getattr(self, name)[rows] for name in _names()},
            features=self.features.take(rows),
            probabilities=self.probabilities.take(rows),
        )


def rows(cursor: duckdb.DuckDBPyConnection, query: RowQuery) -> RowColumns:
    """The rows of a query, by event time.

    Raises:
        QueryError: it asks for no row.
    """
    if query.most < 1:
        raise QueryError(f"most = {query.most}; at least one row must be asked for")
    conditions, parameters = _conditions(query)
    statement = _ROWS.replace("<conditions>", " AND ".join(conditions))
    statement = statement.replace("<order>", "ASC" if query.oldest else "DESC")
    found = cursor.execute(
        statement, {**parameters, "target": query.target, "most": query.most}
    ).fetchnumpy()
    kinds = {each.name: str(each.type) for each in fields(RowColumns)}
    columns = {name: _column(found[name], kinds[name]) for name in _names()}
    # Descending, so that the newest are kept; ties among them stay in the order of their keys.
    order = np.argsort(columns["event_time"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    ids, times = columns["row_id"], columns["event_time"]
    features, probabilities = Features(), Probabilities((), np.empty((len(ids), 0)))
    if query.features:
        features = feature_blocks.read(cursor, query.model, ids, times)
        probabilities = _probabilities(cursor, ids)
    return RowColumns(**columns, features=features, probabilities=probabilities)


def _names() -> list[str]:
    apart = ("features", "probabilities")
    return [each.name for each in fields(RowColumns) if each.name not in apart]


def _probabilities(cursor: duckdb.DuckDBPyConnection, row_ids: NDArray[np.int64]) -> Probabilities:
    """Those of the list of classes that most rows have; the fewer ones are NaN."""
    none = Probabilities((), np.empty((len(row_ids), 0)))
    if len(row_ids) == 0:
        return none
    order = np.argsort(row_ids)
    ordered = row_ids[order]
    ends = {"first": int(ordered[0]), "last": int(ordered[-1])}
    found = cursor.execute(_PROBABILITIES, ends).fetchall()
    by_classes: dict[str, list[tuple[int, bytes]]] = {}
    for row_id, classes, doubles in found:
        by_classes.setdefault(classes, []).append((row_id, doubles))
    if not by_classes:
        return none
    classes, rows = max(by_classes.items(), key=lambda pair: (len(pair[1]), pair[0]))
    names = tuple(json.loads(classes))
    table = np.full((len(row_ids), len(names)), np.nan)
    ids = np.array([row_id for row_id, _ in rows])
    places = np.minimum(np.searchsorted(ordered, ids), len(ordered) - 1)
    mine = ordered[places] == ids
    said = np.frombuffer(b"".join(doubles for _, doubles in rows), "<f8")
    table[order[places[mine]]] = said.reshape(-1, len(names))[mine]
    return Probabilities(names, table)


def _conditions(query: RowQuery) -> tuple[list[str], Mapping[str, Any]]:
    conditions, parameters = narrowed(query, ("service", "environment", "version"))
    return ["s.model = $model", *conditions], {"model": query.model, **parameters}


def _column(column: Any, kind: str) -> NDArray[Any]:
    """Numpy masks what is NULL; here it is None, NaN, or what the kind has for it."""
    masked = np.ma.asarray(column)
    if "object_" in kind:
        texts = np.empty(len(masked), np.object_)
        texts[:] = masked.tolist()
        return texts
    absent: Any = np.nan if "float64" in kind else UNLABELLED if "int8" in kind else -1
    dtype = np.dtype(kind.split("np.")[1].rstrip("]").replace("bool_", "bool"))
    if "uint64" in kind or "bool" in kind:
        return np.asarray(masked.data).astype(dtype)
    return np.asarray(masked.filled(absent)).astype(dtype)
