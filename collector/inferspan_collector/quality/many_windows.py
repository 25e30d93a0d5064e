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
from inferspan_collector.quality.classification import ONE_CLASS, SAME_CLASS, has_classes
from inferspan_collector.quality.counted_windows import CountedWindows
from inferspan_collector.quality.figure import BINARY, MICRO, WEIGHTED, Figure
from inferspan_collector.quality.intervals import Z
from inferspan_collector.quality.one_class import AVERAGED, BETAS, WITHOUT
from inferspan_collector.telemetry import OTHER

_ROWS_MAX: Final = 1 << 31
"""Rows of a window whose square an integer holds."""
_ROUNDING: Final = 1e-12
"""Of sums of squares, many times what doubles lose."""

Ends = tuple[Float64, Float64]


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

    def figure(self, row: int) -> Figure:
        """That of one window."""
        value, low, high = (float(c[row]) for c in (self.value, self.low, self.high))
        n = int(self.n[row])
        if value != value:
            return Figure.missing(self.reason, n)
        return Figure(value, n, low if low == low else None, high if high == high else None)


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """The figures of many windows, in the order that they are shown in.

    `told` is bool[W]: of which windows they are told here; of all others by the definition.
    """

    columns: Mapping[str, Several]
    told: Bool

    def of(self, row: int) -> dict[str, Figure] | None:
        """Those of one window, None where the definition has to tell them."""
        if not self.told[row]:
            return None
        return {name: column.figure(row) for name, column in self.columns.items()}


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """float64[W, K, K] rows by predicted and actual class, and what follows."""

    cells: Float64
    right: Float64
    predicted: Float64
    actual: Float64
    rows: Float64
    present: Bool

    @classmethod
    def of(cls, counted: Int64) -> _Tables:
        cells = counted.astype(np.float64)
        predicted, actual = cells.sum(axis=2), cells.sum(axis=1)
        return cls(
            cells,
            np.einsum("wkk->wk", cells),
            predicted,
            actual,
            actual.sum(axis=1),
            predicted + actual > 0,
        )


def many(
    windows: CountedWindows,
    matrices: Int64 | None,
    average: str,
    positives: Sequence[str | None],
) -> Figures:
    """The figures of `quality_figures`, per window.

    Args:
        windows: their counts.
        matrices: as `windows.matrices()` gives them.
        average: one of `AVERAGES`.
        positives: the positive class of each window, None where it is not known.
    """
    if matrices is None or not windows.classes:
        return Figures({}, np.zeros(len(windows), np.bool_))
    told = _told(windows, average, positives)
    tables = _Tables.of(matrices)
    with np.errstate(all="ignore"):
        columns = {"accuracy": _share(windows.correct, windows.judged)}
        if average == BINARY:
            columns |= _binary(tables, windows.classes, positives)
        elif average == MICRO:
            columns |= _micro(tables)
        else:
            columns |= {name: _mean(tables, name, average) for name in AVERAGED}
        columns |= _singles(tables, matrices)
        asked = np.maximum(windows.predictions - windows.errors, windows.labelled)
        columns["coverage"] = _share(windows.labelled, asked)
    return Figures(columns, told)


def _told(windows: CountedWindows, average: str, positives: Sequence[str | None]) -> Bool:
    """Which windows need no words of their own."""
    judged = windows.judged
    told: Bool = (judged > 0) & (judged < _ROWS_MAX)
    # Numbers and sets have no matrix, and rows of both may lie in one window.
    told &= np.bincount(windows.confusion.row, windows.confusion.n, len(windows)) == judged
    told &= np.fromiter(map(has_classes, windows.tasks), np.bool_, len(windows))
    if OTHER in windows.classes:
        told &= ~windows.present()[:, windows.classes.index(OTHER)]
    if average == BINARY:
        told &= np.array([positive is not None for positive in positives], np.bool_)
    return told


