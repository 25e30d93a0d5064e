"""Figures of a confusion matrix of many windows at once: those of `classification`, vectorised.

One window costs a millisecond by `classification`, which is the definition; a day of minutes costs
a tenth of a second here. A test holds both to the same figures within 1e-9. Windows that need a
reason (nothing judged, classes folded, a task without classes) are left to the definition.

Cost: O(classes²) numbers a window, in arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Float64
from inferspan_collector.quality.classification import fit
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import BINARY, MICRO, WEIGHTED, Figure
from inferspan_collector.quality.intervals import Z

CELLS_MAX: Final = 20_000_000
"""Numbers of all matrices at once: 160 MB."""
_BETAS: Final = {"f1": 1.0, "f2": 2.0, "f0_5": 0.5}
_SHARES: Final = ("precision", "recall", "specificity", "negative_predictive_value")

_ROUNDING: Final = 1e-12
"""Of sums of squares, many times what doubles lose."""


@dataclass(frozen=True, slots=True, eq=False)
class Several:
    """One figure of many windows; NaN = the definition has to say it."""

    value: Float64
    low: Float64
    high: Float64
    n: Float64


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
    def of(cls, cells: Float64) -> _Tables:
        predicted, actual = cells.sum(axis=2), cells.sum(axis=1)
        return cls(
            cells,
            np.einsum("wkk->wk", cells),
            predicted,
            actual,
            cells.sum(axis=(1, 2)),
            predicted + actual > 0,
        )


def many(
    counts: Sequence[Counts], average: str, positives: Sequence[str | None]
) -> list[dict[str, Figure]] | None:
    """The figures of `classification.figures`, per window; an empty dict = ask the definition.

    Args:
        counts: of each window.
        average: one of `AVERAGES`.
        positives: the positive class of each window, None where it is not known.

    Returns:
        None where the matrices are too large to stand side by side.
    """
    fits = [number for number, each in enumerate(counts) if fit(each)]
    names = sorted({text for number in fits for pair in counts[number].confusion for text in pair})
    if not fits or len(fits) * len(names) ** 2 > CELLS_MAX:
        return None
    place = {name: i for i, name in enumerate(names)}
    cells = np.zeros((len(fits), len(names), len(names)))
    for row, number in enumerate(fits):
        for (predicted, actual), n in counts[number].confusion.items():
            cells[row, place[predicted], place[actual]] += n
    tables = _Tables.of(cells)
    columns = np.array([place.get(positives[number] or "", -1) for number in fits])
    with np.errstate(all="ignore"):
        found = _averaged(tables, average, columns) | _singles(tables)
    answers: list[dict[str, Figure]] = [{} for _ in counts]
    listed = {
        name: [column.tolist() for column in (each.value, each.low, each.high, each.n)]
        for name, each in found.items()
    }
    for name, (value, low, high, n) in listed.items():
        for row, number in enumerate(fits):
            if value[row] == value[row]:
                answers[number][name] = Figure(value[row], int(n[row]), low[row], high[row])
    return answers


def _averaged(tables: _Tables, average: str, positive: np.ndarray) -> dict[str, Several]:
    found = {}
    for name in (*_BETAS, *_SHARES):
        value, low, high, n = _of_classes(tables, name)
        if average == BINARY:
            rows = np.arange(len(value))
            known = positive >= 0
            columns = [np.where(known, each[rows, positive], np.nan) for each in (value, low, high)]
            found[name] = Several(columns[0], columns[1], columns[2], n[rows, positive])
        elif average == MICRO:
            found[name] = _micro(tables, name)
        else:
            found[name] = _mean(tables, name, (value, low, high), average)
    return found


def _of_classes(tables: _Tables, name: str) -> tuple[Float64, Float64, Float64, Float64]:
    """(value, low, high, n) of each class, [W, K]; NaN without a denominator."""
    tp, p, t = tables.right, tables.predicted, tables.actual
    rows = tables.rows[:, None]
    if name in _BETAS:
        return _fbeta(tp, p - tp, t - tp, _BETAS[name] ** 2)
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
    least, most = min(1.0, square), max(1.0, square)
    ends = [
        (1 + square) * share / ((1 + square) * share + worst * (1 - share))
        for share, worst in ((low, most), (high, least))
    ]
    if square == 1.0:
        return value, 2 * low / (1 + low), 2 * high / (1 + high), n
    slopes = [(1 + square) * (1 - value) / below, -value / below, -square * value / below]
    first = sum(c * s for c, s in zip((tp, fp, fn), slopes, strict=True))
    second = sum(c * s * s for c, s in zip((tp, fp, fn), slopes, strict=True))
    inner = _logit(value, second - first**2 / np.where(n > 0, n, 1))
    edge = (tp == 0) | (tp == n)
    return value, np.where(edge, ends[0], inner[0]), np.where(edge, ends[1], inner[1]), n


def _mean(
    tables: _Tables, name: str, each: tuple[Float64, Float64, Float64], average: str
) -> Several:
    present = tables.present
    value = np.where(present, np.nan_to_num(each[0]), 0.0)
    low = np.where(np.isnan(each[1]), 0.0, each[1])
    high = np.where(np.isnan(each[2]), 1.0, each[2])
    rows = tables.rows[:, None]
    weight = present / present.sum(axis=1, keepdims=True)
    if average == WEIGHTED:
        weight = tables.actual / rows
    mean = np.minimum(1.0, (weight * value).sum(axis=1))
    below = mean - np.sqrt(((weight * (value - low)) ** 2 * present).sum(axis=1))
    above = mean + np.sqrt(((weight * (high - value)) ** 2 * present).sum(axis=1))
    if name in _BETAS or average == WEIGHTED:
        ends = _by_cells(tables, name, mean, value, weight, weighted=average == WEIGHTED)
        below, above = np.minimum(below, ends[0]), np.maximum(above, ends[1])
    return Several(
        mean, np.maximum(0.0, np.minimum(below, mean)), np.minimum(1.0, np.maximum(above, mean)),
        tables.rows,
    )  # fmt: skip


def _by_cells(
    tables: _Tables, name: str, mean: Float64, value: Float64, weight: Float64, *, weighted: bool
) -> tuple[Float64, Float64]:
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
    square = _BETAS[name] ** 2
    both = square * t + p
    by_both = -_over((1 + square) * d, both * both)
    return _over(1 + square, both), by_both, square * by_both


def _over(above: Float64 | float, below: Float64) -> Float64:
    held = below > 1e-15
    return np.where(held, above, 0.0) / np.where(held, below, 1.0)


def _micro(tables: _Tables, name: str) -> Several:
    rows = tables.rows
    right = tables.right.sum(axis=1) / rows
    if name not in ("specificity", "negative_predictive_value"):
        return Several(right, *_wilson(right, rows), rows)
    others = tables.present.sum(axis=1) - 1.0
    others = np.where(others < 1, np.nan, others)
    low, high = _wilson(1 - right, rows)
    return Several(1 - (1 - right) / others, 1 - high / others, 1 - low / others, rows)


def _singles(tables: _Tables) -> dict[str, Several]:
    rows, right = tables.rows, tables.right.sum(axis=1)
    recall, low, high, _ = _of_classes(tables, "recall")
    held = tables.actual > 0
    share = held / held.sum(axis=1, keepdims=True)
    balanced = np.where(held, recall * share, 0.0).sum(axis=1)
    below = balanced - np.sqrt(np.where(held, (share * (recall - low)) ** 2, 0.0).sum(axis=1))
    above = balanced + np.sqrt(np.where(held, (share * (high - recall)) ** 2, 0.0).sum(axis=1))
    p, t = tables.predicted / rows[:, None], tables.actual / rows[:, None]
    chance = (p * t).sum(axis=1)
    agreed = right / rows
    left = 1 - chance
    kappa = np.where(left > 1e-12, 1 - (1 - agreed) / left, np.nan)
    ones = np.ones_like(p)
    slope = ((1 - agreed) / left**2)[:, None]
    kappa_variance = _cell_variance(tables, ones / left[:, None], -slope * t, -slope * p)
    a, b = 1 - (p**2).sum(axis=1), 1 - (t**2).sum(axis=1)
    root = np.sqrt(a * b)
    # Of a constant the definition says it: 0, without an interval.
    matthews = np.where(root > 1e-12, (agreed - chance) / root, np.nan)
    by_p = -t / root[:, None] + (matthews / a)[:, None] * p
    by_t = -p / root[:, None] + (matthews / b)[:, None] * t
    matthews_variance = _cell_variance(tables, ones / root[:, None], by_p, by_t)
    return {
        "balanced_accuracy": Several(
            balanced, np.maximum(0.0, below), np.minimum(1.0, above), rows
        ),
        "matthews_corrcoef": _coefficient(matthews, matthews_variance, rows, left),
        "cohen_kappa": _coefficient(kappa, kappa_variance, rows, left),
    }


def _coefficient(value: Float64, variance: Float64, rows: Float64, left: Float64) -> Several:
    value = np.clip(value, -1.0, 1.0)
    away = _wilson(np.zeros_like(rows), rows)[1] / left
    plain = (np.abs(value) > 1 - 1e-12) | (variance < 1e-15)
    z = np.arctanh(np.where(plain, 0.0, value))
    half = Z * np.sqrt(variance) / (1 - value**2)
    low = np.where(plain, np.maximum(-1.0, value - away), np.tanh(z - half))
    high = np.where(plain, np.minimum(1.0, value + away), np.tanh(z + half))
    return Several(value, np.minimum(low, value), np.maximum(high, value), rows)


def _wilson(share: Float64, n: Float64) -> tuple[Float64, Float64]:
    n = np.where(n > 0, n, np.nan)
    z2n = Z * Z / n
    center = (share + z2n / 2) / (1 + z2n)
    half = Z / (1 + z2n) * np.sqrt(np.maximum(0.0, share * (1 - share) / n + z2n / (4 * n)))
    low = np.where(share <= 0, 0.0, np.maximum(0.0, center - half))
    return low, np.where(share >= 1, 1.0, np.minimum(1.0, center + half))


def _logit(share: Float64, variance: Float64) -> tuple[Float64, Float64]:
    middle = np.log(share / (1 - share))
    half = Z * np.sqrt(np.maximum(0.0, variance)) / (share * (1 - share))
    return 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
