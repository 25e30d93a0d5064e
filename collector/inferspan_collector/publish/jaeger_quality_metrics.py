"""Dials, metrics and versions of Jaeger's Model Quality page, from counts.

Every metric is passed, failed and exempt predictions. 0 passed with 0 failed draws as "NaN.0%",
so such a metric is left out, or says how many are labelled instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from inferspan_collector.config import Model
from inferspan_collector.latency_sketch import buckets_within
from inferspan_collector.publish import jaeger_quality_tables as tables
from inferspan_collector.publish.jaeger_names import Names
from inferspan_collector.publish.jaeger_quality_tables import examples, interval, percent
from inferspan_collector.publish.metrics.noticed import Noticed
from inferspan_collector.quality import classification, latency
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import MACRO, Question
from inferspan_collector.store.cells import PredictionRow
from inferspan_collector.telemetry import OTHER

SAMPLE_ROWS: Final = 100
"""Predictions read to find examples and slice keys."""
RECALLS_SHOWN_MAX: Final = 3
QUALITY: Final = "quality"
COVERAGE: Final = "coverage"
LATENCY: Final = "latency"
COMPLETED: Final = "completed"

Json = dict[str, Any]


class Sample(Protocol):
    """Reads single predictions of the model, newest first."""

    def __call__(
        self, outcome: str | None, limit: int, expected: str | None = None
    ) -> list[PredictionRow]:
        """`outcome` and `expected` as in `Reader.predictions`."""


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model in one window.

    `by_version` and `by_slice` go from the text that is shown to the counts behind it; `newest`
    and `mistakes` are at most `SAMPLE_ROWS` rows each.
    """

    model: str
    names: Names
    settings: Model
    counts: Counts
    by_version: dict[str, Counts]
    by_slice: dict[str, Counts]
    newest: list[PredictionRow]
    mistakes: list[PredictionRow]
    noticed: Noticed
    sample: Sample

    @property
    def name(self) -> str:
        """The model, with its version where there is only one."""
        return next(iter(self.by_version)) if len(self.by_version) == 1 else self.model

    def versioned(self, version: str | None) -> str:
        """The model in this version, as the page calls it."""
        return self.names.version(self.model, version)

    @property
    def outputs(self) -> int:
        """Predictions that returned something to judge."""
        return self.counts.predictions - self.counts.errors


def scores(views: Sequence[ModelView]) -> list[Json]:
    """The dials, each over all models of the service; one without a denominator is left out."""
    judged = sum(view.counts.judged for view in views)
    outputs = sum(view.outputs for view in views)
    calls = sum(view.counts.predictions for view in views)
    timed = [view for view in views if view.settings.latency_objective_ms is not None]
    dials = [
        (QUALITY, "Accuracy", judged, sum(view.counts.correct for view in views)),
        (
            LATENCY,
            "Within latency objective",
            sum(view.counts.predictions for view in timed),
            sum(within_objective(view) for view in timed),
        ),
        # A label can be there before a retraction of its prediction is: never beyond the whole.
        (COVERAGE, "Labelled", outputs, min(outputs, sum(v.counts.labelled for v in views))),
        (COMPLETED, "Completed", calls, outputs),
    ]
    return [
        {"key": key, "label": label, "max": whole, "value": part}
        for key, label, whole, part in dials
        if whole > 0
    ]


def metrics(view: ModelView, link: str) -> list[Json]:
    """The metrics of one model, the main figure first.

    Args:
        view: the model.
        link: where the exact figures are.
    """
    found = [_accuracy(view, link) if view.counts.judged else _coverage(view, link)]
    found += _recalls(view, link)
    if view.settings.latency_objective_ms is not None:
        found.append(_latency(view, link))
    if view.counts.errors or view.settings.latency_objective_ms is None:
        found.append(_completed(view, link))
    return [metric for metric in found if metric["passCount"] + metric["failureCount"] > 0]


def clients(view: ModelView) -> list[Json]:
    """The model's versions; the least one wanted is that of the newest prediction."""
    current = (view.newest[0].version if view.newest else None) or ""
    by_name: dict[str, list[PredictionRow]] = {name: [] for name in view.by_version}
    for row in view.newest:
        by_name.setdefault(view.names.version(view.model, row.version), []).append(row)
    return [
        {
            "version": name,
            "minVersion": current,
            "count": counts.predictions,
            "examples": examples(by_name[name]),
        }
        for name, counts in view.by_version.items()
    ]


