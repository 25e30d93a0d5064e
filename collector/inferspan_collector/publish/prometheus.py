"""`/metrics`: our own counters, and the quality of the last hours as gauges.

What ever arrived is counted by counters that only grow; the state after corrections, by the
predictions' own time, is shown by gauges, because it may fall. `docs/metrics.md` lists every
series.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferspan_collector.config import Config, span_minutes
from inferspan_collector.publish.metric_series import Labels, fold, label, top
from inferspan_collector.quality import quality_figures
from inferspan_collector.quality.counted_windows import grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import AVERAGES, Figure, Question, positive_class
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS, CellQuery
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import CONTAINED, FOLDED, Telemetry

TARGETS_MAX: Final = 20
"""Targets that have gauges: each costs two questions to the store per window."""
SERIES_PER_GROUP_MAX: Final = 20
"""Figures × averages of one group and window; a conformance test holds it."""

AVERAGED: Final = ("precision", "recall", "f1")
SINGLE: Final = ("accuracy", "balanced_accuracy", "matthews_corrcoef", "cohen_kappa", "coverage")
"""Figures that have gauges, with and without an average; the API has more. Each costs a series in
every group and window."""

_logger = logging.getLogger(__name__)

_SERIES = ("environment", "service", "model", "version", "variant")
_OUTCOME_LABELS = (*_SERIES, "target", "outcome", "predicted", "actual")
_OUTCOMES: Final = {1: "correct", 0: "incorrect", -1: "undefined"}
_GROUP = ("environment", "model", "version", "target")
_SCORE_LABELS = (*_GROUP, "metric", "average", "window")


def routes(queries: Queries, telemetry: Telemetry, config: Config) -> list[Route]:
    """The route of `/metrics`, to be mounted at the root of the API port."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Exposition(queries, telemetry, config))
    ProcessCollector(registry=registry)

    def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]


