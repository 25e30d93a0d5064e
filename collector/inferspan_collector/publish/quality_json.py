"""Counts → the JSON of the quality endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from inferspan_collector.batches import Int64
from inferspan_collector.latency_sketch import quantiles_of_rows_ns
from inferspan_collector.publish.measuring import PER_CLASS, Measurements
from inferspan_collector.publish.window_ends import window_ends
from inferspan_collector.quality import classification, many_windows
from inferspan_collector.quality.counted_windows import CountedWindows
from inferspan_collector.quality.counts import Counts, Key
from inferspan_collector.quality.figure import BINARY, MACRO, Figure, Question, positive_class
from inferspan_collector.quality.latency import QUANTILES
from inferspan_collector.quality.many_windows import Figures, Several
from inferspan_collector.quality.weighing import Weighed
from inferspan_collector.store.cells import CellQuery

PER_CLASS_MAX: Final = 500
"""Windows × groups that show the figures of each class unasked."""
CLASS_ROWS_MAX: Final = 10_000
"""Classes of all windows × groups whose figures are shown: each is a kilobyte."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What a window shows beside its counts."""

    measurements: Measurements = field(default_factory=Measurements)
    include: tuple[str, ...] = ()
    minimum_n: int = 1
    weighed: Weighed | None = None
    """What the labelled rows weigh, where they do not all weigh one."""


def default_average(total: Counts, configured_positive: str | None) -> str:
    """Binary if the positive class is known, else macro."""
    return MACRO if positive_class(total, configured_positive) is None else BINARY


def shows_each_class(windows: CountedWindows, include: tuple[str, ...]) -> bool:
    """Whether an answer holds figures of each class: asked for, or few enough."""
    few = len(windows) <= PER_CLASS_MAX and class_rows(windows) <= CLASS_ROWS_MAX
    return few or PER_CLASS in include


def class_rows(windows: CountedWindows) -> int:
    """How many classes all windows hold, each counted in every one."""
    return int(windows.present().sum())


def windows_json(
    query: CellQuery,
    windows: CountedWindows,
    average: str,
    configured_positive: str | None,
    seen: tuple[int, int],
    rest: Rest,
) -> list[dict[str, Any]]:
    """The list `windows`, in the order of the counts.

    Args:
        query: what was asked; its `start` and `end` cut the windows at the edges, and a window
            that was cut is shown as long as it was counted.
        windows: counts per window and group.
        average: one of `AVERAGES`.
        configured_positive: the model's configured positive class.
        seen: first minute of the model and the minute after its last, Unix: the ends of a
            single window where the query leaves them open.
        rest: what is said beside the counts.
    """
    positives = _positives(windows, configured_positive)
    matrices = windows.matrices()
    known = many_windows.many(windows, matrices, average, positives, rest.weighed)
    told = known.told.tolist()
    coverage = (windows.judged / np.maximum(windows.answered, 1)).tolist()
    metrics = _metrics(known, rest.minimum_n, coverage)
    confusion, latency = _confusion(windows, matrices), _latency(windows)
    per_class = shows_each_class(windows, rest.include)
    of_each = _per_class(windows, known, rest.minimum_n, coverage) if per_class else []
    numbers = zip(
        windows.predictions.tolist(),
        windows.errors.tolist(),
        windows.labelled.tolist(),
        strict=True,
    )
    shown = []
    for row, ((window, group), (predictions, errors, labelled)) in enumerate(
        zip(windows.keys, numbers, strict=True)
    ):
        question = Question(average, positives[row])
        if not told[row]:
            figures = many_windows.figures_of(known, windows, row, question, rest.weighed)
            metrics[row] = {
                name: figure_json(figure, rest.minimum_n, _covered(name, coverage[row]))
                for name, figure in figures.items()
            }
        start, end = window_ends(query, window, seen)
        one = {
            "start": start,
            "end": end,
            "group": dict(zip(query.by, group, strict=True)),
            "predictions": predictions,
            "errors": errors,
            "labeled": labelled,
            "coverage": metrics[row]["coverage"]["value"],
            "metrics": metrics[row],
            "per_class": of_each[row] if per_class else {},
            "confusion": confusion[row],
            "latency": {"count": predictions, **latency[row]},
        }
        if rest.weighed is not None:
            one["weights"] = _weights(rest.weighed, row)
        if rest.measurements.says(rest.include):
            weights = None if rest.weighed is None else rest.weighed.cells(row, windows.classes)
            counts = windows.counts(row)
            figures = rest.measurements.figures((window, group), counts, question, weights)
            _with_rest(one, (window, group), counts, figures, rest, per_class)
        shown.append(one)
    return shown


def _positives(windows: CountedWindows, configured: str | None) -> list[str | None]:
    """The positive class of each window: its own, else that of all."""
    if configured is not None:
        return [configured] * len(windows)
    declared = frozenset().union(*windows.positive_classes)
    overall = next(iter(declared)) if len(declared) == 1 else None
    return [next(iter(mine)) if len(mine) == 1 else overall for mine in windows.positive_classes]


def _covered(name: str, coverage: float) -> float | None:
    """The coverage of a figure of counts; that of the coverage is itself."""
    return None if name == "coverage" else coverage


def _metrics(
    known: Figures, minimum_n: int, coverage: list[float]
) -> list[dict[str, dict[str, Any]]]:
    """The figures of each window by name; of windows that are not told, nothing to be shown."""
    if not known.columns:
        return [{} for _ in known.told]
    columns = [
        _figures_json(figure, known, minimum_n, coverage if _covered(name, 1.0) else None)
        for name, figure in known.columns.items()
    ]
    names = list(known.columns)
    return [dict(zip(names, figures, strict=True)) for figures in zip(*columns, strict=True)]


