"""Row queries: models, single predictions, dry runs, waiting labels, the outbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import Bool, LabelBatch
from inferspan_collector.config import Config
from inferspan_collector.store import full_rows, naming, nearby, staging
from inferspan_collector.store.cells import (
    MINUTE_NS,
    Evaluation,
    ModelSummary,
    PredictionRow,
    QueryError,
    RebuiltSpan,
)
from inferspan_collector.store.keys import PADDING, Secret
from inferspan_collector.store.matching import matching, windows_of
from inferspan_collector.store.nearby import Older, Since
from inferspan_collector.store.row_filters import narrowed
from inferspan_collector.submission import Unstorable

OUTCOMES: Final = ("correct", "incorrect", "unlabeled", "failed")

_MODELS: Final = f"""
WITH counted AS (
    SELECT series_id, min(minute) AS first_minute, max(minute) AS last_minute, sum(n) AS n
    FROM (
        SELECT series_id, minute, sum(n) AS n
        FROM prediction_cells
        WHERE slice_key = ''
        GROUP BY ALL
        HAVING sum(n) <> 0
    )
    GROUP BY ALL
)
SELECT
    s.model,
    list(DISTINCT s.version) FILTER (s.version IS NOT NULL),
    list(DISTINCT s.service) FILTER (s.service IS NOT NULL),
    list(DISTINCT s.environment) FILTER (s.environment IS NOT NULL),
    min(c.first_minute) * {MINUTE_NS},
    max(c.last_minute) * {MINUTE_NS},
    sum(c.n)::BIGINT
FROM series AS s
JOIN counted AS c ON c.series_id = s.series_id
GROUP BY s.model
ORDER BY s.model
"""

_LABELLED: Final = """
SELECT s.model, c.target, sum(c.n)::BIGINT
FROM (
    SELECT series_id, target, sum(n) AS n FROM outcome_cells WHERE slice_key = '' GROUP BY ALL
) AS c
JOIN series AS s ON s.series_id = c.series_id
GROUP BY ALL
HAVING sum(c.n) <> 0
"""

_PREDICTIONS: Final = f"""
SELECT
    p.prediction_id, p.position, p.trace_high, p.trace_low, p.span,
    s.environment, s.service, s.version, s.variant,
    p.predicted, p.score, p.value,
    coalesce(l.actual, CASE WHEN isnan(l.value) THEN NULL ELSE l.value::VARCHAR END),
    o.correct, coalesce(ls.kind = 'implied', FALSE), p.error_type, p.event_time, p.duration, l.time,
    p.slices_id
FROM ({full_rows.predictions()}) AS p
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN ({full_rows.outcomes()}) AS o ON o.prediction_row = p.row_id AND o.target = $target
LEFT JOIN labels AS l ON l.row_id = o.label_row
LEFT JOIN label_sets AS ls ON ls.set_id = l.set_id
WHERE p.current AND <conditions>
ORDER BY p.event_time DESC, p.row_id DESC
LIMIT $most
"""

_RESOLVE: Final = """
SELECT s.row_id IN (SELECT label_row FROM ({matches}) WHERE NOT late)
FROM staged_labels AS s
ORDER BY s.row_id
"""

_WAITING: Final = """
SELECT coalesce(model, ''), count(*)
FROM waiting_labels
WHERE received < $before
GROUP BY ALL
"""

_SLICE_VALUES: Final = """
SELECT c.slice_key, list(DISTINCT c.slice_value ORDER BY c.slice_value)
FROM prediction_cells AS c
JOIN series AS s ON s.series_id = c.series_id
WHERE s.model = $model AND c.slice_key <> ''
GROUP BY ALL
ORDER BY ALL
"""

_OUTBOX: Final = f"""
SELECT
    o.sequence, o.span, o.trace_high, o.trace_low, o.prediction_span, o.prediction_end,
    s.environment, s.service, s.model, s.version, s.variant,
    substr(o.prediction_id, {len(PADDING) + 1}), o.position, o.target, o.label_id,
    o.revision, o.label_time, o.label_time - o.event_time, o.outcome, o.predicted, o.expected,
    o.error, o.rebuilt
FROM outbox AS o
JOIN series AS s ON s.series_id = o.series_id
ORDER BY o.sequence
LIMIT $most
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which predictions to list; None admits everything. Times are event times in ns."""

    model: str | None
    service: str | None
    target: str
    outcome: str | None
    environment: str | None
    version: str | None
    predicted: str | None
    expected: str | None
    start_ns: int | None
    end_ns: int | None
    slices: Mapping[str, str] | None = None


def models(cursor: duckdb.DuckDBPyConnection) -> list[ModelSummary]:
    """All models, by name."""
    return [
        ModelSummary(
            model=name,
            versions=tuple(sorted(versions or ())),
            services=tuple(sorted(services or ())),
            environments=tuple(sorted(environments or ())),
            first_seen=first,
            last_seen=last,
            predictions=predicted,
        )
        for name, versions, services, environments, first, last, predicted in cursor.execute(
            _MODELS
        ).fetchall()
    ]


def labelled(cursor: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Model → target → predictions with a joined label."""
    found: dict[str, dict[str, int]] = {}
    for model, target, n in cursor.execute(_LABELLED).fetchall():
        found.setdefault(model, {})[target] = n
    return found


def predictions(
    cursor: duckdb.DuckDBPyConnection, filters: Filters, limit: int
) -> list[PredictionRow]:
    """Single predictions, newest event first."""
    conditions, parameters = _conditions(filters)
    statement = _PREDICTIONS.replace("<conditions>", " AND ".join(conditions))
    rows = cursor.execute(
        statement, {**parameters, "target": filters.target, "most": limit}
    ).fetchall()
    slices = _slices(cursor, {row[-1] for row in rows})
    return [_prediction_row(row, slices) for row in rows]


