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

from inferspan_collector.config import Config, Model
from inferspan_collector.drift.thresholds import Thresholds, learnt
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.estimates.outlook import Outlook, outlooks
from inferspan_collector.estimates.settling import Curve, counted, curve
from inferspan_collector.publish.answering import JsonAnswer, guarded
from inferspan_collector.publish.drifting import thresholds_json
from inferspan_collector.publish.learning import constants
from inferspan_collector.publish.quality_json import figure_json
from inferspan_collector.publish.references import Reference
from inferspan_collector.publish.windowed import Windowed, answered
from inferspan_collector.quality.ranges import range_of
from inferspan_collector.store.row_columns import RowColumns
from inferspan_collector.submission import Queries

PATH: Final = "/api/v1/models/{model:path}/estimates"
QUANTILES: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def routes(queries: Queries, config: Config) -> list[Route]:
    """The route, to be mounted at the root of the API port."""

    def estimates(request: Request) -> Response:
        now_ns = queries.now_ns()
        return guarded(
            lambda: JsonAnswer(
                answered(request, queries, config, lambda found: _answer(found, now_ns))
            )
        )

    return [Route(PATH, estimates, methods=["GET"])]


def _answer(found: Windowed, now_ns: int) -> dict[str, Any]:
    rows = found.rows
    foreseen = found.reference.foresight(found.section.canonical(found.section.positive_class))
    lags = curve(counted(rows.lag[~rows.failed], now_ns - rows.event_time[~rows.failed]))
    thresholds = thresholds_of(found.reference, foreseen, found.section)
    return {
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
            {
                **window,
                **_window_json(part, foreseen, thresholds, lags, now_ns, found.section.minimum_n),
            }
            for window, part in zip(found.windows_json(), _parts(found), strict=True)
        ],
    }


def _parts(found: Windowed) -> list[RowColumns]:
    """The rows of each window; rows are in the order of their windows."""
    ends = np.searchsorted(found.places, np.arange(len(found.starts) + 1))
    return [
        found.rows.take(np.arange(start, end))
        for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def thresholds_of(
    reference: Reference, foreseen: Foresight, section: Model
) -> dict[str, Thresholds]:
    """Learnt from what became true of the reference's windows, as NannyML does for estimates, or
    constants of the configuration.
    """
    said = constants(section)
    found = {}
    for name, values in reference.truths(foreseen).items():
        least, greatest = range_of(name)
        found[name] = said.get(name) or learnt(values, least=least, greatest=greatest)
    return found


def _window_json(
    rows: RowColumns,
    foreseen: Foresight,
    thresholds: dict[str, Thresholds],
    lags: Curve,
    now_ns: int,
    minimum_n: int,
) -> dict[str, Any]:
    answering = rows.take(~rows.failed)
    labelled = int((answering.correct >= -1).sum())
    settled = lags.settled(now_ns - answering.event_time)
    coverage = labelled / len(answering) if len(answering) else None
    shown = outlooks(answering, foreseen, thresholds, minimum_n)
    return {
        "labeled": labelled,
        "coverage": coverage,
        "settled": float(settled.mean()) if len(answering) else None,
        "metrics": {
            name: _metric_json(outlook, len(answering), coverage) for name, outlook in shown.items()
        },
    }


def _metric_json(outlook: Outlook, answering: int, labelled: float | None) -> dict[str, Any]:
    gap, minimum_n = outlook.gap, outlook.minimum_n
    # Of rows that have a score, or probabilities, or a value: what the estimate rests on.
    estimated = outlook.estimated.n / answering if answering else None
    return {
        "estimated": figure_json(outlook.estimated, minimum_n, estimated),
        "alert": outlook.alert,
        "realized": figure_json(outlook.realized, minimum_n, labelled),
        "gap": None
        if gap is None
        else {
            "value": gap.value,
            "low": gap.low,
            "high": gap.high,
            "p_value": gap.p_value,
            "significant": outlook.significant,
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
