"""Gauges of the predictions of the last windows, corrections applied: they may fall."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
from prometheus_client.metrics_core import Metric

from inferspan_collector.batches import Strings
from inferspan_collector.config import Config, span_minutes
from inferspan_collector.latency_sketch import buckets_within, quantiles_of_rows_ns
from inferspan_collector.publish.metrics.families import (
    GROUP,
    Folding,
    Labels,
    capped,
    fold,
    gauge,
    group_labels,
    label,
    leave_out,
    top,
)
from inferspan_collector.quality import coverage, many_windows
from inferspan_collector.quality.counted_windows import CountedWindows, Tallied, tally
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import (
    AVERAGES,
    BINARY,
    MACRO,
    Figure,
    Question,
    positive_class,
)
from inferspan_collector.quality.weighing import Weighed
from inferspan_collector.store.cells import (
    MINUTE_NS,
    SERIES_KEYS,
    ArrivalCells,
    Groups,
    OutcomeCells,
    PredictionCells,
)
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.trailing import Trailing

TARGETS_MAX: Final = 20
"""Targets that have gauges: each costs its figures in every group and window."""
SERIES_PER_GROUP_MAX: Final = 20
"""Figures × averages of one group and window; a conformance test holds it."""
AVERAGED: Final = ("precision", "recall", "f1")
SINGLE: Final = ("accuracy", "balanced_accuracy", "matthews_corrcoef", "cohen_kappa", "coverage")
"""Figures of counts that have gauges, with and without an average; the API has more. Each costs a
series in every group and window."""
QUANTILES: Final = {"0.5": 0.5, "0.95": 0.95, "0.99": 0.99}
"""By the label `share`: Prometheus keeps the label `quantile` for its own summaries."""
TARGETED: Final = (*GROUP, "target")
SCORE: Final = (*TARGETED, "metric", "average", "window")
_BY: Final = (*GROUP, "task", "positive_class")
_BY_AT: Final = [SERIES_KEYS.index(key) for key in _BY]
_MODEL: Final = GROUP.index("model")

Windowed = dict[tuple[str, Labels], Counts]
"""(window, labels of `TARGETED`) → what it holds."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A figure with its labels."""

    labels: Labels
    figure: Figure


