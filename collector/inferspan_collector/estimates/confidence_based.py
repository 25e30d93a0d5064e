"""CBPE: the figures of a classification, estimated from the scores alone.

A calibrated score says how likely each prediction is right, so it says how many of each cell of the
confusion matrix to expect; figures of expected cells are the estimate. NannyML's definition
(`CBPE`, its documentation "How it works: estimating performance"), macro averages for many classes.

It holds as long as a score means what it meant in the reference: data that drifts is seen, a truth
that drifts (concept drift) is not, which is why its gap to the truth is a signal of its own.

Cells and their variances are sums, so estimates merge over parts; a row that stands for others
counts as what it weighs, scikit-learn's `sample_weight`. Intervals are those of sampling alone: the
variance of independent Bernoulli trials through the figure's gradient (delta method), AUC's by
Hanley and McNeil of as many rows as the weights are worth. Cost: some 50 ns a row, AUC a sort.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.estimates.calibration import Calibration, Float64, calibrated
from inferspan_collector.quality.intervals import Z, effective_n, hanley_mcneil

FIGURES = ("accuracy", "precision", "recall", "specificity", "f1", "roc_auc")


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated figure with its 95 % interval; `value` None where nothing is to be expected."""

    value: float | None
    low: float | None = None
    high: float | None = None


NOTHING = Estimate(None)
NO_ROW: Final = 1e-9
"""Fewer expected rows than that are none."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What to expect of one class against the rest; `+` merges.

    `predicted` and `others` are rows predicted as the class and not, or what they weigh; `right` of
    the former and `missed` of the latter are expected to be of it, with these variances.
    """

    predicted: float = 0.0
    others: float = 0.0
    right: float = 0.0
    missed: float = 0.0
    right_variance: float = 0.0
    missed_variance: float = 0.0

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.predicted + other.predicted,
            self.others + other.others,
            self.right + other.right,
            self.missed + other.missed,
            self.right_variance + other.right_variance,
            self.missed_variance + other.missed_variance,
        )

    def accuracy(self) -> Estimate:
        """(right + rightly not predicted) ÷ rows."""
        rows = self.predicted + self.others
        if rows == 0:
            return NOTHING
        value = (self.right + self.others - self.missed) / rows
        return _within(value, (self.right_variance + self.missed_variance) / rows**2)

    def precision(self) -> Estimate:
        """Right ÷ predicted."""
        if self.predicted == 0:
            return NOTHING
        return _within(self.right / self.predicted, self.right_variance / self.predicted**2)

    def recall(self) -> Estimate:
        """Right ÷ all that are expected to be of the class."""
        actual = self.right + self.missed
        if actual <= NO_ROW:
            return NOTHING
        value = self.right / actual
        variance = (1 - value) ** 2 * self.right_variance + value**2 * self.missed_variance
        return _within(value, variance / actual**2)

    def specificity(self) -> Estimate:
        """Rightly not predicted ÷ all that are expected not to be of the class."""
        rejected = self.others - self.missed
        negative = self.predicted - self.right + rejected
        if negative <= NO_ROW:
            return NOTHING
        value = rejected / negative
        variance = (1 - value) ** 2 * self.missed_variance + value**2 * self.right_variance
        return _within(value, variance / negative**2)

    def f1(self) -> Estimate:
        """2·right ÷ (predicted + actual)."""
        both = self.predicted + self.right + self.missed
        if both <= NO_ROW:
            return NOTHING
        by_right = 2 * (both - self.right) / both**2
        by_missed = -2 * self.right / both**2
        variance = by_right**2 * self.right_variance + by_missed**2 * self.missed_variance
        return _within(2 * self.right / both, variance)