def _figures_json(
    figure: Several, known: Figures, minimum_n: int, coverage: list[float] | None
) -> list[dict[str, Any]]:
    """`figure_json` of each window."""
    columns = [figure.value.tolist(), figure.low.tolist(), figure.high.tolist(), figure.n.tolist()]
    if coverage is None:
        shown = [
            {"value": value, "low": low, "high": high, "n": n}
            for value, low, high, n in zip(*columns, strict=True)
        ]
    else:
        shown = [
            {"value": value, "low": low, "high": high, "n": n, "coverage": covered}
            for value, low, high, n, covered in zip(*columns, coverage, strict=True)
        ]
    odd = known.told & (np.isnan(figure.value) | np.isnan(figure.low) | (figure.n < minimum_n))
    for row in np.flatnonzero(odd).tolist():
        covered = None if coverage is None else coverage[row]
        shown[row] = figure_json(figure.figure(row), minimum_n, covered)
    return shown


def _confusion(windows: CountedWindows, matrices: Int64 | None) -> list[dict[str, Any]]:
    """The classes that each window holds, and its matrix of them."""
    if matrices is None:
        tables = (classification.confusion_matrix(windows.counts(n)) for n in range(len(windows)))
        return [{"classes": names, "actual_by_predicted": rows} for names, rows in tables]
    by_actual = matrices.transpose(0, 2, 1)
    present = windows.present()
    names = list(windows.classes)
    shown = [{"classes": names, "actual_by_predicted": rows} for rows in by_actual.tolist()]
    for row in np.flatnonzero(~present.all(axis=1)).tolist():
        held = np.flatnonzero(present[row])
        shown[row] = {
            "classes": [names[place] for place in held.tolist()] if names else [],
            "actual_by_predicted": by_actual[row][np.ix_(held, held)].tolist(),
        }
    return shown


def _latency(windows: CountedWindows) -> list[dict[str, float | None]]:
    """Quantiles in seconds, null of no calls."""
    durations = windows.durations
    found = quantiles_of_rows_ns(
        durations.row, durations.what, durations.n, len(windows), tuple(QUANTILES.values())
    )
    columns = np.where(np.isnan(found), None, found / 1e9)  # type: ignore[call-overload]
    return [
        dict(zip(QUANTILES, values, strict=True)) for values in zip(*columns.tolist(), strict=True)
    ]


def _per_class(
    windows: CountedWindows, known: Figures, minimum_n: int, coverage: list[float]
) -> list[dict[str, dict[str, Any]]]:
    """The figures of each class that a window holds, and how many rows are of it."""
    shown: list[dict[str, dict[str, Any]]] = []
    present = windows.present()
    for row, told in enumerate(known.told.tolist()):
        counts = windows.counts(row)
        support = classification.one_against_rest(counts)
        if told:
            tables = {
                windows.classes[place]: {
                    name: each.figure((row, place)) for name, each in known.of_each.items()
                }
                for place in np.flatnonzero(present[row]).tolist()
            }
        else:
            tables = classification.per_class(counts)
        shown.append(
            {
                name: {
                    **{
                        key: figure_json(figure, minimum_n, coverage[row])
                        for key, figure in table.items()
                    },
                    "support": support[name].actual,
                }
                for name, table in tables.items()
            }
        )
    return shown


def _weights(weighed: Weighed, row: int) -> dict[str, float] | None:
    """What the judged rows of a window weigh, and are worth; null where that is not known, or
    there are none.
    """
    total = float(weighed.total()[row])
    if not weighed.known[row] or total == 0:
        return None
    return {
        "total": total,
        "effective_n": float(weighed.effective()[row]),
    }


def figure_json(
    figure: Figure, minimum_n: int = 1, coverage: float | None = None
) -> dict[str, Any]:
    """A figure with its interval, n and coverage, or null with the reason.

    One that rests on fewer than `minimum_n` predictions says that it is not yet known.

    Args:
        figure: what is shown.
        minimum_n: the least that a figure has to rest on.
        coverage: the share of the predictions which have what the figure needs, where it is shown.
    """
    if figure.value is None:
        return {"value": None, "reason": figure.reason, "n": figure.n}
    found = {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
    if coverage is not None:
        found["coverage"] = coverage
    return found if figure.n >= minimum_n else {**found, "known": False}


def _with_rest(
    shown: dict[str, Any],
    key: Key,
    counts: Counts,
    figures: Mapping[str, Figure],
    rest: Rest,
    per_class: bool,
) -> None:
    """Add the figures of a window's rows; of two of one name that which can be computed."""
    answered = max(1, counts.predictions - counts.errors, counts.labelled)

    def as_json(figure: Figure) -> dict[str, Any]:
        # Of rows that have a score, or a number, or an evaluation: what the figure rests on.
        return figure_json(figure, rest.minimum_n, min(1.0, figure.n / answered))

    for name, figure in figures.items():
        if shown["metrics"].get(name, {"value": None})["value"] is None:
            shown["metrics"][name] = as_json(figure)
    for name, table in rest.measurements.per_class(key).items() if per_class else ():
        mine = shown["per_class"].setdefault(name, {})
        mine |= {each: as_json(figure) for each, figure in table.items()}
    shown |= rest.measurements.more(key, rest.include)
