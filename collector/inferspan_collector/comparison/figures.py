"""Two figures of different rows, each with its own interval.

The interval of the difference is composed of both (Newcombe: "Interval estimation for the
difference between independent proportions: comparison of eleven methods", Statistics in Medicine
17, 1998, method 10; for other figures than proportions Zou, Donner: "Construction of confidence
limits about effect measures: a general approach", Statistics in Medicine 27, 2008). Of two shares
with Wilson's intervals it is statsmodels' `confint_proportions_2indep(method="newcomb")`.
"""

from __future__ import annotations

import math
from typing import Final

from inferspan_collector.comparison.difference import Difference
from inferspan_collector.distributions import normal_tail
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import Z

NEWCOMBE: Final = "newcombe"
MOVER: Final = "mover"


def shares(a: Figure, b: Figure) -> Difference | None:
    """Of two shares of rows; the p-value is the pooled two-proportion z-test's."""
    difference = _composed(a, b, NEWCOMBE)
    if difference is None or a.value is None or b.value is None:
        return None
    right = a.value * a.n + b.value * b.n
    rows = a.n + b.n
    pooled = right / rows
    variance = pooled * (1 - pooled) * (1 / a.n + 1 / b.n)
    p_value = normal_tail(difference.value / math.sqrt(variance)) if variance > 0 else 1.0
    return _with_p(difference, p_value)


def any_figures(a: Figure, b: Figure) -> Difference | None:
    """Of any two figures with intervals; the p-value is Wald's, by the intervals' widths.

    None where one of them has no value; without interval and p-value where one has no interval.
    """
    difference = _composed(a, b, MOVER)
    if difference is None or difference.low is None:
        return difference
    assert a.low is not None
    assert a.high is not None
    assert b.low is not None
    assert b.high is not None
    error = math.hypot(a.high - a.low, b.high - b.low) / (2 * Z)
    p_value = normal_tail(difference.value / error) if error > 0 else None
    return _with_p(difference, p_value)


def _composed(a: Figure, b: Figure, test: str) -> Difference | None:
    if a.value is None or b.value is None:
        return None
    value, n = b.value - a.value, (a.n, b.n)
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Difference(value, None, None, None, test, n)
    below = math.hypot(b.value - b.low, a.high - a.value)
    above = math.hypot(b.high - b.value, a.value - a.low)
    return Difference(value, value - below, value + above, None, test, n)


def _with_p(difference: Difference, p_value: float | None) -> Difference:
    return Difference(
        difference.value, difference.low, difference.high, p_value, difference.test, difference.n
    )