def expected(
    probabilities: Float64, predicted: NDArray[np.bool_], weight: Float64 | None = None
) -> Expected:
    """Count what calibrated probabilities promise.

    Args:
        probabilities: float64[N], 0 … 1, of the class.
        predicted: bool[N]: whether the class was predicted.
        weight: float64[N]: for how many rows each stands; None = one.
    """
    each = _each(weight, len(probabilities))
    likely, spread = each * probabilities, each * each * probabilities * (1 - probabilities)
    return Expected(
        predicted=math.fsum(each[predicted]),
        others=math.fsum(each[~predicted]),
        right=math.fsum(likely[predicted]),
        missed=math.fsum(likely[~predicted]),
        right_variance=math.fsum(spread[predicted]),
        missed_variance=math.fsum(spread[~predicted]),
    )


def roc_auc(scores: Float64, probabilities: Float64, weight: Float64 | None = None) -> Estimate:
    """The expected area under the ROC curve: positives in parts, in the order of the raw scores.

    Rows of one score are one step of the curve, as in scikit-learn's `roc_auc_score`. Arguments as
    for `expected`.
    """
    each = _each(weight, len(scores))
    values, places = np.unique(scores, return_inverse=True)
    positive = np.bincount(places, weights=each * probabilities, minlength=len(values))
    negative = np.bincount(places, weights=each, minlength=len(values)) - positive
    positives, negatives = float(positive.sum()), float(negative.sum())
    if min(positives, negatives) <= NO_ROW:
        return NOTHING
    below = np.cumsum(negative) - negative
    area = float((positive * (below + negative / 2)).sum()) / (positives * negatives)
    total = float(each.sum())
    worth = effective_n(total, float((each * each).sum())) / total
    return _within(area, hanley_mcneil(area, positives * worth, negatives * worth))


def _each(weight: Float64 | None, n: int) -> Float64:
    return np.ones(n) if weight is None else weight