class _Exposition(Collector):
    """Asks the store at every scrape; holds only which series of a counter have their own place."""

    def __init__(self, queries: Queries, telemetry: Telemetry, config: Config) -> None:
        self._queries = queries
        self._telemetry = telemetry
        self._config = config
        self._windows = {text: span_minutes(text) for text in config.publish.quality_windows}
        self._series_max = config.limits.metric_series
        self._lock = threading.Lock()
        self._admitted: set[Labels] = set()
        self._folded_max: dict[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        """All metrics at one moment; what the store cannot answer is left out and counted."""
        from_store: list[Metric] = []
        try:
            from_store += self._arrivals()
            from_store += self._held()
            from_store += self._sizes()
            from_store += self._quality()
        except Exception:
            # Our own counters matter most when the store is in trouble.
            _logger.exception("the store did not answer a scrape")
            from_store.clear()
            self._telemetry.add(CONTAINED, where="metrics")
        yield from self._counters()
        yield from self._gauges()
        yield from from_store

    def _counters(self) -> Iterator[Metric]:
        for counter, counts in self._telemetry.snapshot().items():
            family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
            if not counter.labels and not counts:
                family.add_metric((), 0)
            for labels, n in sorted(counts.items()):
                family.add_metric([label(text) for text in labels], n * counter.scale)
            yield family

    def _gauges(self) -> Iterator[Metric]:
        for gauge, values in self._telemetry.gauges().items():
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
            for labels, number in sorted(values.items()):
                family.add_metric(labels, number)
            yield family

    def _arrivals(self) -> list[Metric]:
        cells = self._queries.reader.arrivals()
        at = [SERIES_KEYS.index(key) for key in _SERIES]
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
            texts = (*(series[i] for i in at), target, _OUTCOMES[correct], predicted, actual)
            key = tuple(label(text) for text in texts)
            added[key] = added.get(key, 0) + more
            retracted[key] = retracted.get(key, 0) + fewer
        with self._lock:
            # A series of a counter must not wander in and out of the rest: first come, first
            # served, for as long as this process lives.
            room = self._series_max - len(self._admitted)
            self._admitted |= top(added, room, beside=self._admitted)
            admitted = frozenset(self._admitted)
        self._count_folded("outcome", len(added.keys() - admitted))
        families: list[Metric] = []
        for name, text, values in (
            ("inferspan_quality_outcomes", "Outcomes by arrival of their labels.", added),
            ("inferspan_quality_retracted", "Outcomes corrected or deleted later.", retracted),
        ):
            counter = CounterMetricFamily(name, text, labels=_OUTCOME_LABELS)
            for key, parts in fold(values, admitted).items():
                counter.add_metric(key, sum(parts))
            families.append(counter)
        return families

    def _held(self) -> list[Metric]:
        reader = self._queries.reader
        cells = reader.prediction_cells(CellQuery(by=_SERIES))
        held: dict[Labels, int] = {}
        for group, failed, n in zip(
            cells.groups, cells.failed.tolist(), cells.n.tolist(), strict=True
        ):
            key = (*(label(text) for text in group), "error" if failed else "ok")
            held[key] = held.get(key, 0) + n
        waiting: dict[Labels, int] = {}
        for model, n in reader.waiting_labels(self._queries.now_ns()).items():
            key = (label(model),)
            waiting[key] = waiting.get(key, 0) + n
        families: list[Metric] = []
        for name, text, labels, values in (
            (
                "inferspan_predictions",
                "Predictions held in the store, each counted once.",
                (*_SERIES, "status"),
                held,
            ),
            (
                "inferspan_join_pending",
                "Labels that wait for their prediction.",
                ("model",),
                waiting,
            ),
        ):
            gauge = GaugeMetricFamily(name, text, labels=labels)
            own = top(values, self._series_max)
            self._count_folded(name.removeprefix("inferspan_"), len(values) - len(own))
            for key, parts in fold(values, own).items():
                gauge.add_metric(key, sum(parts))
            families.append(gauge)
        return families

    def _sizes(self) -> list[Metric]:
        sizes = self._queries.reader.sizes()
        stored = GaugeMetricFamily(
            "inferspan_store_bytes", "What the store takes on disk.", labels=("part",)
        )
        free = GaugeMetricFamily(
            "inferspan_store_disk_free_bytes", "What is free where the store lies."
        )
        rows = GaugeMetricFamily(
            "inferspan_store_rows", "Rows of the store's tables.", labels=("table",)
        )
        held = GaugeMetricFamily(
            "inferspan_retention_held_until_seconds",
            "Until when nothing is erased by age, for the clock jumped (Unix time); 0 = it is.",
        )
        held.add_metric((), sizes.held_until / 1e9)
        for part, n in sizes.bytes.items():
            stored.add_metric((part,), n)
        free.add_metric((), sizes.disk_free)
        for table, n in sizes.rows.items():
            rows.add_metric((table,), n)
        return [stored, free, rows, held]

    def _quality(self) -> list[Metric]:
        score = GaugeMetricFamily(
            "inferspan_quality_score", "Quality by prediction time.", labels=_SCORE_LABELS
        )
        lower = GaugeMetricFamily(
            "inferspan_quality_score_lower", "Lower end of its 95 % interval.", labels=_SCORE_LABELS
        )
        upper = GaugeMetricFamily(
            "inferspan_quality_score_upper", "Upper end of its 95 % interval.", labels=_SCORE_LABELS
        )
        coverage = GaugeMetricFamily(
            "inferspan_quality_coverage",
            "Labelled share of the predictions.",
            labels=(*_GROUP, "window"),
        )
        for window, groups in self._windowed_counts().items():
            for key, counts in groups.items():
                for (metric, average), figure in self._scores(key, counts).items():
                    if figure.value is None:
                        continue
                    if metric == "coverage":
                        coverage.add_metric((*key, window), figure.value)
                        continue
                    labels = (*key, metric, average, window)
                    score.add_metric(labels, figure.value)
                    if figure.low is not None and figure.high is not None:
                        lower.add_metric(labels, figure.low)
                        upper.add_metric(labels, figure.high)
        return [score, lower, upper, coverage]

    def _windowed_counts(self) -> dict[str, dict[Labels, Counts]]:
        """Per window the counts per labels of `_GROUP`, folded to the limit."""
        now = self._queries.now_ns() // MINUTE_NS
        models_of = self._targets()
        windowed = {}
        groups_max = self._series_max // (SERIES_PER_GROUP_MAX * max(1, len(self._windows)))
        for text, minutes in self._windows.items():
            found: dict[Labels, list[Counts]] = {}
            for target, models in models_of.items():
                query = CellQuery(
                    target=target,
                    start=now + 1 - minutes,
                    end=now + 1,
                    by=("environment", "model", "version"),
                )
                for (_, group), counts in grouped_counts(self._queries.reader, query).items():
                    if group[1] in models:
                        key = (*(label(part) for part in group), label(target))
                        found.setdefault(key, []).append(counts)
            groups = {key: merged(parts) for key, parts in found.items()}
            sizes = {key: counts.predictions for key, counts in groups.items()}
            own = top(sizes, max(1, groups_max))
            self._count_folded("score", len(groups) - len(own))
            windowed[text] = {key: merged(parts) for key, parts in fold(groups, own).items()}
        return windowed

    def _targets(self) -> dict[str, set[str]]:
        """Models by target, at most `TARGETS_MAX` targets, the commonest first."""
        models_of: dict[str, set[str]] = {}
        for model in self._queries.reader.models():
            for target in {*model.targets, self._config.model(model.model).primary_target}:
                models_of.setdefault(target, set()).add(model.model)
        kept = top({(t,): len(models) for t, models in models_of.items()}, TARGETS_MAX)
        self._count_folded("target", len(models_of) - len(kept))
        return {target: models for target, models in models_of.items() if (target,) in kept}

    def _scores(self, key: Labels, counts: Counts) -> Mapping[tuple[str, str], Figure]:
        model = self._config.model(key[_GROUP.index("model")])
        positive = positive_class(counts, model.canonical(model.positive_class))
        figures: dict[tuple[str, str], Figure] = {}
        for average in AVERAGES:
            for name, figure in quality_figures(counts, Question(average, positive)).items():
                if name in AVERAGED or name in SINGLE:
                    figures[name, average if name in AVERAGED else ""] = figure
        return figures

    def _count_folded(self, what: str, folded: int) -> None:
        """Count each value folded once, not once a scrape: only what is beyond the most so far."""
        with self._lock:
            more = folded - self._folded_max.get(what, 0)
            if more > 0:
                self._folded_max[what] = folded
        if more > 0:
            self._telemetry.add(FOLDED, more, label=f"metrics:{what}")
