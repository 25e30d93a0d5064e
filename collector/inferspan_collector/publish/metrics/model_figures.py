"""What `/metrics` says of one model at one moment that needs its rows, or its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from inferspan_collector.config import Config, Model, span_minutes
from inferspan_collector.drift.passes import followed
from inferspan_collector.estimates.outlook import outlooks
from inferspan_collector.estimates.settling import Curve, curve
from inferspan_collector.estimates.settling import counted as counted_lags
from inferspan_collector.publish import learning
from inferspan_collector.publish.foreseeing import thresholds_of
from inferspan_collector.publish.measuring import measurements
from inferspan_collector.publish.metrics.families import Labels, label
from inferspan_collector.publish.metrics.offline import offline
from inferspan_collector.publish.metrics.row_gauges import Made
from inferspan_collector.publish.metrics.slices import slices
from inferspan_collector.publish.metrics.windows import AVERAGED, SINGLE, Scored, scored
from inferspan_collector.publish.quality_json import Rest, default_average, windows_json
from inferspan_collector.publish.references import Reference, reference
from inferspan_collector.quality import weighing
from inferspan_collector.quality.business import costs
from inferspan_collector.quality.counted_windows import CountedWindows, counted
from inferspan_collector.quality.figure import Figure, positive_class
from inferspan_collector.quality.short_names import SHORT_NAMES
from inferspan_collector.store.cells import MINUTE_NS, CellQuery
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.row_columns import RowColumns, RowQuery

ROWS_MAX: Final = 100_000
"""Rows of a window that are read, the newest ones: with 25 features some 40 MB."""
GROUPS_MAX: Final = 20
"""Pairs of environment and version of a model that estimates and drift are made for."""
LAG_QUANTILES: Final = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}
_BY: Final = ("environment", "version")


class ModelFigures:
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
        self._rows_max = min(config.limits.query_rows, ROWS_MAX)

    def make(self, made: Made, targets: Sequence[str]) -> None:
        """All of them; figures of quality for each of some targets."""
        for target in targets:
            self._quality(made, target)
            if self._reader.weighs():
                self._weighed(made, target)
        self._of_rows(made, self._section.primary_target)
        self._of_slices(made, self._section.primary_target)
        offline(made, self._reader, self._model)

    def _of_slices(self, made: Made, target: str) -> None:
        start, end = self._end - self._minutes, self._end
        query = CellQuery(model=self._model, target=target, start=start, end=end)
        found = slices(self._reader, query, self._window, self._rows_max)
        made.folded_slices = found.folded
        for key, n in found.predictions.items():
            made.add("inferspan_slice_predictions", key, n)
        for key, figure in found.scores.items():
            made.add_figure("inferspan_slice_score", key, figure)

    def _weighed(self, made: Made, target: str) -> None:
        """Figures of counts of every window, of rows that stand for more or less than themselves.

        Counters do not know what rows weigh, so scrapes alone would show other figures than the
        API.
        """
        positive = self._section.canonical(self._section.positive_class)
        for window in self._config.publish.quality_windows:
            start = self._end - span_minutes(window)
            query = CellQuery(model=self._model, target=target, start=start, end=self._end, by=_BY)
            windows = counted(self._reader, query)
            weights = weighing.weighed(self._reader, query, windows, self._rows_max)
            if weights is None:
                continue
            keys = [
                (window, (*self._group(environment, version), label(target)))
                for _, (environment, version) in windows.keys
            ]
            positives = [
                positive_class(windows.counts(row), positive) for row in range(len(windows))
            ]
            made.weighed.extend(scored(windows, keys, positives, weights))

    def _quality(self, made: Made, target: str) -> None:
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
            measured = measurements(self._reader, asked, of, self._section, self._rows_max)
            names.update(set(measured.names) - set(SHORT_NAMES.values()))
            seen = (query.start or 0, query.end or 0)
            weights = weighing.weighed(self._reader, asked, of, self._rows_max)
            rest = Rest(measured, (), self._section.minimum_n, weights)
            return windows_json(asked, of, average, positive, seen, rest)

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

    def _of_rows(self, made: Made, target: str) -> None:
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

    def _lags(self, made: Made, labels: Labels, rows: RowColumns) -> Curve:
        known = ~rows.failed
        lags = curve(counted_lags(rows.lag[known], self._now_ns - rows.event_time[known]))
        for name, q in LAG_QUANTILES.items():
            ns = lags.quantile_ns(q)
            seconds = None if ns is None else ns / 1e9
            made.add("inferspan_label_lag_seconds", (*labels, name, self._longest), seconds)
        return lags

    def _estimates(
        self, made: Made, labels: Labels, answering: RowColumns, known: Reference
    ) -> None:
        foreseen = known.foresight(self._section.canonical(self._section.positive_class))
        if foreseen.reason is not None:
            return
        thresholds = thresholds_of(known, foreseen, self._section)
        found = outlooks(answering, foreseen, thresholds, self._section.minimum_n)
        for name, outlook in found.items():
            key = (*labels, name, self._window)
            made.add_figure("inferspan_estimated_score", key, outlook.estimated)
            made.add_figure("inferspan_realized_score", key, outlook.realized)
            if outlook.known:
                # A threshold that a few rows cross by chance would alert.
                low, high = outlook.thresholds.low, outlook.thresholds.high
                made.add("inferspan_estimated_score_threshold_lower", key, low)
                made.add("inferspan_estimated_score_threshold_upper", key, high)
            if outlook.gap is not None:
                made.add("inferspan_estimate_gap", key, outlook.gap.value)
                made.add("inferspan_estimate_gap_lower", key, outlook.gap.low)
                made.add("inferspan_estimate_gap_upper", key, outlook.gap.high)
            if outlook.significant is not None:
                made.add("inferspan_estimate_gap_significant", key, float(outlook.significant))

    def _drift(self, made: Made, group: Labels, rows: RowColumns, known: Reference) -> None:
        places = np.zeros(len(rows), np.int64)
        for column in followed(
            known.columns(),
            rows,
            places,
            1,
            lambda name: learning.constants_of(self._section, name),
            self._section.minimum_n,
        ):
            name = label(column.name)
            made.noticed.add_drift(rows.version[0], column.name, column.figures)
            key = (*group, name, self._window)
            made.add("inferspan_drift_values", key, float(column.counts.n_values[0]))
            for method, course in column.figures.items():
                key = (*group, name, method, self._window)
                made.add("inferspan_drift_score", key, float(course.values[0]))
                if course.known[0]:
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
            most=self._rows_max,
            features=features,
        )

    def _group(self, environment: str | None, version: str | None) -> Labels:
        return label(environment), label(self._model), label(version)