def _share(above: Int64, below: Int64) -> Several:
    n = below.astype(np.float64)
    share = above / np.where(n > 0, n, np.nan)
    return Several(share, *_wilson(share, n), below)


def _binary(
    tables: _Tables, classes: Sequence[str], positives: Sequence[str | None]
) -> dict[str, Several]:
    """Of the positive class, which the rows may lack."""
    place = {name: number for number, name in enumerate(classes)}
    column = np.array([place.get(positive or "", -1) for positive in positives], np.int64)
    rows = np.arange(len(column))
    tp, p, t = (
        np.where(column >= 0, each[rows, column], 0.0)
        for each in (tables.right, tables.predicted, tables.actual)
    )
    found = {}
    for name in AVERAGED:
        value, low, high, n = _of_class(tp, p, t, tables.rows, name)
        found[name] = Several(value, low, high, n.astype(np.int64), WITHOUT[name])
    return found


def _of_class(
    tp: Float64, p: Float64, t: Float64, rows: Float64, name: str
) -> tuple[Float64, Float64, Float64, Float64]:
    """(value, low, high, n) of one class or several; NaN without a denominator."""
    if name in BETAS:
        return _fbeta(tp, p - tp, t - tp, BETAS[name] ** 2)
    tn = rows - p - t + tp
    above, below = {
        "precision": (tp, p),
        "recall": (tp, t),
        "specificity": (tn, rows - t),
        "negative_predictive_value": (tn, rows - p),
    }[name]
    share = above / np.where(below > 0, below, np.nan)
    return share, *_wilson(share, below), below


def _fbeta(
    tp: Float64, fp: Float64, fn: Float64, square: float
) -> tuple[Float64, Float64, Float64, Float64]:
    n = tp + fp + fn
    below = (1 + square) * tp + square * fn + fp
    value = (1 + square) * tp / np.where(n > 0, below, np.nan)
    low, high = _wilson(tp / np.where(n > 0, n, np.nan), n)
    if square == 1.0:
        return value, 2 * low / (1 + low), 2 * high / (1 + high), n
    least, most = min(1.0, square), max(1.0, square)
    ends = [
        (1 + square) * share / ((1 + square) * share + worst * (1 - share))
        for share, worst in ((low, most), (high, least))
    ]
    slopes = [(1 + square) * (1 - value) / below, -value / below, -square * value / below]
    first = sum(c * s for c, s in zip((tp, fp, fn), slopes, strict=True))
    second = sum(c * s * s for c, s in zip((tp, fp, fn), slopes, strict=True))
    inner = _logit(value, second - first**2 / np.where(n > 0, n, 1))
    edge = (tp == 0) | (tp == n)
    return value, np.where(edge, ends[0], inner[0]), np.where(edge, ends[1], inner[1]), n


def _mean(tables: _Tables, name: str, average: str) -> Several:
    rows = tables.rows[:, None]
    each = _of_class(tables.right, tables.predicted, tables.actual, rows, name)
    present = tables.present
    value = np.where(present, np.nan_to_num(each[0]), 0.0)
    low = np.where(np.isnan(each[1]), 0.0, each[1])
    high = np.where(np.isnan(each[2]), 1.0, each[2])
    weight = present / present.sum(axis=1, keepdims=True)
    if average == WEIGHTED:
        weight = tables.actual / rows
    mean = np.minimum(1.0, (weight * value).sum(axis=1))
    below = mean - np.sqrt(((weight * (value - low)) ** 2 * present).sum(axis=1))
    above = mean + np.sqrt(((weight * (high - value)) ** 2 * present).sum(axis=1))
    if name in BETAS or average == WEIGHTED:
        ends = _by_cells(tables, name, mean, value, weight, weighted=average == WEIGHTED)
        below, above = np.minimum(below, ends[0]), np.maximum(above, ends[1])
    low, high = np.maximum(0.0, np.minimum(below, mean)), np.minimum(1.0, np.maximum(above, mean))
    return Several(mean, low, high, tables.rows.astype(np.int64))


