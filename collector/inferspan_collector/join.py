"""The Δ-join: new labels ⋈ stored predictions, new predictions ⋈ stored labels.

One winner per (prediction, target, item of a ranking): the greatest (rank of its source, revision,
time, label id).
Deletions are tombstones in that same order. Two records that claim the same label id and revision
are told apart by their content. What the winner replaces is taken back. The result is a function
of the set of records, never of their order of arrival.

The statements in `append.sql` and `join.sql` are the definition. They run for the keys of which
more than one prediction or label is known; the index of recent keys answers for all others, and a
test holds the two to the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Int32, Int64
from inferspan_collector.config import Config
from inferspan_collector.store import grouping
from inferspan_collector.store.database import sql
from inferspan_collector.store.facts import Codes, SeriesFacts
from inferspan_collector.store.matching import matching, windows_of
from inferspan_collector.store.staging import Labels

_APPEND: Final = sql("inferspan_collector.store", "append.sql")
_JOIN: Final = sql("inferspan_collector", "join.sql")
_ITEMS: Final = sql("inferspan_collector.store", "items.sql")

# A label joined when it is somebody's winner (a tombstone that wins has its effect, too), is
# superseded when it only lost, is late when all it is about was received too long before or after,
# and waits when it has not met its prediction.
_LABEL_RESULTS: Final = """
SELECT
    s.row_id,
    CASE
        WHEN n.row_id IS NULL THEN 'duplicate'
        WHEN n.row_id IN (SELECT label_row FROM winners) THEN 'joined'
        WHEN n.row_id IN (SELECT label_row FROM matches) THEN 'superseded'
        WHEN n.row_id IN (SELECT label_row FROM late) THEN 'late'
        ELSE 'waiting'
    END AS result
FROM staged_labels AS s
LEFT JOIN new_labels AS n ON n.row_id = s.row_id
"""
_ADDED: Final = """
SELECT
    prediction_row, label_row, series_id, slices_id, minute, model, target, counted,
    predicted_class, actual_class, correct
FROM added
"""
_REMOVED: Final = """
SELECT
    prediction_row, label_row, series_id, slices_id, minute, target, counted, predicted, actual,
    correct
