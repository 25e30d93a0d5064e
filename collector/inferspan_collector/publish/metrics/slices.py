"""How right a model is within each slice: gauges of the first window, corrections applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from inferspan_collector.publish.metrics.families import GROUP, Labels, label, top
from inferspan_collector.quality import quality_figures, weighing
from inferspan_collector.quality.counted_windows import CountedWindows, counted
from inferspan_collector.quality.counts import merged
from inferspan_collector.quality.figure import AVERAGES, Figure, Question
from inferspan_collector.quality.weighing import Weighed
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.reader import Reader
from inferspan_collector.telemetry import OTHER

SLICED: Final = (*GROUP, "slice", "value", "window")
SLICE_SCORE: Final = (*GROUP, "target", "slice", "value", "metric", "window")
KEYS_MAX: Final = 10
"""Slices of a model that have gauges, in the order of the alphabet; each costs a question."""
VALUES_MAX: Final = 20
"""Values of a slice that have gauges of their own, those with the most predictions."""
FIGURE: Final = "accuracy"


@dataclass(frozen=True, slots=True)
class Slices:
    """What the slices of a model hold."""

    predictions: dict[Labels, int]
    """Labels of `SLICED` → predictions."""
    scores: dict[Labels, Figure]
    """Labels of `SLICE_SCORE` → a figure that has a value."""
    folded: int
    """Values that share the gauge of `__other__`, and slices without any."""


def slices(reader: Reader, asked: CellQuery, window: str, rows_max: int) -> Slices:
    """Count and judge a model's predictions by each of its slices, one slice at a time.

    Args:
        reader: of the store.
        asked: the model, the target and the minutes.
        window: the label `window`.
        rows_max: as for `weighing.weighed`.

    Raises:
        duckdb.Error: the store cannot be read.
    """
    model = asked.model or ""
    keys = sorted(reader.slice_values(model))
    found = Slices({}, {}, 0)
    folded = len(keys[KEYS_MAX:])
    for key in keys[:KEYS_MAX]:
        query = replace(asked, by=("environment", "version", f"slice.{key}"))
        windows = counted(reader, query)
        weights = weighing.weighed(reader, query, windows, rows_max)
        groups: dict[Labels, dict[str, int]] = defaultdict(dict)
        for row, (_, (environment, version, value)) in enumerate(windows.keys):
            if value is not None:
                key_of = (label(environment), label(model), label(version))
                groups[key_of][label(value)] = row
        for group, values in groups.items():
            shown = dict(_folded(values, windows))
            folded += len(values) - len(values.keys() & shown.keys())
            for value, rows in shown.items():
                n = int(windows.predictions[rows].sum())
                found.predictions[(*group, label(key), value, window)] = n
                figure = _accuracy(rows, windows, weights)
                if figure.value is not None:
                    place = (*group, label(asked.target), label(key), value, FIGURE, window)
                    found.scores[place] = figure
    return Slices(found.predictions, found.scores, folded)


def _folded(values: dict[str, int], windows: CountedWindows) -> Iterator[tuple[str, list[int]]]:
    """Each of the largest by itself, and the rest as one: what the store folded is part of it."""
    sizes: dict[Labels, int] = {
        (value,): int(windows.predictions[row]) for value, row in values.items() if value != OTHER
    }
    own = {text for (text,) in top(sizes, VALUES_MAX)}
    rest = [row for value, row in values.items() if value not in own]
    yield from ((value, [row]) for value, row in values.items() if value in own)
    if rest:
        yield OTHER, rest


def _accuracy(rows: list[int], windows: CountedWindows, weights: Weighed | None) -> Figure:
    """Of some rows of the counts together."""
    counts = merged(windows.counts(row) for row in rows)
    weighed = None if weights is None else weights.accuracy(rows, counts.judged)
    return weighed or quality_figures(counts, Question(AVERAGES[0]))[FIGURE]