class Windows:
    """Makes the gauges anew at every scrape.

    Args:
        config: windows, models and limits.
        folding: counts what a limit folds.
    """

    def __init__(self, config: Config, folding: Folding) -> None:
        self._config, self._folding = config, folding
        self._minutes = {text: span_minutes(text) for text in config.publish.quality_windows}
        self._room = config.limits.metric_series

    def families(
        self,
        reader: Reader,
        now_ns: int,
        beside: Iterable[Scored] = (),
        weighed: Iterable[Scored] = (),
    ) -> list[Metric]:
        """The gauges at one moment, by three questions to the store.

        Args:
            reader: of the store.
            now_ns: the moment.
            beside: figures that are made elsewhere, to be shown among these.
            weighed: figures of counts whose rows do not all weigh one; they stand for those here.

        Raises:
            duckdb.Error: the store cannot be read.
        """
        if not self._minutes:
            return []
        end = now_ns // MINUTE_NS + 1
        found = reader.trailing([end - minutes for minutes in self._minutes.values()], end)
        counted = self._folded(self._counted(found, self._targets(reader.arrivals())))
        return [
            *self._calls(found),
            *scores(chain(self._scored(counted, weighed), beside)),
            *banded(
                "inferspan_quality_coverage_ratio",
                "Labelled share of the predictions.",
                (*TARGETED, "window"),
                _coverages(counted),
            ),
            self._confusion(counted),
        ]

    def _targets(self, cells: ArrivalCells) -> Mapping[str, set[str]]:
        """Target → models that have labels of it, at most `TARGETS_MAX`, the commonest first; a
        model's primary target is there without.
        """
        models_of: dict[str, set[str]] = defaultdict(set)
        model_at = SERIES_KEYS.index("model")
        for series, target in zip(cells.series, cells.target, strict=True):
            model = series[model_at] or ""
            models_of[target].add(model)
            models_of[self._config.model(model).primary_target].add(model)
        kept = top({(t,): len(models) for t, models in models_of.items()}, TARGETS_MAX)
        self._folding.count("target", len(models_of) - len(kept))
        return {target: models for target, models in models_of.items() if (target,) in kept}

    def _counted(self, found: Trailing, targets: Mapping[str, set[str]]) -> Windowed:
        """Per window and group, each target that its model has."""
        counted: dict[tuple[str, Labels], list[Counts]] = defaultdict(list)
        primary = {
            group[_MODEL]: self._config.model(group[_MODEL] or "").primary_target
            for group in {_texts(found, number) for number in found.series}
        }
        windows, predictions = list(self._minutes), _predictions(found)
        for target in {*targets, *primary.values()}:
            outcomes = _outcomes(found, target)
            found_here = tally(GROUP, predictions, outcomes)
            for row, (place, group) in enumerate(found_here.keys):
                model = group[_MODEL] or ""
                if model in targets.get(target, ()) or primary.get(model) == target:
                    key = (*(label(text) for text in group), label(target))
                    counted[windows[place], key].append(found_here.counts(row))
        return {key: merged(parts) for key, parts in counted.items()}

    def _folded(self, counted: Windowed) -> Windowed:
        """The groups with the most predictions of each window, and the rest added up."""
        room = max(1, self._room // (SERIES_PER_GROUP_MAX * len(self._minutes)))
        shown: Windowed = {}
        for window in self._minutes:
            groups = {key: counts for (at, key), counts in counted.items() if at == window}
            own = top({key: counts.predictions for key, counts in groups.items()}, room)
            self._folding.count("score", len(groups) - len(own))
            for key, parts in fold(groups, own).items():
                shown[window, key] = merged(parts)
        return shown

    def _scored(self, counted: Windowed, weighed: Iterable[Scored]) -> Iterable[Scored]:
        positives = [
            positive_class(each, self._positive(key[_MODEL])) for (_, key), each in counted.items()
        ]
        columns = CountedWindows.of(list(counted.values()))
        found = {each.labels: each for each in scored(columns, list(counted), positives)}
        # What a limit has folded stays so.
        found |= {each.labels: each for each in weighed if each.labels in found}
        return found.values()

    def _positive(self, model: str) -> str | None:
        section = self._config.model(model)
        return section.canonical(section.positive_class)

    def _calls(self, found: Trailing) -> list[Metric]:
        """Predictions and their latencies."""
        groups = {number: group_labels(texts) for number, texts in found.series.items()}
        names = sorted(set(groups.values()))
        places = {name: place for place, name in enumerate(names)}
        rows = found.predictions
        group = np.array([places[groups[n]] for n in rows.series.tolist()], np.int64)
        predictions: dict[Labels, int] = {}
        quantiles: dict[Labels, float] = {}
        within: dict[Labels, float] = {}
        for column, window in enumerate(self._minutes):
            n = rows.n[:, column]
            for failed, status in ((False, "ok"), (True, "error")):
                chosen = rows.failed == failed
                sums = np.bincount(group[chosen], n[chosen], len(names))
                for name, total in zip(names, sums.tolist(), strict=True):
                    if total or not failed:
                        predictions[(*name, status, window)] = int(total)
            held = n > 0
            called = Tallied.of(
                group[held], rows.bucket[held].astype(np.int64), n[held], np.iinfo(np.int16).max + 1
            )
            of_groups = quantiles_of_rows_ns(
                called.row, called.what, called.n, len(names), tuple(QUANTILES.values())
            )
            for quantile, values in zip(QUANTILES, of_groups.tolist(), strict=True):
                for name, value in zip(names, values, strict=True):
                    if value == value:
                        quantiles[(*name, quantile, window)] = value / 1e9
            for place, name in enumerate(names):
                limit = self._config.model(name[_MODEL]).latency_objective_ms
                mine = called.row == place if limit is not None else np.zeros(0, np.bool_)
                if limit is not None and mine.any():
                    counts = called.n[mine]
                    good = counts[buckets_within(called.what[mine], limit * 1e6)].sum()
                    within[(*name, window)] = float(good / counts.sum())
        for values in (quantiles, within):
            leave_out(values, self._room, self._folding, "latency")
        return [
            capped(
                "inferspan_window_predictions",
                "Predictions of the window.",
                (*GROUP, "status", "window"),
                predictions,
                self._room,
                self._folding,
            ),
            gauge(
                "inferspan_latency_quantile_seconds",
                "How long a share of the calls took at most, failed ones too.",
                (*GROUP, "share", "window"),
                quantiles,
            ),
            gauge(
                "inferspan_latency_within_ratio",
                "Share of calls within their model's latency objective.",
                (*GROUP, "window"),
                within,
            ),
        ]

    def _confusion(self, counted: Windowed) -> Metric:
        cells = {
            (*key, label(predicted), label(actual), window): n
            for (window, key), counts in counted.items()
            for (predicted, actual), n in counts.confusion.items()
        }
        return capped(
            "inferspan_quality_confusion",
            "Judged predictions per predicted and actual class.",
            (*TARGETED, "predicted", "actual", "window"),
            cells,
            self._room,
            self._folding,
        )


def scored(
    windows: CountedWindows,
    keys: Sequence[tuple[str, Labels]],
    positives: Sequence[str | None],
    weights: Weighed | None = None,
) -> Iterator[Scored]:
    """The figures of counts that have gauges.

    Args:
        windows: the counts.
        keys: (label `window`, labels of `TARGETED`) of each.
        positives: the positive class of each, None where it is not known.
        weights: what the rows weigh, where they do not all weigh one.
    """
    matrices = windows.matrices()
    for average in AVERAGES:
        known = many_windows.many(windows, matrices, average, positives, weights)
        for row, (window, key) in enumerate(keys):
            if average == BINARY and positives[row] is None:
                # Of no class, so of nothing.
                continue
            question = Question(average, positives[row])
            figures = many_windows.figures_of(known, windows, row, question, weights)
            for name, figure in figures.items():
                if name in AVERAGED or (name in SINGLE and average == MACRO):
                    shown = average if name in AVERAGED else ""
                    if name != "coverage":
                        yield Scored((*key, name, shown, window), figure)


def scores(each: Iterable[Scored]) -> list[Metric]:
    """Figures of quality."""
    return banded("inferspan_quality_score", "Quality by prediction time.", SCORE, each)


def banded(name: str, text: str, labels: tuple[str, ...], scored: Iterable[Scored]) -> list[Metric]:
    """Figures, the ends of their intervals, and what they rest on; what has no value has none."""
    values: tuple[dict[Labels, float], ...] = ({}, {}, {}, {})
    for each in scored:
        figure = each.figure
        if figure.value is None:
            continue
        values[0][each.labels] = figure.value
        values[3][each.labels] = figure.n
        if figure.low is not None and figure.high is not None:
            values[1][each.labels], values[2][each.labels] = figure.low, figure.high
    return [
        gauge(name, text, labels, values[0]),
        gauge(f"{name}_lower", "Lower end of its 95 % interval.", labels, values[1]),
        gauge(f"{name}_upper", "Upper end of its 95 % interval.", labels, values[2]),
        gauge(f"{name}_n", "Rows that it rests on.", labels, values[3]),
    ]


def _coverages(counted: Windowed) -> Iterator[Scored]:
    for (window, key), counts in counted.items():
        figure = coverage.figures(counts, Question(MACRO))["coverage"]
        yield Scored((*key, window), figure)


def _texts(found: Trailing, number: int) -> tuple[str | None, ...]:
    return tuple(found.series[number][at] for at in _BY_AT)


def _predictions(found: Trailing) -> PredictionCells:
    """Per window, series and outcome of the call; durations are shown apart."""
    rows = found.predictions
    numbers, places = np.unique(rows.series, return_inverse=True)
    keys = places * 2 + rows.failed
    columns = [
        np.bincount(keys, rows.n[:, window], 2 * len(numbers)).astype(np.int64)
        for window in range(rows.n.shape[1])
    ]
    cells = [
        (window, int(key), int(column[key]))
        for window, column in enumerate(columns)
        for key in np.flatnonzero(column)
    ]
    texts = {number: _texts(found, number) for number in numbers.tolist()}
    return PredictionCells(
        by=_BY,
        window=np.array([window for window, _, _ in cells], np.int64),
        groups=Groups.of(texts[int(numbers[key // 2])] for _, key, _ in cells),
        failed=np.array([key % 2 == 1 for _, key, _ in cells], np.bool_),
        bucket=np.zeros(len(cells), np.int16),
        n=np.array([n for _, _, n in cells], np.int64),
    )


def _outcomes(found: Trailing, target: str) -> OutcomeCells:
    """Those of a target, per window."""
    rows = found.outcomes
    mine = np.flatnonzero(np.array([text == target for text in rows.target], np.bool_))
    window, place = np.nonzero(rows.n[mine].T)
    chosen = mine[place]
    return OutcomeCells(
        by=_BY,
        window=window.astype(np.int64),
        groups=Groups.of(_texts(found, number) for number in rows.series[chosen].tolist()),
        predicted=Strings.of(rows.predicted[row] for row in chosen.tolist()),
        actual=Strings.of(rows.actual[row] for row in chosen.tolist()),
        correct=rows.correct[chosen],
        n=rows.n[chosen, window],
    )
