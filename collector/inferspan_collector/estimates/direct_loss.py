"""DLE: the errors of a regression, estimated without its truth.

A second model learns from the reference how large the first one's errors are, given what it saw and
what it said; its mean over a window is the estimate. NannyML's definition (`DLE`), with trees of
our own instead of LightGBM. Absolute errors give the mean absolute
error, squared ones the mean squared error and its root, relative and logarithmic ones likewise.

It holds as long as errors depend on the features as they did in the reference. The interval is
that of a mean of so many rows, of the spread that the reference's own errors have around their
estimate. A row that stands for others counts as what it weighs, and the interval is that of as many
rows as the weights are worth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.estimates.boosted_trees import BoostedTrees, Float64, fitted
from inferspan_collector.estimates.confidence_based import NOTHING, Estimate
from inferspan_collector.quality.intervals import Z, effective_n

ROWS_MIN: Final = 200
"""Of fewer labelled reference rows nothing is learnt."""
CELLS_MAX: Final = 500_000
"""Reference rows × features that are learnt from, what was said being one: 62,500 rows of 8, 20,000
of 25. Evenly spaced rows where there are more."""
ERROR_MAX: Final = 1e150
"""What is learnt has no greater errors: a double does not hold their squares."""
EPSILON: Final = float(np.finfo(np.float64).eps)


def _absolute(actual: Float64, predicted: Float64) -> Float64:
    error: Float64 = np.abs(actual - predicted)
    return error


def _squared(actual: Float64, predicted: Float64) -> Float64:
    error: Float64 = (actual - predicted) ** 2
    return error


def _relative(actual: Float64, predicted: Float64) -> Float64:
    error: Float64 = np.abs(actual - predicted) / np.maximum(np.abs(actual), EPSILON)
    return error


def _logarithmic(actual: Float64, predicted: Float64) -> Float64:
    error: Float64 = (np.log1p(actual) - np.log1p(predicted)) ** 2
    return error


LOSSES: Final[Mapping[str, Callable[[Float64, Float64], Float64]]] = {
    "mean_absolute_error": _absolute,
    "mean_squared_error": _squared,
    "mean_absolute_percentage_error": _relative,
    "mean_squared_log_error": _logarithmic,
}
"""scikit-learn's names → the error of each row: of (actual, predicted), both float64[N]."""
ROOTS: Final = {
    "root_mean_squared_error": "mean_squared_error",
    "root_mean_squared_log_error": "mean_squared_log_error",
}
FIGURES: Final = (*LOSSES, *ROOTS)


def errors_of(name: str, actual: Float64, predicted: Float64) -> Float64:
    """float64[N]: the error of each row; NaN where it is not defined, infinite beyond a double."""
    with np.errstate(all="ignore"):
        return LOSSES[name](actual, predicted)


@dataclass(frozen=True, slots=True, eq=False)
class DirectLoss:
    """Fitted models of the errors; a loss that is not defined for the reference has none."""

    models: Mapping[str, tuple[BoostedTrees, float]]
    """Loss → (model, standard deviation of the reference's errors around it)."""

    @classmethod
    def fitted(
        cls,
        features: Float64,
        predicted: Float64,
        actual: Float64,
        weight: Float64 | None = None,
    ) -> DirectLoss:
        """From labelled reference rows.

        Args:
            features: float64[N, F], F ≥ 0; NaN is missing.
            predicted: float64[N].
            actual: float64[N].
            weight: float64[N]: for how many rows each stands; None = one.
        """
        finite = np.isfinite(predicted) & np.isfinite(actual)
        seen = _seen(features[finite], predicted[finite])
        predicted, actual = predicted[finite], actual[finite]
        weight = None if weight is None else weight[finite]
        if len(seen) < ROWS_MIN:
            return cls({})
        most = max(ROWS_MIN, CELLS_MAX // seen.shape[1])
        if len(seen) > most:
            kept = np.linspace(0, len(seen) - 1, most).astype(np.int64)
            seen, predicted, actual = seen[kept], predicted[kept], actual[kept]
            weight = None if weight is None else weight[kept]
        models = {}
        for name in LOSSES:
            errors = errors_of(name, actual, predicted)
            # Neither is what is not defined of some rows: NaN is not below it.
            if (errors < ERROR_MAX).all():
                model = fitted(seen, errors, weight)
                models[name] = model, _deviation(errors - model(seen), weight)
        return cls(models)

    def estimates(
        self, features: Float64, predicted: Float64, weight: Float64 | None = None
    ) -> dict[str, Estimate]:
        """Every figure of `FIGURES`, of rows without labels; those without a value left out."""
        finite = np.isfinite(predicted)
        seen = _seen(features[finite], predicted[finite])
        found = dict.fromkeys(FIGURES, NOTHING)
        if len(seen) == 0:
            return found
        each = np.ones(len(seen)) if weight is None else weight[finite]
        worth = effective_n(float(each.sum()), float((each * each).sum()))
        for name, (model, spread) in self.models.items():
            # No error is below 0, though a sum of trees may be.
            value = float(np.average(np.maximum(model(seen), 0.0), weights=each))
            half = Z * spread / math.sqrt(worth)
            found[name] = Estimate(value, max(0.0, value - half), value + half)
        for name, square in ROOTS.items():
            found[name] = _root(found[square])
        return found


def _deviation(values: Float64, weight: Float64 | None) -> float:
    mean = np.average(values, weights=weight)
    return math.sqrt(float(np.average((values - mean) ** 2, weights=weight)))


def _seen(features: Float64, predicted: Float64) -> Float64:
    return np.column_stack([features, predicted])


def _root(square: Estimate) -> Estimate:
    if square.value is None or square.low is None or square.high is None:
        return NOTHING
    return Estimate(math.sqrt(square.value), math.sqrt(square.low), math.sqrt(square.high))