FROM removed
"""
_SUPERSEDED: Final = """
SELECT row_id, event_time, series_id, slices_id, error_type IS NOT NULL AS failed, duration
FROM near_predictions
WHERE row_id IN (SELECT row_id FROM superseded)
"""
_DUE: Final = """
SELECT e.prediction_row, e.label_row, e.outcome, p.prediction_id
FROM (
    SELECT
        prediction_row, label_row,
        CASE correct WHEN 1 THEN 'correct' ELSE 'incorrect' END AS outcome
    FROM added
    WHERE counted AND correct >= 0
    UNION ALL
    -- A tombstone took the label away: the span is the tombstone's.
    SELECT w.prediction_row, w.label_row, 'retracted' AS outcome
    FROM winners AS w
    JOIN removed AS r ON r.prediction_row = w.prediction_row AND r.target = w.target
    WHERE w.deleted AND w.item_id IS NULL AND r.counted AND r.correct >= 0
    UNION ALL
    -- Another span of the same key counts now: what was said of this one holds no more.
    SELECT r.prediction_row, r.label_row, 'retracted' AS outcome
    FROM removed AS r
    WHERE r.counted AND r.correct >= 0 AND r.prediction_row IN (SELECT row_id FROM superseded)
) AS e
JOIN near_predictions AS p ON p.row_id = e.prediction_row
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What one outcome says, before classes beyond the limit fold."""

    model: str
    target: str
    counted: bool
    predicted: str | None
    actual: str | None
    correct: int


@dataclass(frozen=True, slots=True, eq=False)
class Met:
    """Labels that the index joined: one row each, and what the distinct ones of them say."""

    label: Int64
    """Their places in the batch."""
    prediction_row: Int64
    series: Int32
    slices: Int32
    minute: Int32
    group: Int32
    said: Sequence[Said]


@dataclass(frozen=True, slots=True)
class InSql:
    """What the statements made of the rows that were left to them. Times are Unix ns."""

    new_predictions: Int64
    """Row ids of the predictions that had not been seen before."""
    losing: Int64
    """Those among them that did not become current."""
    new_labels: Int64
    results: dict[int, str]
    """Label row → what became of it."""
    added: Sequence[tuple[Any, ...]]
    """Columns of `_ADDED`."""
    removed: Sequence[tuple[Any, ...]]
    """Columns of `_REMOVED`."""
    superseded: Sequence[tuple[Any, ...]]
    """Columns of `_SUPERSEDED`: stored predictions that are current no more."""
    met: int
    """Labels that had waited and have met their prediction."""
    due: Sequence[tuple[int, int, str, str]]
    """Evaluations: prediction row, label row, outcome, prediction id."""


def prepare(cursor: duckdb.DuckDBPyConnection, config: Config) -> str:
    """Give the writer's connection what the join asks of the configuration.

    Returns:
        The statements of the join, for `join_in_sql`.
    """
    models = config.models.items()
    ranks = [
        (name, target, source, rank)
        for name, model in models
        for target, section in model.targets.items()
        for rank, source in enumerate(section.sources)
    ]
    tolerances = [(name, model.tolerance) for name, model in models if model.tolerance is not None]
    for table, columns, rows in (
        ("source_ranks", "model VARCHAR, target VARCHAR, source VARCHAR, rank INTEGER", ranks),
        ("tolerances", "model VARCHAR, tolerance DOUBLE", tolerances),
    ):
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})")
        if rows:
            places = ", ".join("?" * len(rows[0]))
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
    windows = windows_of(config)
    return _JOIN.format(
        match_new_labels=matching("new_labels", "near_predictions", windows),
        match_touched_predictions=matching("near_labels", "touched_predictions", windows),
    )


def join_in_sql(cursor: duckdb.DuckDBPyConnection, statements: str) -> InSql:
    """Join what is staged with what is near, inside the open transaction.

    Of the stored tables `waiting_labels` and `item_outcomes` change; the caller writes the rest, as
    returned.
    """
    cursor.execute(_APPEND)
    cursor.execute(statements)
    if cursor.execute("SELECT count(*) FROM near_labels WHERE item_id IS NOT NULL").fetchall()[0][
        0
    ]:
        cursor.execute(_ITEMS)
    return InSql(
        new_predictions=_numbers(cursor, "SELECT row_id FROM new_predictions"),
        losing=_numbers(cursor, "SELECT row_id FROM contenders WHERE NOT stored AND NOT wins"),
        new_labels=_numbers(cursor, "SELECT row_id FROM new_labels"),
        results=dict(cursor.execute(_LABEL_RESULTS).fetchall()),
        added=cursor.execute(_ADDED).fetchall(),
        removed=cursor.execute(_REMOVED).fetchall(),
        superseded=cursor.execute(_SUPERSEDED).fetchall(),
        met=int(cursor.execute("SELECT count(*) FROM met").fetchall()[0][0]),
        due=cursor.execute(_DUE).fetchall(),
    )


def judge(labels: Labels, met: Sequence[NDArray[Any]], classes: Codes, facts: SeriesFacts) -> Met:
    """Say of each label that the index joined whether its prediction was right.

    Args:
        labels: the batch.
        met: columns as `RecentKeys.joined` returns them.
        classes: codes of the classes, those of the predictions among them.
        facts: of the series.
    """
    label, prediction_row, series, slices, predicted, minute, value, counted = met
    actual = classes.column(labels.batch.actual)[label]
    numeric = facts.numeric[series] | (predicted < 0)
    correct = np.where(
        numeric,
        _within(value, labels.batch.value[label], facts.tolerance[series]),
        np.where(actual < 0, -1, predicted == actual),
    )
    predicted, actual = np.where(numeric, -1, predicted), np.where(numeric, -1, actual)
    target = labels.batch.target.codes[label]
    group, first = grouping.groups((series, target, counted, predicted, actual, correct))
    texts: list[str | None] = [*classes.texts, None]
    said = [
        Said(
            facts.models[series[row]],
            labels.batch.target.values[target[row]],
            bool(counted[row]),
            texts[predicted[row]],
            texts[actual[row]],
            int(correct[row]),
        )
        for row in first.tolist()
    ]
    return Met(label, prediction_row, series, slices, minute, group, said)


def _within(value: Float64, truth: Float64, tolerance: Float64) -> NDArray[np.int64]:
    undefined = np.isnan(tolerance) | np.isnan(value) | np.isnan(truth)
    with np.errstate(invalid="ignore"):
        passes: Bool = np.abs(value - truth) <= tolerance
    return np.where(undefined, -1, passes)


def _numbers(cursor: duckdb.DuckDBPyConnection, statement: str) -> Int64:
    column: Int64 = cursor.execute(statement).fetchnumpy()["row_id"]
    return column.astype(np.int64)
