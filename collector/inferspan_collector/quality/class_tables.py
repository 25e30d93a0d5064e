"""Confusion matrices of many windows with what follows of each class, and the delta method on them.

Rows may weigh more or less than one: then every sum is there three times, of weights, of their
squares, and of rows. Of rows that weigh one all three are the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Float64, Int64
from inferspan_collector.quality.one_class import BETAS
from inferspan_collector.quality.weighing import Weighed

_ROUNDING: Final = 1e-12
"""Of sums of squares, many times what doubles lose."""


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Sums over the rows of a class or several: right, predicted as it, being it, and all."""

    right: Float64
    predicted: Float64
    actual: Float64
    rows: Float64

    def above(self, name: str) -> Float64:
        """The part that a share is of."""
        if name in ("precision", "recall"):
            return self.right
        return self.rows - self.predicted - self.actual + self.right

    def below(self, name: str) -> Float64:
        """The whole that a share is of; of Fβ all rows that concern the class."""
        if name in BETAS:
            return self.predicted + self.actual - self.right
        if name in ("precision", "recall"):
            return self.predicted if name == "precision" else self.actual
        return self.rows - (self.actual if name == "specificity" else self.predicted)


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """What a class's figures are made of: Σw, Σw² and the number of its rows."""

    weights: Sums
    squares: Sums
    counts: Sums


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """float64[W, K, K] Σw and Σw² by predicted and actual class, and what follows of each class.

    Of rows that weigh one all three sums are the same numbers.
    """

    cells: Float64
    squares: Float64
    each: Classes
    """[W, K], all rows [W, 1]."""
    total: Float64
    """float64[W]: Σw."""
    effective: Float64
    """float64[W]: what all rows are worth together."""
    n: Int64
    present: Bool

    @classmethod
    def of(cls, counted: Int64, weighed: Weighed | None) -> Tables:
        """Of int64[W, K, K] rows by predicted and actual class, and what they weigh."""
        cells = squares = counted.astype(np.float64)
        sums = sums_of_squares = counts = _sums(cells)
        if weighed is not None:
            cells, squares = weighed.weights, weighed.squares
            sums, sums_of_squares = _sums(cells), _sums(squares)
        total = sums.rows[:, 0]
        return cls(
            cells,
            squares,
            Classes(sums, sums_of_squares, counts),
            total,
            effective(total, sums_of_squares.rows[:, 0]),
            counts.rows[:, 0].astype(np.int64),
            counts.predicted + counts.actual > 0,
        )

    def of_column(self, column: Int64) -> Classes:
        """Of one class in each window; -1 = of one that no row has."""
        rows = np.arange(len(column))

        def chosen(sums: Sums) -> Sums:
            each = (sums.right, sums.predicted, sums.actual)
            picked = [np.where(column >= 0, one[rows, column], 0.0) for one in each]
            return Sums(picked[0], picked[1], picked[2], sums.rows[:, 0])

        of = self.each
        return Classes(chosen(of.weights), chosen(of.squares), chosen(of.counts))


def _sums(cells: Float64) -> Sums:
    predicted, actual = cells.sum(axis=2), cells.sum(axis=1)
    right = np.einsum("wkk->wk", cells)
    return Sums(right, predicted, actual, actual.sum(axis=1, keepdims=True))


def effective(weights: Float64, squares: Float64) -> Float64:
    """Kish's effective number of rows; NaN of none."""
    return weights * (weights / np.where(squares > 0, squares, np.nan))


def shares(tables: Tables) -> tuple[Float64, Float64, Float64]:
    """Of all rows those that are right, predicted as, and of each class."""
    each, total = tables.each.weights, tables.total[:, None]
    return each.right / total, each.predicted / total, each.actual / total


def cell_variance(tables: Tables, by_d: Float64, by_p: Float64, by_t: Float64) -> Float64:
    """Of a function whose derivative by a cell is by_p[i] + by_t[j], + by_d[i] on the diagonal.

    Σ over rows of w² (derivative - mean derivative)² ÷ (Σw)²; the mean is by weight.
    """
    d, p, t = shares(tables)
    mean = (d * by_d + p * by_p + t * by_t).sum(axis=1)
    of, total = tables.each.squares, tables.total[:, None]
    d, p, t = of.right / total, of.predicted / total, of.actual / total
    first = (d * by_d + p * by_p + t * by_t).sum(axis=1)
    square = (d * (by_d**2 + 2 * by_d * (by_p + by_t)) + p * by_p**2 + t * by_t**2).sum(axis=1)
    # Σ squares · by_p[i] · by_t[j]
    cross = (by_p * np.matmul(tables.squares, by_t[:, :, None])[:, :, 0]).sum(axis=1)
    mass = of.rows[:, 0] / tables.total
    found = square + 2 * cross / tables.total - 2 * mean * first + mass * mean**2
    # What rounding leaves of rows that do not disagree is no variance: that has a share of 1/n.
    scale = (d * by_d**2 + p * by_p**2 + t * by_t**2).sum(axis=1) + mass * mean**2
    kept: Float64 = np.where(found > _ROUNDING * scale, found, 0.0) / tables.total
    return kept