def within_objective(view: ModelView) -> int:
    """Calls at or under the model's latency objective, to the sketch's 0.54 %."""
    objective_ns = (view.settings.latency_objective_ms or 0.0) * 1e6
    numbers = np.array(list(view.counts.durations), dtype=np.int16)
    n = np.array(list(view.counts.durations.values()), dtype=np.int64)
    return int(n[buckets_within(numbers, objective_ns)].sum())


def _accuracy(view: ModelView, link: str) -> Json:
    counts = view.counts
    figure = tables.accuracy_of(counts)
    details = [
        tables.confusion(counts),
        tables.slices(view.by_slice, figure, view.mistakes),
        tables.versions(view.by_version, figure),
        tables.changes(view.noticed, view.versioned),
    ]
    return {
        "name": f"accuracy {view.name}",
        "category": QUALITY,
        "description": (
            f"{percent(figure.value or 0.0)} of {counts.judged} judged predictions were right "
            f"(95 % interval {interval(figure)}). Exempt: no label yet."
        ),
        "metricDocumentationLink": link,
        "metricWeight": 1.0,
        "passCount": counts.correct,
        "passExamples": examples(view.sample("correct", tables.EXAMPLES_MAX)),
        "failureCount": counts.incorrect,
        "failureExamples": examples(view.mistakes),
        "exemptionCount": max(0, view.outputs - counts.judged),
        "exemptionExamples": examples(view.sample("unlabeled", tables.EXAMPLES_MAX)),
        "details": [table for table in details if table is not None],
    }


def _coverage(view: ModelView, link: str) -> Json:
    changes = tables.changes(view.noticed, view.versioned)
    labelled = min(view.outputs, view.counts.labelled)
    return {
        "name": f"labelled {view.name}",
        "category": COVERAGE,
        "description": f"{labelled} of {view.outputs} predictions have a label; none is judged.",
        "metricDocumentationLink": link,
        "metricWeight": 1.0,
        "passCount": labelled,
        "failureCount": view.outputs - labelled,
        "failureExamples": examples(view.sample("unlabeled", tables.EXAMPLES_MAX)),
        "details": [] if changes is None else [changes],
    }


def _recalls(view: ModelView, link: str) -> list[Json]:
    """Recall of the classes that are found worst."""
    recalls = {
        name: figure
        for name, one in classification.one_against_rest(view.counts).items()
        if (figure := one.recall()).value is not None and name != OTHER
    }
    worst_first = sorted(recalls, key=lambda name: (recalls[name].value or 0.0, name))
    return [_recall(view, link, name) for name in worst_first[:RECALLS_SHOWN_MAX]]


def _recall(view: ModelView, link: str, name: str) -> Json:
    one = classification.one_against_rest(view.counts)[name]
    figure = one.recall()
    return {
        "name": f"recall {view.name}[{name}]",
        "category": QUALITY,
        "description": (
            f"Of the actual {name}, those found: {percent(figure.value or 0.0)} "
            f"({interval(figure)})."
        ),
        "metricDocumentationLink": link,
        "metricWeight": 0.5,
        "passCount": one.true_positives,
        "passExamples": examples(view.sample("correct", tables.EXAMPLES_MAX, name)),
        "failureCount": one.actual - one.true_positives,
        "failureExamples": examples(view.sample("incorrect", tables.EXAMPLES_MAX, name)),
    }


def _latency(view: ModelView, link: str) -> Json:
    objective_ms = view.settings.latency_objective_ms or 0.0
    within = within_objective(view)
    slow = [row for row in view.newest if row.duration > objective_ms * 1e6]
    return {
        "name": f"latency {view.name} within {objective_ms:g} ms",
        "category": LATENCY,
        "description": _quantiles(view.counts),
        "metricDocumentationLink": link,
        "metricWeight": 1.0,
        "passCount": within,
        "failureCount": view.counts.predictions - within,
        "failureExamples": examples(slow),
    }


def _completed(view: ModelView, link: str) -> Json:
    return {
        "name": f"completed {view.name}",
        "category": COMPLETED,
        "description": f"Calls that returned. {_quantiles(view.counts)}",
        "metricDocumentationLink": link,
        "metricWeight": 0.5,
        "passCount": view.outputs,
        "failureCount": view.counts.errors,
        "failureExamples": examples(view.sample("failed", tables.EXAMPLES_MAX)),
    }


def _quantiles(counts: Counts) -> str:
    figures = latency.figures(counts, Question(MACRO))
    return (
        ", ".join(
            f"{name} {1000 * (figure.value or 0.0):.3g} ms" for name, figure in figures.items()
        )
        + "."
    )
