"""What a score is worth: the share of positives among reference rows of that score.

Isotonic regression by pool-adjacent-violators (Ayer et al., Annals of Mathematical Statistics
26(4), 1955), as scikit-learn's `IsotonicRegression(out_of_bounds="clip")` does it: rows of one
score are one point of their mean, values between two points lie on the line between them; a row
that stands for others counts as what it weighs, `sample_weight` there. A function of the set of
rows. Cost: a sort of the reference and some 0.5 µs per distinct score, once; a binary search per
row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Float64 as Float64

FOLDS: Final = 10
ERROR_BINS: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A rising line through points: score → probability."""

    scores: Float64
    """float64[P], strictly rising, P ≥ 1; empty = scores are taken as they are."""
    probabilities: Float64
    """float64[P], 0 … 1, never falling."""

    def __call__(self, scores: Float64) -> Float64:
        """float64[N]: the probability of each score; outside of the points that of the nearest."""
        if len(self.scores) == 0:
            return np.clip(scores, 0.0, 1.0)
        return np.interp(scores, self.scores, self.probabilities)


AS_GIVEN: Final = Calibration(np.empty(0), np.empty(0))
"""Scores that are probabilities already."""


def isotonic(
    scores: Float64, positive: NDArray[np.bool_], weight: Float64 | None = None
) -> Calibration:
    """The calibration of a reference.

    Args:
        scores: float64[N], finite, N ≥ 1.
        positive: bool[N]: whether each row's truth is the class that the score is of.
        weight: float64[N], greater than 0: for how many rows each stands; None = one.
    """
    each = np.ones(len(scores)) if weight is None else weight
    points, places = np.unique(scores, return_inverse=True)
    weights = np.bincount(places, weights=each)
    means = np.bincount(places, weights=each * positive) / weights
    levels: list[float] = []
    masses: list[float] = []
    lengths: list[int] = []
    for level, mass in zip(means.tolist(), weights.tolist(), strict=True):
        length = 1
        while levels and levels[-1] >= level:
            other = masses.pop()
            level = (levels.pop() * other + level * mass) / (other + mass)
            mass, length = mass + other, length + lengths.pop()
        levels.append(level)
        masses.append(mass)
        lengths.append(length)
    ends = np.cumsum(lengths) - 1
    firsts = np.concatenate([[0], ends[:-1] + 1])
    kept = np.unique(np.concatenate([firsts, ends]))
    return Calibration(points[kept], np.repeat(levels, lengths)[kept])


def calibrated(
    scores: Float64, positive: NDArray[np.bool_], weight: Float64 | None = None
) -> Calibration:
    """The reference's calibration, or `AS_GIVEN` where that would not be nearer to the truth.

    Judged as NannyML does, by the expected calibration error of rows that were not learnt from; but
    in folds of every tenth row by score, so that no chance and no order of rows decides. Arguments
    as for `isotonic`.
    """
    if len(scores) < 2 * FOLDS or positive.all() or not positive.any():
        return AS_GIVEN
    each = np.ones(len(scores)) if weight is None else weight
    order = np.lexsort((each, positive, scores))
    scores, positive, each = scores[order], positive[order], each[order]
    fold = np.arange(len(scores)) % FOLDS
    held_out = np.empty(len(scores))
    for number in range(FOLDS):
        others = fold != number
        line = isotonic(scores[others], positive[others], each[others])
        held_out[~others] = line(scores[~others])
    if expected_error(held_out, positive, each) < expected_error(scores, positive, each):
        return isotonic(scores, positive, each)
    return AS_GIVEN


def expected_error(probabilities: Float64, positive: NDArray[np.bool_], weight: Float64) -> float:
    """The expected calibration error over `ERROR_BINS` groups of as many rows each: 0 … 1."""
    order = np.argsort(probabilities, kind="stable")
    gaps = (probabilities - positive)[order] * weight[order]
    parts = np.array_split(gaps, ERROR_BINS)
    return sum(abs(float(part.sum())) for part in parts) / float(weight.sum())
