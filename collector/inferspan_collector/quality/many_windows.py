"""Figures of many windows at once: those of `accuracy`, `coverage`, `classification`, in columns.

One window costs a millisecond by its families, which are the definition; a day of minutes costs
some hundredths of a second here. A test holds both to the same figures within 1e-9. What needs
words about a window (nothing judged, classes folded, a task without classes) is left to the
definition.

Cost: O(classes²) numbers a window, in arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Int64
from inferspan_collector.quality import quality_figures
from inferspan_collector.quality.class_tables import (
    Classes,
    Sums,
    Tables,
    cell_variance,
    effective,
    shares,
)
from inferspan_collector.quality.classification import (
    ONE_CLASS,
    POSITIVE_UNKNOWN,
    SAME_CLASS,
    has_classes,
)
from inferspan_collector.quality.counted_windows import CountedWindows
from inferspan_collector.quality.figure import BINARY, MICRO, WEIGHTED, Figure, Question
from inferspan_collector.quality.interval_columns import Ends, logit, wilson
from inferspan_collector.quality.intervals import Z
from inferspan_collector.quality.one_class import AVERAGED, BETAS, WITHOUT, partials
from inferspan_collector.quality.weighing import Weighed
from inferspan_collector.telemetry import OTHER

_ROWS_MAX: Final = 1 << 31
"""Rows of a window whose square an integer holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """One figure of W windows.

    `value` is NaN where it is missing, for the `reason`. `low` and `high` are NaN where there is
    no interval.
    """

    value: Float64
    low: Float64
    high: Float64
    n: Int64
    reason: str = ""

    def figure(self, row: int | tuple[int, int]) -> Figure:
        """That of one window, or of one class in it."""
        value, low, high = (float(c[row]) for c in (self.value, self.low, self.high))
        n = int(self.n[row])
        if value != value:
            return Figure.missing(self.reason, n)
        return Figure(value, n, low if low == low else None, high if high == high else None)


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """The figures of many windows, in the order that they are shown in.

    `of_each` are those of each class, [W, K]. `told` is bool[W]: of which windows they are told
    here; of all others by the definition.
    """

    columns: Mapping[str, Several]
    of_each: Mapping[str, Several]
    told: Bool

    def of(self, row: int) -> dict[str, Figure] | None:
        """Those of one window, None where the definition has to tell them."""
        if not self.told[row]:
            return None
        return {name: column.figure(row) for name, column in self.columns.items()}


def many(
    windows: CountedWindows,
    matrices: Int64 | None,
    average: str,
    positives: Sequence[str | None],
    weighed: Weighed | None = None,
) -> Figures:
    """The figures of `quality_figures`, per window.

    Args:
        windows: their counts.
        matrices: as `windows.matrices()` gives them.
        average: one of `AVERAGES`.
        positives: the positive class of each window, None where it is not known.
        weighed: what the rows weigh, where they do not all weigh one. Coverage is of rows.
    """
    if matrices is None or not windows.classes:
        return Figures({}, {}, np.zeros(len(windows), np.bool_))
    told = _told(windows, average, positives)
    with np.errstate(all="ignore"):
        tables = Tables.of(matrices, weighed)
        share = tables.each.weights.right.sum(axis=1) / tables.total
        right = Several(share, *wilson(share, tables.effective), tables.n)
        of_each = {name: _of_class(tables.each, name) for name in AVERAGED}
        columns = {"accuracy": right}
        if average == BINARY and _undeclared(windows, positives):
            nothing = np.full(len(windows), np.nan)
            unknown = Several(
                nothing, nothing, nothing, np.zeros(len(windows), np.int64), POSITIVE_UNKNOWN
            )
            columns |= dict.fromkeys(AVERAGED, unknown)
        elif average == BINARY:
            place = {name: number for number, name in enumerate(windows.classes)}
            column = np.array([place.get(text or "", -1) for text in positives], np.int64)
            of_one = tables.of_column(column)
            columns |= {name: _of_class(of_one, name) for name in AVERAGED}
        elif average == MICRO:
            columns |= _micro(tables, right)
        else:
            columns |= {name: _mean(tables, name, of_each[name], average) for name in AVERAGED}
        columns |= _singles(tables, matrices if weighed is None else tables.cells, of_each)
        columns["coverage"] = _share(windows.labelled, windows.answered)
    return Figures(columns, of_each, told)


def figures_of(
    known: Figures,
    windows: CountedWindows,
    row: int,
    question: Question,
    weighed: Weighed | None = None,
) -> dict[str, Figure]:
    """The figures of one window: told in columns, else by the definition.

    Args:
        known: of all windows, as `many` gives them.
        windows: their counts.
        row: which of them.
        question: as it was asked of all.
        weighed: what the rows weigh, where they do not all weigh one: of numbers and sets, too, the
            share that is right is then by weight.
    """
    found = known.of(row)
    if found is not None:
        return found
    counts = windows.counts(row)
    found = quality_figures(counts, question)
    right = None if weighed is None else weighed.accuracy([row], counts.judged)
    return found if right is None else {**found, "accuracy": right}


