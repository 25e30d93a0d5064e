"""Two mean errors: Welch's t-test of different rows, the paired t-test of the same ones.

Welch: "The generalization of Student's problem when several different population variances are
involved", Biometrika 34, 1947; scipy's `ttest_ind(equal_var=False)` and `ttest_rel`, interval
included.
"""

from __future__ import annotations

import math
from typing import Final

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.comparison.difference import Difference
from inferspan_collector.distributions import student_quantile, student_tail

WELCH: Final = "welch"
PAIRED: Final = "paired_t"
CONFIDENCE: Final = 0.95


def independent(a: Float64, b: Float64) -> Difference | None:
    """Values of different rows, finite; None where a side has fewer than two."""
    if min(len(a), len(b)) < 2:
        return None
    parts = [float(side.var(ddof=1)) / len(side) for side in (a, b)]
    variance = sum(parts)
    value, n = float(b.mean() - a.mean()), (len(a), len(b))
    if variance == 0:
        return _certain(value, WELCH, n)
    freedom = variance**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (a, b), strict=True)
    )
    return _difference(value, math.sqrt(variance), freedom, WELCH, n)


def paired(a: Float64, b: Float64) -> Difference | None:
    """Values of the same rows, finite; None of fewer than two."""
    if len(a) < 2:
        return None
    apart = b - a
    value, n = float(apart.mean()), (len(a), len(b))
    error = math.sqrt(float(apart.var(ddof=1)) / len(apart))
    if error == 0:
        return _certain(value, PAIRED, n)
    return _difference(value, error, len(apart) - 1, PAIRED, n)


def _difference(
    value: float, error: float, freedom: float, test: str, n: tuple[int, int]
) -> Difference:
    half = student_quantile(CONFIDENCE, freedom) * error
    p_value = student_tail(value / error, freedom)
    return Difference(value, value - half, value + half, p_value, test, n)


def _certain(value: float, test: str, n: tuple[int, int]) -> Difference:
    """Of values without any spread."""
    return Difference(value, value, value, float(value == 0), test, n)
