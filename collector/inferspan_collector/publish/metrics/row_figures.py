"""Figures that need rows: of scores and numbers, estimates, lags, drift; made beside the scrapes.

They take up to seconds a model, so a thread of its own makes them anew every minute, and takes a
tenth of a core at most; a scrape shows what was made last, and when. Each figure is as the API says
it of the same window.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from prometheus_client.metrics_core import Metric

from inferspan_collector.config import Config, Model, span_minutes
from inferspan_collector.drift.passes import followed
from inferspan_collector.estimates.outlook import outlooks
from inferspan_collector.estimates.settling import Curve, curve
from inferspan_collector.estimates.settling import counted as counted_lags
from inferspan_collector.publish import learning
from inferspan_collector.publish.foreseeing import thresholds_of
from inferspan_collector.publish.measuring import measurements
from inferspan_collector.publish.metrics.families import (
    GROUP,
    Folding,
    Labels,
    gauge,
    label,
    leave_out,
)
from inferspan_collector.publish.metrics.noticed import Noticed
from inferspan_collector.publish.metrics.slices import SLICE_SCORE, SLICED, slices
from inferspan_collector.publish.metrics.windows import AVERAGED, SCORE, SINGLE, TARGETED, Scored
from inferspan_collector.publish.quality_json import Rest, default_average, windows_json
from inferspan_collector.publish.references import Reference, reference
from inferspan_collector.quality.business import costs
from inferspan_collector.quality.counted_windows import CountedWindows, counted
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.short_names import SHORT_NAMES
from inferspan_collector.store.cells import MINUTE_NS, SERIES_KEYS, CellQuery
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import CONTAINED, Telemetry

ROWS_MAX: Final = 100_000
"""Rows of a window that are read, the newest ones: with 25 features some 40 MB."""
GROUPS_MAX: Final = 20
"""Pairs of environment and version of a model that estimates and drift are made for."""
BUSY_SHARE: Final = 0.1
"""Of the time of one core."""
LAG_QUANTILES: Final = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}
_BY: Final = ("environment", "version")
_ESTIMATE: Final = (*TARGETED, "metric", "window")
_DRIFT: Final = (*GROUP, "column", "method", "window")
_GAUGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "inferspan_quality_score_threshold_lower": ("Below it the figure alerts.", SCORE),
    "inferspan_quality_score_threshold_upper": ("Above it the figure alerts.", SCORE),
    "inferspan_quality_settled_ratio": (
        "Share of the labels that come in the end which should be there by now.",
        (*TARGETED, "window"),
    ),
    "inferspan_label_lag_seconds": (
        "How long a share of the labels takes at most.",
        (*TARGETED, "share", "window"),
    ),
    "inferspan_estimated_score": ("A figure to expect, without labels.", _ESTIMATE),
    "inferspan_estimated_score_lower": ("Lower end of its 95 % interval.", _ESTIMATE),
    "inferspan_estimated_score_upper": ("Upper end of its 95 % interval.", _ESTIMATE),
    "inferspan_estimated_score_n": ("Rows that it rests on.", _ESTIMATE),
    "inferspan_estimated_score_threshold_lower": ("Below it the estimate alerts.", _ESTIMATE),
    "inferspan_estimated_score_threshold_upper": ("Above it the estimate alerts.", _ESTIMATE),
    "inferspan_realized_score": ("What became true so far of what is estimated.", _ESTIMATE),
    "inferspan_realized_score_lower": ("Lower end of its 95 % interval.", _ESTIMATE),
    "inferspan_realized_score_upper": ("Upper end of its 95 % interval.", _ESTIMATE),
    "inferspan_realized_score_n": ("Labelled rows that it rests on.", _ESTIMATE),
    "inferspan_estimate_gap": ("What became true less what was expected.", _ESTIMATE),
    "inferspan_estimate_gap_lower": ("Lower end of its 95 % interval.", _ESTIMATE),
    "inferspan_estimate_gap_upper": ("Upper end of its 95 % interval.", _ESTIMATE),
    "inferspan_estimate_gap_significant": ("1 where chance makes such a gap seldom.", _ESTIMATE),
    "inferspan_drift_score": ("A figure of drift or of data quality.", _DRIFT),
    "inferspan_drift_score_threshold_lower": ("Below it the column has drifted.", _DRIFT),
    "inferspan_drift_score_threshold_upper": ("Above it the column has drifted.", _DRIFT),
    "inferspan_drift_values": (
        "Values of the column in the window.",
        (*GROUP, "column", "window"),
    ),
    "inferspan_slice_predictions": ("Predictions of each slice in the window.", SLICED),
    "inferspan_slice_score": ("Quality within each slice, by prediction time.", SLICE_SCORE),
    "inferspan_slice_score_lower": ("Lower end of its 95 % interval.", SLICE_SCORE),
    "inferspan_slice_score_upper": ("Upper end of its 95 % interval.", SLICE_SCORE),
    "inferspan_slice_score_n": ("Rows that it rests on.", SLICE_SCORE),
    "inferspan_figures_timestamp_seconds": (
        "When the figures of rows were made (Unix time).",
        ("model",),
    ),
    "inferspan_figures_duration_seconds": ("How long that took.", ("model",)),
}

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Made:
    """The series of one model."""

    scores: list[Scored] = field(default_factory=list)
    gauges: dict[str, dict[Labels, float]] = field(default_factory=lambda: defaultdict(dict))
    folded_slices: int = 0
    noticed: Noticed = field(default_factory=Noticed)

    def add(self, name: str, labels: Labels, value: float | None) -> None:
        if value is not None and np.isfinite(value):
            self.gauges[name][labels] = float(value)

    def add_figure(self, name: str, labels: Labels, figure: Figure) -> None:
        self.add(name, labels, figure.value)
        if figure.value is not None:
            self.add(f"{name}_lower", labels, figure.low)
            self.add(f"{name}_upper", labels, figure.high)
            self.add(f"{name}_n", labels, figure.n)


class RowFigures:
    """Thread-safe: one thread makes, any asks.

    Args:
        queries: of the store, as its last transaction left it.
        config: windows, models and limits.
        telemetry: counts what fails unexpectedly.
        seconds: a clock for how long things take.
    """

    def __init__(
        self,
        queries: Queries,
        config: Config,
        telemetry: Telemetry,
        seconds: Callable[[], float],
    ) -> None:
        self._queries, self._config, self._telemetry = queries, config, telemetry
        self._seconds = seconds
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}
        self._due = seconds()
        self._closing = threading.Event()
        windows = config.publish.quality_windows
        self._window = windows[0] if windows else ""
        self._longest = max(windows, key=span_minutes, default="")

    def make_due(self) -> int:
        """Make all anew where it is time; how many models that were."""
        every = self._config.publish.figures_seconds
        began = self._seconds()
        if every == 0 or not self._window or began < self._due:
            return 0
        models = self.make()
        took = self._seconds() - began
        self._due = began + took + max(every, took * (1 / BUSY_SHARE - 1))
        return models

    def make(self) -> int:
        """Make all anew, one model after the other; how many models that were."""
        reader, now_ns = self._queries.stored, self._queries.now_ns()
        end = now_ns // MINUTE_NS + 1
        targets = self._targets(reader, end)
        for model in [name for name in self._made if name not in targets]:
            with self._lock:
                del self._made[model]
        for model, of_model in targets.items():
            if self._closing.is_set():
                break
            began = self._seconds()
            made = _Made(noticed=Noticed(self._window, self._config.model(model).minimum_n))
            try:
                with reader.at_one_moment() as now:
                    of = _OfModel(now, self._config, model, self._window, self._longest, now_ns)
                    of.make(made, sorted(of_model))
            except Exception:
                # The other models have their figures all the same, and this one keeps its last:
                # that they grow old is what alerts.
                _logger.exception("figures of %s for /metrics could not be made", model)
                self._telemetry.add(CONTAINED, where="figures")
                continue
            made.add("inferspan_figures_timestamp_seconds", (label(model),), now_ns / 1e9)
            took = self._seconds() - began
            made.add("inferspan_figures_duration_seconds", (label(model),), took)
            with self._lock:
                self._made[model] = made
        return len(targets)

    def close(self) -> None:
        """Make no other model's: who stops the collector waits for one at most."""
        self._closing.set()

    def scores(self) -> list[Scored]:
        """Figures of quality."""
        with self._lock:
            return [score for made in self._made.values() for score in made.scores]

    def noticed(self, model: str) -> Noticed:
        """What is wrong with a model; nothing where its figures are not made, or not yet."""
        with self._lock:
            return self._made[model].noticed if model in self._made else Noticed()

    def families(self, room: int, folding: Folding) -> Iterator[Metric]:
        """All others. Beyond the limit series are left out, for they do not add up."""
        with self._lock:
            made = list(self._made.values())
        folding.count("slice", sum(one.folded_slices for one in made))
        for name, (text, labels) in _GAUGES.items():
            values = {key: value for one in made for key, value in one.gauges[name].items()}
            leave_out(values, room, folding, name.removeprefix("inferspan_"))
            yield gauge(name, text, labels, values)

    def _targets(self, reader: Reader, end: int) -> dict[str, set[str]]:
        """Models with predictions in the window → their targets that have labels there."""
        found = reader.trailing([end - span_minutes(self._window)], end)
        model_at = SERIES_KEYS.index("model")
        targets: dict[str, set[str]] = {}
        for number in np.unique(found.predictions.series).tolist():
            model = found.series[number][model_at] or ""
            targets.setdefault(model, {self._config.model(model).primary_target})
        for number, target in zip(
            found.outcomes.series.tolist(), found.outcomes.target, strict=True
        ):
            targets.setdefault(found.series[number][model_at] or "", set()).add(target)
        return targets


