"""How right a model is within each slice: gauges of the first window, corrections applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inferspan_collector.publish.metrics.families import GROUP, Labels, label, top
from inferspan_collector.quality import quality_figures
from inferspan_collector.quality.counted_windows import grouped_counts
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import AVERAGES, Figure, Question
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.reader import Reader
from inferspan_collector.telemetry import OTHER

SLICED: Final = (*GROUP, "slice", "value", "window")
SLICE_SCORE: Final = (*GROUP, "target", "slice", "value", "metric", "window")
KEYS_MAX: Final = 10
"""Slices of a model that have gauges, in the order of the alphabet; each costs a question."""
VALUES_MAX: Final = 20
"""Values of a slice that have gauges of their own, those with the most predictions."""
FIGURES: Final = ("accuracy",)


@dataclass(frozen=True, slots=True)
class Slices:
    """What the slices of a model hold."""

    predictions: dict[Labels, int]
    """Labels of `SLICED` → predictions."""
    scores: dict[Labels, Figure]
    """Labels of `SLICE_SCORE` → a figure that has a value."""
    folded: int
    """Values that share the gauge of `__other__`, and slices without any."""


def slices(reader: Reader, model: str, target: str, window: str, start: int, end: int) -> Slices:
    """Count and judge a model's predictions by each of its slices, one slice at a time.

    Args:
        reader: of the store.
        model: its name.
        target: which truth.
        window: the label `window`.
        start: Unix minute, included.
        end: Unix minute, excluded.

    Raises:
        duckdb.Error: the store cannot be read.
    """
    keys = sorted(reader.slice_values(model))
    found = Slices({}, {}, 0)
    folded = len(keys[KEYS_MAX:])
    for key in keys[:KEYS_MAX]:
        by = ("environment", "version", f"slice.{key}")
        query = CellQuery(model=model, target=target, start=start, end=end, by=by)
        groups: dict[Labels, dict[str, Counts]] = defaultdict(dict)
        for (_, (environment, version, value)), counts in grouped_counts(reader, query).items():
            if value is not None:
                key_of = (label(environment), label(model), label(version))
                groups[key_of][label(value)] = counts
        for group, values in groups.items():
            shown = dict(_folded(values))
            folded += len(values) - len(values.keys() & shown.keys())
            for value, counts in shown.items():
                found.predictions[(*group, label(key), value, window)] = counts.predictions
                figures = quality_figures(counts, Question(AVERAGES[0]))
                for name in FIGURES:
                    if figures[name].value is not None:
                        place: Labels = (*group, label(target), label(key), value, name, window)
                        found.scores[place] = figures[name]
    return Slices(found.predictions, found.scores, folded)


def _folded(values: dict[str, Counts]) -> Iterator[tuple[str, Counts]]:
    """Each of the largest by itself, and the rest as one: what the store folded is part of it."""
    sizes: dict[Labels, int] = {
        (value,): counts.predictions for value, counts in values.items() if value != OTHER
    }
    own = {text for (text,) in top(sizes, VALUES_MAX)}
    rest = [counts for value, counts in values.items() if value not in own]
    yield from ((value, counts) for value, counts in values.items() if value in own)
    if rest:
        yield OTHER, merged(rest)
