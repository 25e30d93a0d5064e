"""What drift is computed from: how many values of a window fell into each frozen bin."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.batches import Int64 as Int64

Amounts = NDArray[Any]
"""Rows: int64; or what they weigh: float64."""
_EXTREMES: Final = ("low", "high")


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """The values of one feature in W windows, counted in B frozen bins.

    A row that stands for others (`inferspan.sampling.adjusted_count`) counts as what it weighs;
    `n_values`, `n_rows` and `squares` say how many rows there are, and how much they are worth.

    Merging is `+`: integers and sums add up, `low` and `high` are a minimum and a maximum. So it
    does not matter in which parts or in which order values were counted, but to the last digits of
    sums that are no integers, which are rounded.
    """

    inside: Amounts
    """[W, B]: values in each bin. Of categories: of each category of the reference."""
    below: Amounts
    """[W]: numbers below the reference's least one; 0 for categories."""
    above: Amounts
    """[W]: numbers above its greatest one; categories that it does not hold (`__other__`)."""
    below_sum: Float64
    """float64[W]: the sum of the numbers below, in the feature's unit; 0 for categories."""
    above_sum: Float64
    missing: Amounts
    """[W]: rows without a value (NaN, absent)."""
    mistyped: Amounts
    """[W]: rows whose value is of another type than the reference's: text for a number, or a
    number for a category."""
    low: Float64
    """float64[W]: the least number of each window, +inf where there is none and for categories."""
    high: Float64
    n_values: Int64
    """int64[W]: how many rows have a value of the right type, whatever they weigh."""
    n_rows: Int64
    """int64[W]: how many rows there are."""
    squares: Amounts
    """[W]: Σw² of the rows that have a value of the right type."""

    @property
    def values(self) -> Amounts:
        """[W]: rows that have a value of the right type, or what they weigh."""
        total: Amounts = self.inside.sum(axis=1) + self.below + self.above
        return total

    @property
    def rows(self) -> Amounts:
        """[W]: all rows, or what they weigh."""
        return self.values + self.missing + self.mistyped

    @property
    def worth(self) -> Float64:
        """float64[W]: Kish's effective number of values ÷ what they weigh; 1 where all weigh one.

        Counts times this are as sure as so many rows of weight one (`intervals.effective_n`).
        """
        squares = self.squares.astype(np.float64)
        shares: Float64 = np.divide(
            self.values, squares, out=np.ones(len(squares)), where=squares > 0
        )
        return shares

    def __len__(self) -> int:
        return len(self.missing)

    def __add__(self, other: Self) -> Counts:
        """Merge, window by window; both were counted in the same bins."""
        added = {name: getattr(self, name) + getattr(other, name) for name in _summed()}
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Counts(**added, low=low, high=high)

    def take(self, windows: NDArray[np.bool_] | Int64 | slice) -> Counts:
        """Some of the windows, by index, mask or slice."""
        return Counts(**{each.name: getattr(self, each.name)[windows] for each in fields(self)})

    def together(self) -> Counts:
        """All windows as one: W = 1."""
        return Counts(
            **{name: getattr(self, name).sum(axis=0, keepdims=True) for name in _summed()},
            low=np.array([self.low.min(initial=np.inf)]),
            high=np.array([self.high.max(initial=-np.inf)]),
        )


def _summed() -> list[str]:
    return [each.name for each in fields(Counts) if each.name not in _EXTREMES]


def amounts(cells: Int64, size: int, weight: Float64 | None) -> Amounts:
    """[size]: how many rows are in each cell, or what they weigh.

    Args:
        cells: int64[N], 0 … size - 1.
        size: how many cells.
        weight: float64[N]; None = each row weighs one.
    """
    if weight is None:
        return np.bincount(cells, minlength=size).astype(np.int64)
    return np.bincount(cells, weight, size).astype(np.float64)


def squared(weight: Float64 | None) -> Float64 | None:
    """What rows weigh, squared; None where each weighs one."""
    return None if weight is None else weight * weight


def chosen(weight: Float64 | None, rows: NDArray[np.bool_]) -> Float64 | None:
    """The weights of some rows; None where each weighs one."""
    return None if weight is None else weight[rows]