class _OfModel:
    """Makes the series of one model at one moment."""

    def __init__(
        self, reader: Reader, config: Config, model: str, window: str, longest: str, now_ns: int
    ) -> None:
        self._reader, self._config, self._model = reader, config, model
        self._section: Model = config.model(model)
        self._window, self._longest = window, longest
        self._minutes = span_minutes(window)
        self._now_ns = now_ns
        self._end = now_ns // MINUTE_NS + 1

    def make(self, made: _Made, targets: Sequence[str]) -> None:
        for target in targets:
            self._quality(made, target)
        self._of_rows(made, self._section.primary_target)
        self._of_slices(made, self._section.primary_target)

    def _of_slices(self, made: _Made, target: str) -> None:
        start, end = self._end - self._minutes, self._end
        found = slices(self._reader, self._model, target, self._window, start, end)
        made.folded_slices = found.folded
        for key, n in found.predictions.items():
            made.add("inferspan_slice_predictions", key, n)
        for key, figure in found.scores.items():
            made.add_figure("inferspan_slice_score", key, figure)

    def _quality(self, made: _Made, target: str) -> None:
        """Figures that rows or the configuration give, and the thresholds of all."""
        query = CellQuery(
            model=self._model,
            target=target,
            start=self._end - self._minutes,
            end=self._end,
            by=_BY,
        )
        positive = self._section.canonical(self._section.positive_class)
        windows = counted(self._reader, query)
        average = default_average(windows.declared(), positive)
        names: set[str] = set(costs.FIGURES if self._section.costs else ())

        def shown(asked: CellQuery, of: CountedWindows) -> list[dict[str, Any]]:
            rows_max = min(self._config.limits.query_rows, ROWS_MAX)
            measured = measurements(self._reader, asked, of, self._section, rows_max)
            names.update(set(measured.names) - set(SHORT_NAMES.values()))
            seen = (query.start or 0, query.end or 0)
            return windows_json(asked, of, average, positive, seen, Rest(measured))

        def then(start: int | None, end: int | None) -> list[dict[str, Any]]:
            past = replace(query, start=start, end=end, every=self._minutes)
            return shown(past, counted(self._reader, past))

        present = shown(query, windows)
        known = learning.baselines(self._reader, {}, self._model, target, present)
        learning.judged(present, {}, self._section, known, then)
        for window in present:
            group = self._group(*(window["group"][key] for key in _BY))
            if target == self._section.primary_target:
                made.noticed.add_quality(window["group"]["version"], window["metrics"])
            for name, figure in window["metrics"].items():
                own = name in names and name not in AVERAGED and name not in SINGLE
                if figure["value"] is None or not (own or name in AVERAGED or name in SINGLE):
                    continue
                mean = average if name in AVERAGED else ""
                labels = (*group, label(target), label(name), mean, self._window)
                if own:
                    low, high = figure.get("low"), figure.get("high")
                    rests = Figure(figure["value"], figure["n"], low, high)
                    made.scores.append(Scored(labels, rests))
                for side in ("lower", "upper"):
                    threshold = figure.get(f"{side}_threshold")
                    made.add(f"inferspan_quality_score_threshold_{side}", labels, threshold)

    def _of_rows(self, made: _Made, target: str) -> None:
        rows = self._rows(target, self._window, features=True)
        older = self._rows(target, self._longest) if self._longest != self._window else rows
        pairs = list(zip(rows.environment.tolist(), rows.version.tolist(), strict=True))
        sizes: dict[tuple[str | None, str | None], int] = {}
        for pair in pairs:
            sizes[pair] = sizes.get(pair, 0) + 1
        largest = sorted(sizes, key=lambda pair: (-sizes[pair], pair[0] or "", pair[1] or ""))
        for environment, version in largest[:GROUPS_MAX]:
            mine, before = (
                each.take((each.environment == environment) & (each.version == version))
                for each in (rows, older)
            )
            group = self._group(environment, version)
            lags = self._lags(made, (*group, label(target)), before)
            answering = mine.take(~mine.failed)
            if len(answering):
                settled = lags.settled(self._now_ns - answering.event_time)
                labels = (*group, label(target), self._window)
                made.add("inferspan_quality_settled_ratio", labels, float(settled.mean()))
            query = self._query(target, self._window, features=True)
            query = replace(query, environment=environment or "", version=version or "")
            known = reference(self._reader, {}, query, self._section, self._minutes)
            self._estimates(made, (*group, label(target)), answering, known)
            self._drift(made, group, mine, known)

    def _lags(self, made: _Made, labels: Labels, rows: RowColumns) -> Curve:
        known = ~rows.failed
        lags = curve(counted_lags(rows.lag[known], self._now_ns - rows.event_time[known]))
        for name, q in LAG_QUANTILES.items():
            ns = lags.quantile_ns(q)
            seconds = None if ns is None else ns / 1e9
            made.add("inferspan_label_lag_seconds", (*labels, name, self._longest), seconds)
        return lags

    def _estimates(
        self, made: _Made, labels: Labels, answering: RowColumns, known: Reference
    ) -> None:
        foreseen = known.foresight(self._section.canonical(self._section.positive_class))
        if foreseen.reason is not None:
            return
        thresholds = thresholds_of(known, foreseen, self._section)
        for name, outlook in outlooks(answering, foreseen, thresholds).items():
            key = (*labels, name, self._window)
            made.add_figure("inferspan_estimated_score", key, outlook.estimated)
            made.add_figure("inferspan_realized_score", key, outlook.realized)
            low, high = outlook.thresholds.low, outlook.thresholds.high
            made.add("inferspan_estimated_score_threshold_lower", key, low)
            made.add("inferspan_estimated_score_threshold_upper", key, high)
            if outlook.gap is not None:
                made.add("inferspan_estimate_gap", key, outlook.gap.value)
                made.add("inferspan_estimate_gap_lower", key, outlook.gap.low)
                made.add("inferspan_estimate_gap_upper", key, outlook.gap.high)
            if outlook.significant is not None:
                made.add("inferspan_estimate_gap_significant", key, float(outlook.significant))

    def _drift(self, made: _Made, group: Labels, rows: RowColumns, known: Reference) -> None:
        places = np.zeros(len(rows), np.int64)
        for column in followed(
            known.columns(),
            rows,
            places,
            1,
            lambda name: learning.constants_of(self._section, name),
        ):
            name = label(column.name)
            made.noticed.add_drift(rows.version[0], column.name, column.figures)
            key = (*group, name, self._window)
            made.add("inferspan_drift_values", key, float(column.counts.values[0]))
            for method, course in column.figures.items():
                key = (*group, name, method, self._window)
                made.add("inferspan_drift_score", key, float(course.values[0]))
                limits = course.thresholds
                made.add("inferspan_drift_score_threshold_lower", key, limits.low)
                made.add("inferspan_drift_score_threshold_upper", key, limits.high)

    def _rows(self, target: str, window: str, *, features: bool = False) -> RowColumns:
        return self._reader.rows(self._query(target, window, features=features))

    def _query(self, target: str, window: str, *, features: bool) -> RowQuery:
        return RowQuery(
            model=self._model,
            target=target,
            start_ns=(self._end - span_minutes(window)) * MINUTE_NS,
            end_ns=self._end * MINUTE_NS,
            most=min(self._config.limits.query_rows, ROWS_MAX),
            features=features,
        )

    def _group(self, environment: str | None, version: str | None) -> Labels:
        return label(environment), label(self._model), label(version)