def _by_cells(
    tables: _Tables, name: str, mean: Float64, value: Float64, weight: Float64, *, weighted: bool
) -> Ends:
    """The delta method over the cells, as `one_class.share_interval`."""
    rows = tables.rows[:, None]
    d, p, t = tables.right / rows, tables.predicted / rows, tables.actual / rows
    by_d, by_p, by_t = (weight * each for each in _partials(name, d, p, t))
    if weighted:
        by_t = by_t + value
    variance = _cell_variance(tables, by_d, by_p, by_t)
    plain = ~((mean > 0) & (mean < 1)) | (variance <= 1e-18)
    edge, inner = _wilson(mean, tables.rows), _logit(mean, variance)
    return np.where(plain, edge[0], inner[0]), np.where(plain, edge[1], inner[1])


def _cell_variance(tables: _Tables, by_d: Float64, by_p: Float64, by_t: Float64) -> Float64:
    """Of a function whose derivative by a cell is by_p[i] + by_t[j], + by_d[i] on the diagonal."""
    rows = tables.rows[:, None]
    d, p, t = tables.right / rows, tables.predicted / rows, tables.actual / rows
    mean = (d * by_d + p * by_p + t * by_t).sum(axis=1)
    square = (d * (by_d**2 + 2 * by_d * (by_p + by_t)) + p * by_p**2 + t * by_t**2).sum(axis=1)
    # Σ cells · by_p[i] · by_t[j]
    cross = (by_p * np.matmul(tables.cells, by_t[:, :, None])[:, :, 0]).sum(axis=1) / tables.rows
    found = square + 2 * cross - mean**2
    # What rounding leaves of rows that do not disagree is no variance: that has a share of 1/n.
    scale = (d * by_d**2 + p * by_p**2 + t * by_t**2).sum(axis=1) + mean**2
    kept: Float64 = np.where(found > _ROUNDING * scale, found, 0.0) / tables.rows
    return kept


def _partials(name: str, d: Float64, p: Float64, t: Float64) -> tuple[Float64, Float64, Float64]:
    """As `one_class._partials`."""
    zero = np.zeros_like(d)
    if name == "precision":
        return _over(1.0, p), -_over(d, p * p), zero
    if name == "recall":
        return _over(1.0, t), zero, -_over(d, t * t)
    if name == "specificity":
        left = 1 - t
        slope = _over(1.0, left)
        return slope, -slope, _over(d - p, left * left)
    if name == "negative_predictive_value":
        left = 1 - p
        slope = _over(1.0, left)
        return slope, _over(d - t, left * left), -slope
    square = BETAS[name] ** 2
    both = square * t + p
    by_both = -_over((1 + square) * d, both * both)
    return _over(1 + square, both), by_both, square * by_both


def _over(above: Float64 | float, below: Float64) -> Float64:
    held = below > 1e-15
    return np.where(held, above, 0.0) / np.where(held, below, 1.0)


def _micro(tables: _Tables) -> dict[str, Several]:
    n = tables.rows.astype(np.int64)
    share = tables.right.sum(axis=1) / tables.rows
    right = Several(share, *_wilson(share, tables.rows), n)
    others = tables.present.sum(axis=1) - 1.0
    others = np.where(others < 1, np.nan, others)
    low, high = _wilson(1 - share, tables.rows)
    negatives = Several(1 - (1 - share) / others, 1 - high / others, 1 - low / others, n, ONE_CLASS)
    of_negatives = ("specificity", "negative_predictive_value")
    return {name: negatives if name in of_negatives else right for name in AVERAGED}