def _told(windows: CountedWindows, average: str, positives: Sequence[str | None]) -> Bool:
    """Which windows need no words of their own."""
    judged = windows.judged
    told: Bool = (judged > 0) & (judged < _ROWS_MAX)
    # Numbers and sets have no matrix, and rows of both may lie in one window.
    told &= np.bincount(windows.confusion.row, windows.confusion.n, len(windows)) == judged
    told &= np.fromiter(map(has_classes, windows.tasks), np.bool_, len(windows))
    if OTHER in windows.classes:
        told &= ~windows.present()[:, windows.classes.index(OTHER)]
    if average == BINARY and not _undeclared(windows, positives):
        told &= np.array([positive is not None for positive in positives], np.bool_)
    return told


def _undeclared(windows: CountedWindows, positives: Sequence[str | None]) -> bool:
    """Whether nobody says of any window what its positive class is."""
    return not any(windows.positive_classes) and all(each is None for each in positives)


def _share(above: Int64, below: Int64) -> Several:
    n = below.astype(np.float64)
    share = above / np.where(n > 0, n, np.nan)
    return Several(share, *wilson(share, n), below)


def _of_class(of: Classes, name: str) -> Several:
    """A figure of one class or several; NaN without a denominator."""
    below = of.weights.below(name)
    n = of.counts.below(name).astype(np.int64)
    worth = effective(below, of.squares.below(name))
    if name in BETAS:
        value, low, high = _fbeta(of, worth, BETAS[name] ** 2)
    else:
        value = of.weights.above(name) / np.where(n > 0, below, np.nan)
        low, high = wilson(value, worth)
    return Several(value, low, high, n, WITHOUT[name])


def _fbeta(of: Classes, worth: Float64, square: float) -> tuple[Float64, Float64, Float64]:
    """As `one_class._fbeta_interval`; of rows that weigh, the linearised variance of the ratio."""
    tp, fp, fn = _right_and_wrong(of.weights)
    n = tp + fp + fn
    below = (1 + square) * tp + square * fn + fp
    value = (1 + square) * tp / np.where(n > 0, below, np.nan)
    low, high = wilson(tp / np.where(n > 0, n, np.nan), worth)
    if square == 1.0:
        return value, 2 * low / (1 + low), 2 * high / (1 + high)
    least, most = min(1.0, square), max(1.0, square)
    ends = [
        (1 + square) * share / ((1 + square) * share + worst * (1 - share))
        for share, worst in ((low, most), (high, least))
    ]
    slopes = [(1 + square) * (1 - value) / below, -value / below, -square * value / below]
    mean = sum(c * s for c, s in zip((tp, fp, fn), slopes, strict=True)) / np.where(n > 0, n, 1)
    squares = _right_and_wrong(of.squares)
    variance = sum(c * (s - mean) ** 2 for c, s in zip(squares, slopes, strict=True))
    inner = logit(value, np.asarray(variance))
    edge = (tp == 0) | (tp == n)
    return value, np.where(edge, ends[0], inner[0]), np.where(edge, ends[1], inner[1])


def _right_and_wrong(of: Sums) -> tuple[Float64, Float64, Float64]:
    return of.right, of.predicted - of.right, of.actual - of.right


def _mean(tables: Tables, name: str, each: Several, average: str) -> Several:
    present = tables.present
    value = np.where(present, np.nan_to_num(each.value), 0.0)
    low = np.where(np.isnan(each.low), 0.0, each.low)
    high = np.where(np.isnan(each.high), 1.0, each.high)
    weight = present / present.sum(axis=1, keepdims=True)
    if average == WEIGHTED:
        weight = tables.each.weights.actual / tables.total[:, None]
    mean = np.minimum(1.0, (weight * value).sum(axis=1))
    below = mean - np.sqrt(((weight * (value - low)) ** 2 * present).sum(axis=1))
    above = mean + np.sqrt(((weight * (high - value)) ** 2 * present).sum(axis=1))
    if name in BETAS or average == WEIGHTED:
        ends = _by_cells(tables, name, mean, value, weight, weighted=average == WEIGHTED)
        below, above = np.minimum(below, ends[0]), np.maximum(above, ends[1])
    low, high = np.maximum(0.0, np.minimum(below, mean)), np.minimum(1.0, np.maximum(above, mean))
    return Several(mean, low, high, tables.n)


