"""`GET /api/v1/models/{model}/estimates`: figures before their labels come, beside the truth.

How long labels take, how much of each window is settled, what figures to expect of it, and what has
become of them; the gap between both is a signal of its own.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.comparison.figures import any_figures
from inferspan_collector.config import Config
from inferspan_collector.drift.thresholds import Thresholds, learnt
from inferspan_collector.estimates.confidence_based import Estimate
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.estimates.realised import realised
from inferspan_collector.estimates.settling import Curve, counted, curve
from inferspan_collector.publish import windowed
from inferspan_collector.publish.answering import JsonAnswer, guarded
from inferspan_collector.publish.drifting import thresholds_json
from inferspan_collector.publish.learning import constants
from inferspan_collector.publish.quality_json import figure_json
from inferspan_collector.publish.windowed import Windowed
from inferspan_collector.quality.figure import Figure
from inferspan_collector.store.row_columns import RowColumns
from inferspan_collector.submission import Queries

PATH: Final = "/api/v1/models/{model:path}/estimates"
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
SURE: Final = 0.01
"""A gap is called real where chance makes it in fewer than one of so many windows."""


def routes(queries: Queries, config: Config) -> list[Route]:
    """The route, to be mounted at the root of the API port."""

    def estimates(request: Request) -> Response:
        return guarded(lambda: _estimates(request, queries, config))

    return [Route(PATH, estimates, methods=["GET"])]


def _estimates(request: Request, queries: Queries, config: Config) -> Response:
    found = windowed.asked(request, queries, config)
    rows = found.rows
    foreseen = found.reference.foresight(found.section.canonical(found.section.positive_class))
    now_ns = queries.now_ns()
    lags = curve(counted(rows.lag[~rows.failed], now_ns - rows.event_time[~rows.failed]))
    thresholds = _thresholds(found, foreseen)
    return JsonAnswer(
        {
            "model": found.model.model,
            "target": found.query.target,
            "every": found.every,
            "reference": {**found.reference.json(), "learnt_from": foreseen.labelled},
            "method": foreseen.method,
            "reason": foreseen.reason,
            "positive_class": foreseen.positive,
            "notes": found.notes,
            "label_lag": _lag_json(lags, int((rows.lag >= 0).sum())),
            "thresholds": {name: thresholds_json(each) for name, each in thresholds.items()},
            "windows": [
                {**window, **_window_json(part, foreseen, thresholds, lags, now_ns)}
                for window, part in zip(found.windows_json(), _parts(found), strict=True)
            ],
        }
    )


def _parts(found: Windowed) -> list[RowColumns]:
    """The rows of each window; rows are in the order of their windows."""
    ends = np.searchsorted(found.places, np.arange(len(found.starts) + 1))
    return [
        found.rows.take(np.arange(start, end))
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _thresholds(found: Windowed, foreseen: Foresight) -> dict[str, Thresholds]:
    """Learnt from what became true of the reference's windows, as NannyML does for estimates, or
    constants of the configuration.
    """
    said = constants(found.section)
    greatest = 1.0 if foreseen.method == "cbpe" else None
    return {
        name: said.get(name) or learnt(values, least=0.0, greatest=greatest)
        for name, values in found.reference.truths(foreseen).items()
    }


def _window_json(
    rows: RowColumns,
    foreseen: Foresight,
    thresholds: dict[str, Thresholds],
    lags: Curve,
    now_ns: int,
) -> dict[str, Any]:
    answering = rows.take(~rows.failed)
    labelled = int((answering.correct >= -1).sum())
    settled = lags.settled(now_ns - answering.event_time)
    truths = realised(answering, foreseen)
    estimates = foreseen.estimates(answering)
    return {
        "labeled": labelled,
        "coverage": labelled / len(answering) if len(answering) else None,
        "settled": float(settled.mean()) if len(answering) else None,
        "metrics": {
            name: _metric_json(estimate, truths[name], len(answering), thresholds.get(name))
            for name, estimate in estimates.items()
        },
    }


def _metric_json(
    estimate: Estimate, truth: Figure, n: int, thresholds: Thresholds | None
) -> dict[str, Any]:
    expected = Figure.missing("nothing is to be expected of these rows", n)
    if estimate.value is not None:
        expected = Figure(estimate.value, n, estimate.low, estimate.high)
    gap = any_figures(expected, truth)
    alert = False
    if thresholds is not None and expected.value is not None:
        alert = bool(thresholds.alerts(np.array([expected.value]))[0])
    return {
        "estimated": figure_json(expected),
        "alert": alert,
        "realized": figure_json(truth),
        # What is true less what was expected: it grows where a score no longer means what it did.
        "gap": None
        if gap is None
        else {
            "value": gap.value,
            "low": gap.low,
            "high": gap.high,
            "p_value": gap.p_value,
            "significant": None if gap.p_value is None else gap.p_value < SURE,
        },
    }


def _lag_json(lags: Curve, labels: int) -> dict[str, Any]:
    """How long labels take, in seconds, young predictions allowed for."""
    found = {name: lags.quantile_ns(q) for name, q in QUANTILES.items()}
    return {
        "labels": labels,
        **{name: None if ns is None else ns / 1e9 for name, ns in found.items()},
        "final_coverage": lags.final,
    }