def resolve_labels(cursor: duckdb.DuckDBPyConnection, labels: LabelBatch, config: Config) -> Bool:
    """Which of these labels would join now.

    Raises:
        Unstorable: they are about more predictions than a request's may be.
    """
    by_name, made, places = naming.look_up(cursor, labels, naming.pairs_of(config))
    if len(made) > config.limits.entity_pairs:
        raise Unstorable(naming.too_many(config.limits.entity_pairs))
    joins = np.zeros(len(labels), np.bool_)
    joins[~by_name] = _resolve(cursor, labels.take(~by_name), config)
    named = np.flatnonzero(by_name)
    joins[named[places[_resolve(cursor, made, config)]]] = True
    return joins


def _resolve(cursor: duckdb.DuckDBPyConnection, labels: LabelBatch, config: Config) -> Bool:
    """The same of labels that name their prediction by id or by a link."""
    if not len(labels):
        return np.zeros(0, np.bool_)
    known = staging.known_labels(labels, Secret.of(cursor), first_row=0)
    staging.stage_labels(cursor, known, np.ones(len(known), np.bool_))
    cursor.execute(
        "CREATE OR REPLACE TEMP VIEW staged_predictions AS"
        " SELECT span, trace_high, trace_low, 0 AS span_row FROM predictions LIMIT 0"
    )
    trace, span = labels.link_trace[known.by_link], labels.link_span[known.by_link]
    linked = nearby.linked(cursor, trace, span)
    high = np.append(known.keys.high, linked.high)
    low = np.append(known.keys.low, linked.low)
    nearby.find(cursor, (high, low), Since(), Older(), links=True)
    matches = matching("staged_labels", "near_predictions", windows_of(config))
    rows = cursor.execute(_RESOLVE.format(matches=matches)).fetchall()
    return np.array([row[0] for row in rows], np.bool_)


def waiting_labels(cursor: duckdb.DuckDBPyConnection, received_before_ns: int) -> dict[str, int]:
    """Labels per model that match nothing and came before then."""
    return dict(cursor.execute(_WAITING, {"before": received_before_ns}).fetchall())


def slice_values(cursor: duckdb.DuckDBPyConnection, model: str) -> dict[str, tuple[str, ...]]:
    """The values of each slice key of a model's predictions, keys and values sorted."""
    rows = cursor.execute(_SLICE_VALUES, {"model": model}).fetchall()
    return {key: tuple(values) for key, values in rows}


def outbox(cursor: duckdb.DuckDBPyConnection, limit: int) -> list[Evaluation]:
    """Evaluation spans to be sent, oldest first."""
    found = []
    for sequence, span, high, low, of, *rest, text in cursor.execute(
        _OUTBOX, {"most": limit}
    ).fetchall():
        columns = [*rest, None if text is None else RebuiltSpan(**json.loads(text))]
        trace_id, prediction_span_id = f"{high:016x}{low:016x}", f"{of:016x}"
        found.append(Evaluation(sequence, span, trace_id, prediction_span_id, *columns))
    return found


def _conditions(filters: Filters) -> tuple[list[str], dict[str, Any]]:
    conditions, parameters = narrowed(filters, ("model", "service", "environment", "version"))
    conditions.append("TRUE")
    for key, column in (
        ("predicted", "p.predicted"),
        ("expected", "l.actual"),
    ):
        wanted = getattr(filters, key)
        if wanted is not None:
            conditions.append(f"{column} = ${key}")
            parameters[key] = wanted
    if filters.outcome is not None:
        conditions.append(_outcome_condition(filters.outcome))
    return conditions, parameters


def _outcome_condition(outcome: str) -> str:
    match outcome:
        case "correct":
            return "o.counted AND o.correct = 1"
        case "incorrect":
            return "o.counted AND o.correct = 0"
        case "unlabeled":
            return "o.label_row IS NULL AND p.error_type IS NULL"
        case "failed":
            return "p.error_type IS NOT NULL"
    raise QueryError(f"outcome = {outcome!r}; it is one of {', '.join(OUTCOMES)}")


def _slices(cursor: duckdb.DuckDBPyConnection, ids: set[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for slices_id, key, value in cursor.execute(
        "SELECT slices_id, slice_key, slice_value FROM slice_sets"
        " WHERE slice_key <> '' AND list_contains(?, slices_id)",
        [sorted(ids)],
    ).fetchall():
        found.setdefault(slices_id, {})[key] = value
    return found


def _prediction_row(row: tuple[Any, ...], slices: dict[int, dict[str, str]]) -> PredictionRow:
    (prediction_id, position, high, low, span, environment, service, version, variant, *rest) = row
    predicted, score, value, expected, correct, implied, error_type, *times, slices_id = rest
    event_time, duration, label_time = times
    return PredictionRow(
        prediction_id=prediction_id,
        index=position,
        trace_id=f"{high:016x}{low:016x}",
        span_id=f"{span:016x}",
        environment=environment,
        service=service,
        version=version,
        variant=variant,
        predicted=predicted,
        score=_number(score),
        value=_number(value),
        expected=expected,
        correct=bool(correct) if correct in (0, 1) else None,
        error_type=error_type,
        event_time=event_time,
        duration=duration,
        label_time=label_time,
        implied=implied,
        slices=slices.get(slices_id, {}),
    )


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