def _by_cells(
    tables: Tables, name: str, mean: Float64, value: Float64, weight: Float64, *, weighted: bool
) -> Ends:
    """The delta method over the cells, as `one_class.share_interval`."""
    by_d, by_p, by_t = (weight * each for each in partials(name, *shares(tables))[1:])
    if weighted:
        by_t = by_t + value
    variance = cell_variance(tables, by_d, by_p, by_t)
    plain = ~((mean > 0) & (mean < 1)) | (variance <= 1e-18)
    edge, inner = wilson(mean, tables.effective), logit(mean, variance)
    return np.where(plain, edge[0], inner[0]), np.where(plain, edge[1], inner[1])


def _micro(tables: Tables, right: Several) -> dict[str, Several]:
    others = tables.present.sum(axis=1) - 1.0
    others = np.where(others < 1, np.nan, others)
    low, high = wilson(1 - right.value, tables.effective)
    negatives = Several(
        1 - (1 - right.value) / others, 1 - high / others, 1 - low / others, tables.n, ONE_CLASS
    )
    of_negatives = ("specificity", "negative_predictive_value")
    return {name: negatives if name in of_negatives else right for name in AVERAGED}


def _singles(
    tables: Tables, matrices: NDArray[Any], each: Mapping[str, Several]
) -> dict[str, Several]:
    # Of rows that weigh one whole numbers until the last division: near 1 what is left of 1 would
    # be rounding.
    rows = matrices.sum(axis=(1, 2))
    right = np.einsum("wkk->w", matrices)
    predicted, actual = matrices.sum(axis=2), matrices.sum(axis=1)
    chance = (predicted * actual).sum(axis=1)
    beyond = rows**2 - chance
    same = tables.present.sum(axis=1) < 2
    kappa = np.where(same, np.nan, 1 - _ratio((rows - right) * rows, beyond))
    spreads = [rows**2 - (each**2).sum(axis=1) for each in (predicted, actual)]
    below = np.sqrt(spreads[0].astype(np.float64) * spreads[1])
    # As the definition has it, a constant correlates with nothing, and has no interval.
    of = tables.each.counts
    constant = ((of.predicted > 0).sum(axis=1) < 2) | ((of.actual > 0).sum(axis=1) < 2)
    matthews = np.where(constant, 0.0, _ratio(right * rows - chance, below))

    squared = tables.total**2
    left, agreed = beyond / squared, right / tables.total
    _, p, t = shares(tables)
    ones = np.ones_like(p)
    slope = ((1 - agreed) / left**2)[:, None]
    kappa_variance = cell_variance(tables, ones / left[:, None], -slope * t, -slope * p)
    a, b = (spread / squared for spread in spreads)
    root = np.sqrt(a * b)
    by_p = -t / root[:, None] + (matthews / a)[:, None] * p
    by_t = -p / root[:, None] + (matthews / b)[:, None] * t
    matthews_variance = cell_variance(tables, ones / root[:, None], by_p, by_t)
    correlation = _coefficient(tables, matthews, matthews_variance, left)
    no_interval = [np.where(constant, np.nan, end) for end in (correlation.low, correlation.high)]
    return {
        "balanced_accuracy": _balanced(tables, each["recall"]),
        "matthews_corrcoef": Several(
            correlation.value, no_interval[0], no_interval[1], correlation.n
        ),
        "cohen_kappa": _coefficient(tables, kappa, kappa_variance, left),
    }


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> Float64:
    found: Float64 = above / np.where(below > 0, below, np.nan)
    return found


def _balanced(tables: Tables, recall: Several) -> Several:
    held = tables.each.counts.actual > 0
    share = held / held.sum(axis=1, keepdims=True)
    value = np.where(held, recall.value * share, 0.0).sum(axis=1)
    ends = [
        np.sqrt(np.where(held, (share * (recall.value - end)) ** 2, 0.0).sum(axis=1))
        for end in (recall.low, recall.high)
    ]
    low, high = np.maximum(0.0, value - ends[0]), np.minimum(1.0, value + ends[1])
    return Several(value, low, high, tables.n)


def _coefficient(tables: Tables, value: Float64, variance: Float64, left: Float64) -> Several:
    value = np.clip(value, -1.0, 1.0)
    away = wilson(np.zeros_like(left), tables.effective)[1] / left
    plain = (np.abs(value) > 1 - 1e-12) | (variance < 1e-15)
    z = np.arctanh(np.where(plain, 0.0, value))
    half = Z * np.sqrt(variance) / (1 - value**2)
    low = np.where(plain, np.maximum(-1.0, value - away), np.tanh(z - half))
    high = np.where(plain, np.minimum(1.0, value + away), np.tanh(z + half))
    return Several(value, np.minimum(low, value), np.maximum(high, value), tables.n, SAME_CLASS)
