"""Errors of a regression or forecast: e = predicted - actual.

| figure | formula (mean of, where no Σ stands) | range |
|---|---|---|
| `bias` | e | any, in the unit of the number |
| `mean_absolute_error` | abs(e) | ≥ 0, the unit |
| `mean_squared_error`, `root_mean_squared_error` | e², its root | ≥ 0 |
| `mean_absolute_percentage_error` | abs(e) ÷ max(ε, abs(actual)) | ≥ 0, 1 = 100 % |
| `symmetric_mean_absolute_percentage_error` | 2·abs(e) ÷ (abs(actual) + abs(predicted)) | 0…2 |
| `weighted_absolute_percentage_error` | Σ abs(e) ÷ Σ abs(actual) | ≥ 0 |
| `mean_squared_log_error` (and root) | (ln(1+predicted) - ln(1+actual))² | ≥ 0 |
| `r2_score` | 1 - Σ e² ÷ Σ (actual - mean actual)² | ≤ 1 |
| `residual_p05` … `residual_p95` | quantiles of e | the unit |

Source: scikit-learn's functions of these names; sMAPE as Makridakis, 1993 (0 where both are 0).
Unit: that of the number, squared of squared errors; none of ratios and logarithms. Guarantee: exact
sums, rounded once; quantiles within 0.55 % of the value of their rank (`quantiles`). The
logarithmic errors need numbers above -1, as scikit-learn does; of rows with others they are
missing. Intervals: those of means; of the roots their roots; of ratios (WAPE, R²) a Poisson
bootstrap over groups of rows; of quantiles the binomial ranks around. Cost: some 30 kB a state, 1.5
µs a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan.semconv import NUMERIC_TASKS
from inferspan_collector.batches import Float64
from inferspan_collector.quality.exact_sums import (
    ZERO,
    ExactSum,
    exact_sum_of_products,
)
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import GROUPS, Judged, resampled
from inferspan_collector.quality.means import NO_MEAN, TOO_LARGE, Mean, Weights, held
from inferspan_collector.quality.quantiles import Quantiles

TASKS: Final = frozenset([*NUMERIC_TASKS, None])
QUANTILES: Final = {
    "residual_p05": 0.05,
    "residual_p25": 0.25,
    "residual_p50": 0.5,
    "residual_p75": 0.75,
    "residual_p95": 0.95,
}
FIGURES: Final = (
    "bias",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_percentage_error",
    "symmetric_mean_absolute_percentage_error",
    "weighted_absolute_percentage_error",
    "mean_squared_log_error",
    "root_mean_squared_log_error",
    "r2_score",
    *QUANTILES,
)
_EPSILON: Final = float(np.finfo(np.float64).eps)
_NO_NUMBERS: Final = (
    "no labelled prediction has a number and a true number; answer the number, or "
    '{"value": …}, and send labels with a value'
)
_NEGATIVE: Final = "a number of -1 or less has no logarithm of 1 + it; see the other errors"


def _no_groups() -> Float64:
    return np.zeros((GROUPS, 5))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Exact sums, and sums per group of rows for the intervals of ratios."""

    error: Mean = NO_MEAN
    absolute: Mean = NO_MEAN
    squared: Mean = NO_MEAN
    relative: Mean = NO_MEAN
    symmetric: Mean = NO_MEAN
    logarithmic: Mean = NO_MEAN
    without_logarithm: int = 0
    actual: ExactSum = ZERO
    actual_absolute: ExactSum = ZERO
    actual_squared: ExactSum = ZERO
    groups: Float64 = field(default_factory=_no_groups)
    """float64[GROUPS, 5]: Σw, Σwy, Σwy², Σw|y|, Σw|e|, and of e² below."""
    groups_squared: Float64 = field(default_factory=lambda: np.zeros(GROUPS))
    residuals: Quantiles = field(default_factory=Quantiles)

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows with `value` and `truth`, both finite."""
        known = np.isfinite(rows.value) & np.isfinite(rows.truth)
        # Sums of groups are floats: in the order of identities they are the same in any order.
        rows = rows.take(np.flatnonzero(known)[np.argsort(rows.identity[known], kind="stable")])
        said, actual, weight = rows.value, rows.truth, rows.weight
        with np.errstate(over="ignore", invalid="ignore"):
            error = held(said - actual)
            absolute, squared = np.abs(error), held(error * error)
            both = held(np.abs(actual) + np.abs(said))
            relative = held(absolute / np.maximum(_EPSILON, np.abs(actual)))
            symmetric = held(2 * (absolute / np.where(both > 0, both, 1.0)))
            weighted = held(weight * actual)
            columns = (
                weight, weighted, held(weighted * actual), np.abs(weighted),
                held(weight * absolute), held(weight * squared),
            )  # fmt: skip
        logged = (said > -1) & (actual > -1)
        gaps = np.log1p(said[logged]) - np.log1p(actual[logged])
        group = rows.groups()
        sums: Float64 = np.stack(
            [np.bincount(group, column, GROUPS).astype(np.float64) for column in columns], axis=1
        )
        return cls(
            error=Mean.of(error, weight),
            absolute=Mean.of(absolute, weight),
            squared=Mean.of(squared, weight),
            relative=Mean.of(relative, weight),
            symmetric=Mean.of(symmetric, weight),
            logarithmic=Mean.of(gaps * gaps, weight[logged]),
            without_logarithm=int((~logged).sum()),
            actual=exact_sum_of_products(actual, weight),
            actual_absolute=exact_sum_of_products(np.abs(actual), weight),
            actual_squared=exact_sum_of_products(actual, weighted),
            groups=sums[:, :5],
            groups_squared=sums[:, 5],
            residuals=Quantiles.of(error, weight),
        )

    def __add__(self, other: State) -> State:
        return State(
            self.error + other.error,
            self.absolute + other.absolute,
            self.squared + other.squared,
            self.relative + other.relative,
            self.symmetric + other.symmetric,
            self.logarithmic + other.logarithmic,
            self.without_logarithm + other.without_logarithm,
            self.actual + other.actual,
            self.actual_absolute + other.actual_absolute,
            self.actual_squared + other.actual_squared,
            self.groups + other.groups,
            self.groups_squared + other.groups_squared,
            self.residuals + other.residuals,
        )

    @property
    def weights(self) -> Weights:
        """Of the rows that have numbers."""
        return self.error.weights

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        if self.weights.rows == 0:
            return dict.fromkeys(FIGURES, Figure.missing(_NO_NUMBERS))
        logarithmic = self.logarithmic.figure(0.0), self.logarithmic.root()
        if self.without_logarithm:
            logarithmic = (Figure.missing(_NEGATIVE, self.weights.rows),) * 2
        quantiles = self.residuals.figures(tuple(QUANTILES.values()))
        return {
            "bias": self.error.figure(),
            "mean_absolute_error": self.absolute.figure(0.0),
            "mean_squared_error": self.squared.figure(0.0),
            "root_mean_squared_error": self.squared.root(),
            "mean_absolute_percentage_error": self.relative.figure(0.0),
            "symmetric_mean_absolute_percentage_error": self.symmetric.figure(0.0, 2.0),
            "weighted_absolute_percentage_error": self._of_total(),
            "mean_squared_log_error": logarithmic[0],
            "root_mean_squared_log_error": logarithmic[1],
            "r2_score": self._determination(),
            **dict(zip(QUANTILES, quantiles, strict=True)),
        }

    def _of_total(self) -> Figure:
        n = self.weights.rows
        if not self.actual_absolute.units:
            return Figure.missing("every true number is 0, so there is nothing to divide by", n)
        value = self.absolute.total.over(self.actual_absolute)
        _, _, _, size, error = resampled(self.groups).T
        with np.errstate(all="ignore"):
            drawn = error / size
        return _with_interval(value, n, drawn, 0.0, math.inf)

    def _determination(self) -> Figure:
        n = self.weights.rows
        total = self.weights.total
        # Σ w·(y - mean)² = Σwy² - (Σwy)² ÷ Σw, times Σw: integers, so nothing cancels.
        spread = self.actual_squared.units * total.units - self.actual.units**2
        if n < 2 or spread <= 0:
            return Figure.missing("the true numbers are all the same, so R² has no meaning", n)
        try:
            value = 1 - self.squared.total.units * total.units / spread
        except OverflowError:
            return Figure.missing(TOO_LARGE, n)
        weight, y, y_squared, _, _ = resampled(self.groups).T
        squared = resampled(self.groups_squared)
        with np.errstate(all="ignore"):
            drawn = 1 - squared / (y_squared - y * y / weight)
        return _with_interval(value, n, drawn, -math.inf, 1.0)


def _with_interval(value: float, n: int, drawn: Float64, low: float, high: float) -> Figure:
    if not math.isfinite(value):
        return Figure.missing(TOO_LARGE, n)
    drawn = drawn[np.isfinite(drawn)]
    if n < 2 or len(drawn) < 2:
        return Figure(value, n)
    below, above = np.quantile(drawn, (0.025, 0.975)).tolist()
    return Figure(value, n, max(low, min(below, value)), min(high, max(above, value)))