def _singles(tables: _Tables, matrices: Int64) -> dict[str, Several]:
    # Whole numbers until the last division: near 1 what is left of 1 would be rounding.
    rows = matrices.sum(axis=(1, 2))
    right = np.einsum("wkk->w", matrices)
    predicted, actual = matrices.sum(axis=2), matrices.sum(axis=1)
    chance = (predicted * actual).sum(axis=1)
    beyond = rows**2 - chance
    kappa = np.where(beyond > 0, 1 - _ratio((rows - right) * rows, beyond), np.nan)
    spreads = [rows**2 - (each**2).sum(axis=1) for each in (predicted, actual)]
    below = np.sqrt(spreads[0].astype(np.float64) * spreads[1])
    # As the definition has it, a constant correlates with nothing, and has no interval.
    constant = below == 0
    matthews = np.where(constant, 0.0, _ratio(right * rows - chance, below))

    squared = tables.rows**2
    left, agreed = beyond / squared, right / tables.rows
    p, t = tables.predicted / tables.rows[:, None], tables.actual / tables.rows[:, None]
    ones = np.ones_like(p)
    slope = ((1 - agreed) / left**2)[:, None]
    kappa_variance = _cell_variance(tables, ones / left[:, None], -slope * t, -slope * p)
    a, b = (spread / squared for spread in spreads)
    root = np.sqrt(a * b)
    by_p = -t / root[:, None] + (matthews / a)[:, None] * p
    by_t = -p / root[:, None] + (matthews / b)[:, None] * t
    matthews_variance = _cell_variance(tables, ones / root[:, None], by_p, by_t)
    correlation = _coefficient(matthews, matthews_variance, tables.rows, left)
    no_interval = [np.where(constant, np.nan, end) for end in (correlation.low, correlation.high)]
    return {
        "balanced_accuracy": _balanced(tables),
        "matthews_corrcoef": Several(
            correlation.value, no_interval[0], no_interval[1], correlation.n
        ),
        "cohen_kappa": _coefficient(kappa, kappa_variance, tables.rows, left),
    }


def _ratio(above: Int64, below: NDArray[Any]) -> Float64:
    return above / np.where(below > 0, below, np.nan)


def _balanced(tables: _Tables) -> Several:
    each = (tables.right, tables.predicted, tables.actual, tables.rows[:, None])
    recall, low, high, _ = _of_class(*each, "recall")
    held = tables.actual > 0
    share = held / held.sum(axis=1, keepdims=True)
    balanced = np.where(held, recall * share, 0.0).sum(axis=1)
    below = balanced - np.sqrt(np.where(held, (share * (recall - low)) ** 2, 0.0).sum(axis=1))
    above = balanced + np.sqrt(np.where(held, (share * (high - recall)) ** 2, 0.0).sum(axis=1))
    n = tables.rows.astype(np.int64)
    return Several(balanced, np.maximum(0.0, below), np.minimum(1.0, above), n)


def _coefficient(value: Float64, variance: Float64, rows: Float64, left: Float64) -> Several:
    value = np.clip(value, -1.0, 1.0)
    away = _wilson(np.zeros_like(rows), rows)[1] / left
    plain = (np.abs(value) > 1 - 1e-12) | (variance < 1e-15)
    z = np.arctanh(np.where(plain, 0.0, value))
    half = Z * np.sqrt(variance) / (1 - value**2)
    low = np.where(plain, np.maximum(-1.0, value - away), np.tanh(z - half))
    high = np.where(plain, np.minimum(1.0, value + away), np.tanh(z + half))
    n = rows.astype(np.int64)
    return Several(value, np.minimum(low, value), np.maximum(high, value), n, SAME_CLASS)


def _wilson(share: Float64, n: Float64) -> Ends:
    n = np.where(n > 0, n, np.nan)
    z2n = Z * Z / n
    center = (share + z2n / 2) / (1 + z2n)
    half = Z / (1 + z2n) * np.sqrt(np.maximum(0.0, share * (1 - share) / n + z2n / (4 * n)))
    low = np.where(share <= 0, 0.0, np.maximum(0.0, center - half))
    return low, np.where(share >= 1, 1.0, np.minimum(1.0, center + half))


def _logit(share: Float64, variance: Float64) -> Ends:
    middle = np.log(share / (1 - share))
    half = Z * np.sqrt(np.maximum(0.0, variance)) / (share * (1 - share))
    return 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
