"""`GET /api/v1/models/{model}/drift`: what changed since the reference, window by window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.config import Config
from inferspan_collector.drift.adaptive_windowing import changes
from inferspan_collector.drift.passes import Course, followed
from inferspan_collector.drift.thresholds import Thresholds
from inferspan_collector.publish.answering import JsonAnswer, guarded
from inferspan_collector.publish.learning import constants_of
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.publish.windowed import Windowed, answered
from inferspan_collector.store.row_columns import RowColumns
from inferspan_collector.submission import Queries

PATH: Final = "/api/v1/models/{model:path}/drift"
STREAM_MAX: Final = 200_000
"""Labelled predictions, the newest ones, that changes of the error are looked for in."""


def routes(queries: Queries, config: Config) -> list[Route]:
    """The route, to be mounted at the root of the API port."""

    def drift(request: Request) -> Response:
        return guarded(lambda: JsonAnswer(answered(request, queries, config, _answer)))

    return [Route(PATH, drift, methods=["GET"])]


def _answer(found: Windowed) -> dict[str, Any]:
    return {
        "model": found.model.model,
        "target": found.query.target,
        "every": found.every,
        "reference": found.reference.json(),
        "notes": found.notes,
        "windows": found.windows_json(),
        "columns": columns_json(found),
        "error_changes": changes_json(found.rows),
    }


def columns_json(found: Windowed) -> dict[str, Any]:
    """Every column that the reference has: its kind, and each figure over the windows."""
    followed_columns = followed(
        found.reference.columns(),
        found.rows,
        found.places,
        len(found.starts),
        lambda name: constants_of(found.section, name),
        found.section.minimum_n,
    )
    return {
        column.name: {
            "kind": column.reference.kind,
            "reference_values": int(column.reference.whole.n_values[0]),
            "values": column.counts.n_values.tolist(),
            "figures": {name: course_json(course) for name, course in column.figures.items()},
        }
        for column in followed_columns
    }


def course_json(course: Course) -> dict[str, Any]:
    """A figure over the windows, null where it is not defined, with its thresholds and alerts."""
    return {
        "values": numbers_json(course.values.tolist()),
        **thresholds_json(course.thresholds),
        "known": course.known.tolist(),
        "alerts": course.alerts.tolist(),
    }


def thresholds_json(thresholds: Thresholds) -> dict[str, Any]:
    """Both thresholds, null where there is none."""
    return {"lower_threshold": thresholds.low, "upper_threshold": thresholds.high}


def numbers_json(values: Sequence[float]) -> list[float | None]:
    """JSON knows neither NaN nor infinities."""
    return [value if math.isfinite(value) else None for value in values]


def changes_json(rows: RowColumns) -> list[dict[str, Any]]:
    """Where the share of wrong predictions changed, in the order of their events (ADWIN)."""
    judged = np.flatnonzero(rows.correct >= 0)[-STREAM_MAX:]
    wrong = (rows.correct[judged] == 0).astype(np.float64)
    return [
        {
            "found": rfc3339(int(rows.event_time[judged[change.position]])),
            "error_before": change.before,
            "error_after": change.after,
        }
        for change in changes(wrong.tolist())
    ]