@dataclass(frozen=True, slots=True, eq=False)
class Binary:
    """CBPE of two classes, fitted to a reference."""

    calibration: Calibration

    @classmethod
    def fitted(
        cls, scores: Float64, actual: NDArray[np.bool_], weight: Float64 | None = None
    ) -> Binary:
        """From labelled rows: scores of the positive class, and whether the truth is it."""
        return cls(calibrated(scores, actual, weight))

    def estimates(
        self, scores: Float64, predicted: NDArray[np.bool_], weight: Float64 | None = None
    ) -> dict[str, Estimate]:
        """Every figure of `FIGURES`, of rows without labels."""
        if len(scores) == 0:
            return dict.fromkeys(FIGURES, NOTHING)
        probabilities = self.calibration(scores)
        cells = expected(probabilities, predicted, weight)
        return {
            "accuracy": cells.accuracy(),
            "precision": cells.precision(),
            "recall": cells.recall(),
            "specificity": cells.specificity(),
            "f1": cells.f1(),
            "roc_auc": roc_auc(scores, probabilities, weight),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Multiclass:
    """CBPE of K classes, fitted to a reference: each against the rest, then made to add up to 1."""

    classes: tuple[str, ...]
    calibrations: tuple[Calibration, ...]

    @classmethod
    def fitted(
        cls,
        classes: Sequence[str],
        probabilities: Float64,
        actual: NDArray[np.int64],
        weight: Float64 | None = None,
    ) -> Multiclass:
        """From labelled rows.

        Args:
            classes: the K classes.
            probabilities: float64[N, K], what the model said.
            actual: int64[N]: place of the truth in `classes`, -1 = none of them.
            weight: float64[N]: for how many rows each stands; None = one.
        """
        return cls(
            tuple(classes),
            tuple(
                calibrated(probabilities[:, k], actual == k, weight) for k in range(len(classes))
            ),
        )

    def probabilities(self, said: Float64) -> Float64:
        """float64[N, K]: calibrated; rows add up to 1."""
        table = np.column_stack([each(said[:, k]) for k, each in enumerate(self.calibrations)])
        total = table.sum(axis=1, keepdims=True)
        even = np.full_like(table, 1 / len(self.classes))
        shares: Float64 = np.divide(table, total, out=even, where=total != 0)
        return shares

    def estimates(
        self, said: Float64, predicted: NDArray[np.int64], weight: Float64 | None = None
    ) -> dict[str, Estimate]:
        """Every figure of `FIGURES`: means over the classes, of rows without labels.

        Args:
            said: float64[N, K], what the model said.
            predicted: int64[N]: place of the predicted class in `classes`, -1 = none of them.
            weight: float64[N]: for how many rows each stands; None = one.
        """
        if len(said) == 0:
            return dict.fromkeys(FIGURES, NOTHING)
        table = self.probabilities(said)
        cells = [expected(table[:, k], predicted == k, weight) for k in range(len(self.classes))]
        right = np.where(predicted >= 0, table[np.arange(len(table)), predicted], 0.0)
        return {
            "accuracy": _mean_of(right, weight),
            "precision": _mean([each.precision() for each in cells]),
            "recall": _mean([each.recall() for each in cells]),
            "specificity": _mean([each.specificity() for each in cells]),
            "f1": _mean([each.f1() for each in cells]),
            "roc_auc": _mean(
                [roc_auc(said[:, k], table[:, k], weight) for k in range(len(self.classes))],
                strict=True,
            ),
        }


@dataclass(frozen=True, slots=True, eq=False)
class TopScore:
    """CBPE's accuracy where only the predicted class's score is known, fitted to a reference.

    Each predicted class has its own calibration of being right, one for all where the reference
    shows it too rarely. Nothing can be said of recall: where a wrong row belongs is not known.
    """

    calibrations: Mapping[str, Calibration]
    other: Calibration

    ROWS_MIN: ClassVar = 200

    @classmethod
    def fitted(
        cls,
        predicted: NDArray[np.object_],
        scores: Float64,
        right: NDArray[np.bool_],
        weight: Float64 | None = None,
    ) -> TopScore:
        """From labelled rows: predicted class, its score, whether it was the truth."""
        each = _each(weight, len(scores))
        calibrations = {}
        for name in sorted(set(predicted)):
            rows = predicted == name
            if rows.sum() >= cls.ROWS_MIN:
                calibrations[str(name)] = calibrated(scores[rows], right[rows], each[rows])
        return cls(calibrations, calibrated(scores, right, each))

    def probabilities(self, predicted: NDArray[np.object_], scores: Float64) -> Float64:
        """float64[N]: how likely each row is right."""
        probabilities: Float64 = self.other(scores)
        for name, calibration in self.calibrations.items():
            rows = predicted == name
            probabilities[rows] = calibration(scores[rows])
        return probabilities

    def estimates(
        self, predicted: NDArray[np.object_], scores: Float64, weight: Float64 | None = None
    ) -> dict[str, Estimate]:
        """`accuracy`, of rows without labels."""
        if len(scores) == 0:
            return {"accuracy": NOTHING}
        return {"accuracy": _mean_of(self.probabilities(predicted, scores), weight)}


def _mean_of(likely: Float64, weight: Float64 | None) -> Estimate:
    """The share of rows that are right, each with its probability."""
    each = _each(weight, len(likely))
    total = math.fsum(each)
    variance = math.fsum(each * each * likely * (1 - likely))
    return _within(math.fsum(each * likely) / total, variance / total**2)


def _within(value: float, variance: float) -> Estimate:
    """A share with the interval of its variance, within 0 … 1."""
    half = Z * math.sqrt(max(0.0, variance))
    value = min(1.0, max(0.0, value))
    return Estimate(value, max(0.0, value - half), min(1.0, value + half))


def _mean(parts: Sequence[Estimate], *, strict: bool = False) -> Estimate:
    """The mean over classes. What cannot be expected counts 0, or nothing can be (`strict`).

    The classes' errors are taken as fully correlated, so the interval is wide rather than narrow.
    """
    if strict and any(each.value is None for each in parts):
        return NOTHING
    values = [each.value or 0.0 for each in parts]
    n = len(parts)
    return Estimate(
        math.fsum(values) / n,
        math.fsum(each.low or 0.0 for each in parts) / n,
        math.fsum(each.high or 0.0 for each in parts) / n,
    )
