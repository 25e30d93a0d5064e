"""What ever arrived: counters that only grow, and a histogram, with traces as exemplars.

Labels that joined are counted by the store, since it began. Predictions are counted here, since the
process started: at every scrape those that came after the last one, by one question.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from inferspan_collector.config import Config
from inferspan_collector.publish.metrics.families import (
    SERIES,
    Admission,
    Folding,
    Labels,
    fold,
    label,
    series_labels,
)
from inferspan_collector.slow_calls import SlowCall, SlowCalls
from inferspan_collector.store.arrived import NOTHING, Judged
from inferspan_collector.store.cells import ArrivalCells
from inferspan_collector.store.reader import Reader

EDGES_NS: Final = tuple(
    int(1e6 * ms)
    for ms in (0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000)
)
"""Upper ends of the buckets of durations; one more holds what is above."""
LE: Final = (*(str(edge / 1e9) for edge in EDGES_NS), "+Inf")
"""As the buckets are labelled."""
EXEMPLAR_NS: Final = 86_400_000_000_000
"""Older mistakes are no exemplars: their traces may have left their storage."""
MISTAKES_MAX: Final = 10_000
"""Pairs of classes of all models whose newest mistake is remembered, some 5 MB; older leave."""
OUTCOMES: Final = {1: "correct", 0: "incorrect", -1: "undefined"}
_CLASSES: Final = (*SERIES, "target", "outcome", "predicted", "actual")


@dataclass(slots=True)
class _Calls:
    """Predictions of one series, by arrival."""

    ok: int = 0
    failed: int = 0
    slow: int = 0
    duration_ns: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(LE))

    def __add__(self, other: _Calls) -> _Calls:
        return _Calls(
            self.ok + other.ok,
            self.failed + other.failed,
            self.slow + other.slow,
            self.duration_ns + other.duration_ns,
            [one + more for one, more in zip(self.buckets, other.buckets, strict=True)],
        )


class Arrivals:
    """Thread-safe. Whoever asks sees the same, however many ask.

    Args:
        reader: of the store.
        config: models (objectives, targets) and limits.
        folding: counts what a limit folds.
        slow: traces of slow calls.
    """

    def __init__(self, reader: Reader, config: Config, folding: Folding, slow: SlowCalls) -> None:
        self._config, self._folding, self._slow = config, folding, slow
        room = config.limits.metric_series
        self._outcomes_admitted = Admission(room)
        self._evaluations_admitted = Admission(room)
        # A histogram's buckets are series, too.
        self._calls_admitted = Admission(max(1, room // (len(LE) + 2)))
        self._objectives_ns = {
            name: model.latency_objective_ms * 1e6
            for name, model in config.models.items()
            if model.latency_objective_ms is not None
        }
        self._lock = threading.Lock()
        self._calls: dict[Labels, _Calls] = {}
        self._mistakes: dict[Labels, Judged] = {}
        self._newest: dict[Labels, int] = {}
        self._prediction_row = reader.newest().prediction
        self._label_row = NOTHING

    def families(self, reader: Reader, now_ns: int) -> list[Metric]:
        """Count what is new, and show all of it.

        Raises:
            duckdb.Error: the store cannot be read; nothing is lost by it.
        """
        cells = reader.arrivals()
        known = [series_labels(texts) for texts in reader.series()]
        with self._lock:
            self._look(reader, known)
            calls, mistakes = dict(self._calls), dict(self._mistakes)
        recent = {
            key: row
            for key, row in mistakes.items()
            if now_ns - row.received < EXEMPLAR_NS and row.trace_id.strip("0")
        }
        return [
            *self._by_call(calls),
            self._evaluations(cells, known, recent),
            *self._outcomes(cells, recent),
        ]

    def newest_labels(self) -> dict[Labels, int]:
        """Labels of `SERIES` and target → receipt of the newest label that joined, Unix ns."""
        with self._lock:
            return dict(self._newest)

    def _look(self, reader: Reader, known: list[Labels]) -> None:
        """Add what has come since the last time."""
        for key in known:
            # From 0 on: what comes next shows in `increase()`.
            self._calls.setdefault(key, _Calls())
        rows, self._prediction_row = reader.calls_since(
            self._prediction_row, EDGES_NS, self._objectives_ns
        )
        for row in rows:
            mine = self._calls.setdefault(series_labels(row.series), _Calls())
            mine.ok += 0 if row.failed else row.n
            mine.failed += row.n if row.failed else 0
            mine.slow += row.slow
            mine.duration_ns += row.duration_ns
            mine.buckets[row.place] += row.n
        judged, self._label_row = reader.judged_since(self._label_row)
        for label_ in judged:
            key = (*series_labels(label_.series), label(label_.target))
            self._newest[key] = max(self._newest.get(key, 0), label_.received)
            if label_.correct == 0:
                classes = (label(label_.predicted), label(label_.actual))
                self._mistakes[(*key, *classes)] = label_
        if len(self._mistakes) > MISTAKES_MAX:
            by_age = sorted(self._mistakes.items(), key=lambda pair: pair[1].received)
            self._mistakes = dict(by_age[-MISTAKES_MAX:])

    def _by_call(self, calls: dict[Labels, _Calls]) -> list[Metric]:
        admitted = self._calls_admitted.admit({key: sum(c.buckets) for key, c in calls.items()})
        self._folding.count("calls", len(calls.keys() - admitted))
        predictions = CounterMetricFamily(
            "inferspan_predictions", "Predictions by arrival.", labels=(*SERIES, "status")
        )
        slow = CounterMetricFamily(
            "inferspan_slow_predictions",
            "Predictions that took longer than their model's latency objective, by arrival.",
            labels=SERIES,
        )
        durations = HistogramMetricFamily(
            "inferspan_prediction_duration_seconds",
            "How long predictions took, by arrival.",
            labels=SERIES,
            unit="seconds",
        )
        # Of each series and bucket the newest, for they come in the order of their receipt.
        traces = {
            (tuple(label(text) for text in call.series), place): call
            for call, place in self._slow.newest(EDGES_NS)
        }
        for key, parts in fold(calls, admitted).items():
            total = sum(parts[1:], parts[0])
            predictions.add_metric((*key, "ok"), total.ok)
            predictions.add_metric((*key, "error"), total.failed)
            if key[SERIES.index("model")] in self._objectives_ns:
                slow.add_metric(key, total.slow)
            durations.add_metric(key, _buckets(total, key, traces), total.duration_ns / 1e9)
        return [predictions, slow, durations]

    def _evaluations(
        self, cells: ArrivalCells, known: list[Labels], recent: dict[Labels, Judged]
    ) -> Metric:
        added: dict[Labels, int] = {}
        for key in known:
            model = self._config.model(key[SERIES.index("model")])
            for outcome in ("correct", "incorrect"):
                added[(*key, label(model.primary_target), outcome)] = 0
        for series, target, correct, more in zip(
            cells.series, cells.target, cells.correct.tolist(), cells.added.tolist(), strict=True
        ):
            key = (*series_labels(series), label(target), OUTCOMES[correct])
            added[key] = added.get(key, 0) + more
        admitted = self._evaluations_admitted.admit(added)
        self._folding.count("evaluations", len(added.keys() - admitted))
        exemplars: dict[Labels, Exemplar] = {}
        for classes, row in sorted(recent.items(), key=lambda pair: pair[1].received):
            exemplars[(*classes[: len(SERIES) + 1], OUTCOMES[0])] = _of_mistake(row)
        family = CounterMetricFamily(
            "inferspan_evaluations",
            "Labels that joined, by arrival.",
            labels=(*SERIES, "target", "outcome"),
        )
        for key, parts in fold(added, admitted).items():
            family.add_metric(key, sum(parts), exemplar=exemplars.get(key))
        return family

    def _outcomes(self, cells: ArrivalCells, recent: dict[Labels, Judged]) -> list[Metric]:
        added: dict[Labels, int] = {}
        retracted: dict[Labels, int] = {}
        for series, target, predicted, actual, correct, more, fewer in zip(
            cells.series,
            cells.target,
            cells.predicted,
            cells.actual,
            cells.correct.tolist(),
            cells.added.tolist(),
            cells.retracted.tolist(),
            strict=True,
        ):
            texts = (label(target), OUTCOMES[correct], label(predicted), label(actual))
            key = (*series_labels(series), *texts)
            added[key] = added.get(key, 0) + more
            retracted[key] = retracted.get(key, 0) + fewer
        admitted = self._outcomes_admitted.admit(added)
        self._folding.count("outcome", len(added.keys() - admitted))
        at = len(SERIES) + 1
        exemplars = {
            (*key[:at], OUTCOMES[0], *key[at:]): _of_mistake(row) for key, row in recent.items()
        }
        families: list[Metric] = []
        for name, text, values in (
            ("inferspan_quality_outcomes", "Outcomes by arrival of their labels.", added),
            ("inferspan_quality_retracted", "Outcomes corrected or deleted later.", retracted),
        ):
            counter = CounterMetricFamily(name, text, labels=_CLASSES)
            for key, parts in fold(values, admitted).items():
                exemplar = exemplars.get(key) if values is added else None
                counter.add_metric(key, sum(parts), exemplar=exemplar)
            families.append(counter)
        return families


def _buckets(
    calls: _Calls, key: Labels, traces: dict[tuple[Labels, int], SlowCall]
) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Cumulative counts by upper end, those with a trace of a call with that."""
    shown: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    total = 0
    for place, (le, n) in enumerate(zip(LE, calls.buckets, strict=True)):
        total += n
        found = traces.get((key, place)) if n else None
        if found is None:
            shown.append((le, total))
        else:
            seconds = found.duration_ns / 1e9
            exemplar = _exemplar(found.trace_id, found.span_id, found.received, seconds)
            shown.append((le, total, exemplar))
    return shown


def _of_mistake(row: Judged) -> Exemplar:
    return _exemplar(row.trace_id, row.span_id, row.received)


def _exemplar(trace_id: str, span_id: str, received: int, value: float = 1.0) -> Exemplar:
    # By the time of arrival: Prometheus drops one that is older than the last.
    return Exemplar({"trace_id": trace_id, "span_id": span_id}, value, received / 1e9)
