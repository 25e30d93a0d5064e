"""Two areas under ROC curves: DeLong's test.

DeLong, DeLong, Clarke-Pearson: "Comparing the areas under two or more correlated receiver operating
characteristic curves: a nonparametric approach", Biometrics 44, 1988. Each row's placement among
the rows of the other class gives an area's variance and, where both scored the same rows, the
covariance. Sun, Xu: "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters
21, 2014: O(n log n).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool as Bool
from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.comparison.difference import Difference
from inferspan_collector.distributions import normal_tail
from inferspan_collector.quality.intervals import Z

TEST: Final = "delong"
PAIRED: Final = "delong_paired"


def independent(a: Float64, truth_a: Bool, b: Float64, truth_b: Bool) -> Difference | None:
    """Scores of different rows; None where a side lacks two positives or two negatives."""
    sides = []
    for scores, truth in ((a, truth_a), (b, truth_b)):
        if min(truth.sum(), (~truth).sum()) < 2:
            return None
        area, positives, negatives = _placements(scores, truth)
        sides.append((area, _variance(positives) + _variance(negatives)))
    (area_a, variance_a), (area_b, variance_b) = sides
    return _difference(area_b - area_a, variance_a + variance_b, TEST, (len(a), len(b)))


def paired(a: Float64, b: Float64, truth: Bool) -> Difference | None:
    """Scores of the same rows; None where they lack two positives or two negatives."""
    if min(truth.sum(), (~truth).sum()) < 2:
        return None
    area_a, positives_a, negatives_a = _placements(a, truth)
    area_b, positives_b, negatives_b = _placements(b, truth)
    variance = _variance(positives_b - positives_a) + _variance(negatives_b - negatives_a)
    return _difference(area_b - area_a, variance, PAIRED, (len(a), len(b)))


def _placements(scores: Float64, truth: Bool) -> tuple[float, Float64, Float64]:
    """(area, share of negatives below each positive, share of positives above each negative)."""
    positive, negative = scores[truth], scores[~truth]
    ordered_negative, ordered_positive = np.sort(negative), np.sort(positive)
    below = np.searchsorted(ordered_negative, positive, "left")
    not_above = np.searchsorted(ordered_negative, positive, "right")
    of_positives = (below + not_above) / (2 * len(negative))
    upto = np.searchsorted(ordered_positive, negative, "right")
    under = np.searchsorted(ordered_positive, negative, "left")
    of_negatives = 1 - (upto + under) / (2 * len(positive))
    return float(of_positives.mean()), of_positives, of_negatives


def _variance(placements: Float64) -> float:
    return float(placements.var(ddof=1)) / len(placements)


def _difference(value: float, variance: float, test: str, n: tuple[int, int]) -> Difference:
    error = math.sqrt(variance)
    # Curves without spread are equal, or differ for certain.
    p_value = normal_tail(value / error) if error > 0 else float(value == 0)
    low, high = max(-1.0, value - Z * error), min(1.0, value + Z * error)
    return Difference(value, low, high, p_value, test, n)
