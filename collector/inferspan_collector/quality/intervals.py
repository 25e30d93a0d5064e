"""95 % confidence intervals with a closed form, each with the paper that it stands on."""

from __future__ import annotations

import math
from typing import Final

Z: Final = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The Wilson score interval of a proportion.

    Wilson: "Probable inference, the law of succession, and statistical inference", JASA 22(158),
    1927. Never leaves [0, 1], and keeps a width where successes are 0 or n.

    Args:
        successes: from 0 to n.
        n: at least 1.

    Returns:
        (low, high).
    """
    p = successes / n
    z2n = Z * Z / n
    center = (p + z2n / 2) / (1 + z2n)
    half = Z / (1 + z2n) * math.sqrt(p * (1 - p) / n + z2n / (4 * n))
    # At the ends the formula gives 0 and 1 but for rounding.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def f1_wilson(true_positives: int, misses: int) -> tuple[float, float]:
    """The indirect Wilson interval of one class's F1.

    Among the n = tp + fp + fn rows that concern the class, the true positives are binomial, so
    their share J has a Wilson interval; F1 = 2J / (1 + J) grows with J and carries it over. Lam,
    Gopal, Qian: "Confidence Intervals for the F1 Score: A Comparison of Four Methods",
    arXiv:2309.14621, 2023.

    Args:
        true_positives: tp.
        misses: fp + fn; not both arguments 0.

    Returns:
        (low, high).
    """
    low, high = wilson(true_positives, true_positives + misses)
    return 2 * low / (1 + low), 2 * high / (1 + high)
