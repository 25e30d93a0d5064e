"""What drift is computed from: how many values of a window fell into each frozen bin."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.batches import Int64 as Int64


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """The values of one feature in W windows, counted in B frozen bins.

    Merging is `+`: integers and sums add up, `low` and `high` are a minimum and a maximum. So it
    does not matter in which parts or in which order values were counted, but to the last digits of
    `below_sum` and `above_sum`, which are rounded.
    """

    inside: Int64
    """int64[W, B]: values in each bin. Of categories: of each category of the reference."""
    below: Int64
    """int64[W]: numbers below the reference's least one; 0 for categories."""
    above: Int64
    """int64[W]: numbers above its greatest one; categories that it does not hold (`__other__`)."""
    below_sum: Float64
    """float64[W]: the sum of the numbers below, in the feature's unit; 0 for categories."""
    above_sum: Float64
    missing: Int64
    """int64[W]: rows without a value (NaN, absent)."""
    mistyped: Int64
    """int64[W]: rows whose value is of another type than the reference's: text for a number, or a
    number for a category."""
    low: Float64
    """float64[W]: the least number of each window, +inf where there is none and for categories."""
    high: Float64

    @property
    def values(self) -> Int64:
        """int64[W]: rows that have a value of the right type."""
        total: Int64 = self.inside.sum(axis=1) + self.below + self.above
        return total

    @property
    def rows(self) -> Int64:
        """int64[W]: all rows."""
        return self.values + self.missing + self.mistyped

    def __len__(self) -> int:
        return len(self.missing)

    def __add__(self, other: Self) -> Counts:
        """Merge, window by window; both were counted in the same bins."""
        return Counts(
            inside=self.inside + other.inside,
            below=self.below + other.below,
            above=self.above + other.above,
            below_sum=self.below_sum + other.below_sum,
            above_sum=self.above_sum + other.above_sum,
            missing=self.missing + other.missing,
            mistyped=self.mistyped + other.mistyped,
            low=np.minimum(self.low, other.low),
            high=np.maximum(self.high, other.high),
        )

    def take(self, windows: NDArray[np.bool_] | Int64 | slice) -> Counts:
        """Some of the windows, by index, mask or slice."""
        return Counts(**{each.name: getattr(self, each.name)[windows] for each in fields(self)})

    def together(self) -> Counts:
        """All windows as one: W = 1."""
        summed = {
            name: getattr(self, name).sum(axis=0, keepdims=True)
            for name in (
                "inside",
                "below",
                "above",
                "below_sum",
                "above_sum",
                "missing",
                "mistyped",
            )
        }
        return Counts(
            **summed,
            low=np.array([self.low.min(initial=np.inf)]),
            high=np.array([self.high.max(initial=-np.inf)]),
        )
