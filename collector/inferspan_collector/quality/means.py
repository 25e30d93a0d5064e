"""Weighted means of numbers of rows, exact and mergeable, with the interval of a mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64
from inferspan_collector.quality.exact_sums import (
    ZERO,
    ExactSum,
    exact_sum,
    exact_sum_of_products,
)
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import effective_n, normal


@dataclass(frozen=True, slots=True)
class Weights:
    """How many rows there are, and what they weigh: Σw and Σw²."""

    rows: int = 0
    total: ExactSum = ZERO
    squares: ExactSum = ZERO

    @classmethod
    def of(cls, weight: Float64) -> Weights:
        """Of float64[N], all greater than 0."""
        return cls(len(weight), exact_sum(weight), exact_sum_of_products(weight, weight))

    def __add__(self, other: Weights) -> Weights:
        return Weights(
            self.rows + other.rows, self.total + other.total, self.squares + other.squares
        )

    def effective(self) -> float:
        """Kish's effective number of rows; 0 of none."""
        return effective_n(float(self.total), float(self.squares)) if self.rows else 0.0


NO_WEIGHTS: Final = Weights()


def held(values: Float64) -> Float64:
    """Infinities as the largest doubles: one row beyond them does not void the sums."""
    return np.clip(values, -1.7e308, 1.7e308)


@dataclass(frozen=True, slots=True)
class Mean:
    """Σwx ÷ Σw, with what its variance needs: Σw²x and Σw²x².

    The sums are exact (`exact_sums`), so the mean is the same to the last bit in any order; for the
    variance alone each w·x is rounded before it is summed. The interval is that of the central
    limit theorem with the linearised variance of a weighted mean (Cochran: "Sampling Techniques",
    3rd ed., 6.3), s²/n for equal weights.
    """

    weights: Weights = NO_WEIGHTS
    total: ExactSum = ZERO
    first: ExactSum = ZERO
    second: ExactSum = ZERO

    @classmethod
    def of(cls, values: Float64, weight: Float64) -> Mean:
        """Of float64[N] each, all finite; a weighted value beyond a double is the largest."""
        with np.errstate(over="ignore"):
            weighted = held(values * weight)
        return cls(
            Weights.of(weight),
            exact_sum_of_products(values, weight),
            exact_sum_of_products(weighted, weight),
            exact_sum_of_products(weighted, weighted),
        )

    def __add__(self, other: Mean) -> Mean:
        return Mean(
            self.weights + other.weights,
            self.total + other.total,
            self.first + other.first,
            self.second + other.second,
        )

    def value(self) -> float:
        """The mean; infinite beyond what a double holds. There are rows."""
        return self.total.over(self.weights.total)

    def variance(self) -> float:
        """Of the mean, s²/n; 0 where there is one row only, infinite beyond what a double holds."""
        n = self.weights.rows
        if n < 2:
            return 0.0
        mean = self.value()
        spread = (
            self.second.over(1)
            - 2 * mean * self.first.over(1)
            + mean * mean * self.weights.squares.over(1)
        )
        if not math.isfinite(spread):
            return math.inf
        return max(0.0, spread) / float(self.weights.total) ** 2 * n / (n - 1)

    def figure(self, low: float = -math.inf, high: float = math.inf) -> Figure:
        """The mean with its interval, cut to [low, high]; one row has no interval."""
        n = self.weights.rows
        if n == 0:
            return Figure.missing(NO_ROWS)
        value = self.value()
        variance = self.variance()
        if not math.isfinite(value):
            return Figure.missing(TOO_LARGE, n)
        value = min(high, max(low, value))
        if n < 2 or not math.isfinite(variance):
            return Figure(value, n)
        return Figure(value, n, *normal(value, variance, low, high))

    def root(self) -> Figure:
        """The square root of the mean, of values not negative."""
        found = self.figure(0.0)
        if found.value is None:
            return found
        ends = [None if end is None else math.sqrt(end) for end in (found.low, found.high)]
        return Figure(math.sqrt(found.value), found.n, ends[0], ends[1])


NO_MEAN: Final = Mean()
NO_ROWS: Final = "no labelled prediction has what this needs"
TOO_LARGE: Final = "the numbers are beyond what a double holds"
