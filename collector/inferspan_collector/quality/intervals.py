"""95 % confidence intervals with a closed form, each with the paper that it stands on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

from numpy.typing import NDArray

Z: Final = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""
Bounds = tuple[float, float]
"""(low, high)."""
Counted = NDArray[Any]
"""One number per bin."""


def wilson(successes: int, n: int) -> Bounds:
    """The Wilson score interval of a proportion.

    Wilson: "Probable inference, the law of succession, and statistical inference", JASA 22(158),
    1927. Never leaves [0, 1], and keeps a width where successes are 0 or n.

    Args:
        successes: from 0 to n.
        n: at least 1.

    Returns:
        (low, high).
    """
    return wilson_share(successes / n, n)


def f1_wilson(true_positives: int, misses: int) -> Bounds:
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


def wilson_share(share: float, n: float) -> Bounds:
    """The Wilson interval of a share of weighted rows: `n` is their effective number.

    Args:
        share: from 0 to 1.
        n: greater than 0, need not be whole.

    Returns:
        (low, high).
    """
    share = min(1.0, max(0.0, share))
    z2n = Z * Z / n
    center = (share + z2n / 2) / (1 + z2n)
    half = Z / (1 + z2n) * math.sqrt(share * (1 - share) / n + z2n / (4 * n))
    low = 0.0 if share == 0.0 else max(0.0, center - half)
    high = 1.0 if share == 1.0 else min(1.0, center + half)
    return low, high


def effective_n(weights: float, squares: float) -> float:
    """Kish's effective number of weighted rows, (Σw)² ÷ Σw²; equal weights give their number.

    Kish: "Survey Sampling", 1965. A mean of rows weighted apart from what they say varies as one
    of that many rows does.

    Args:
        weights: Σw, greater than 0.
        squares: Σw².
    """
    return weights / squares * weights


def normal(value: float, variance: float, low: float = -math.inf, high: float = math.inf) -> Bounds:
    """The value ± Z·√variance, cut to [low, high]: for means of many rows."""
    half = Z * math.sqrt(max(0.0, variance))
    return max(low, value - half), min(high, value + half)


def fisher(correlation: float, variance: float) -> Bounds:
    """The interval of something in (-1, 1), symmetric in Fisher's z = atanh, where it is normal.

    Fisher: "On the probable error of a coefficient of correlation", Metron 1, 1921.

    Args:
        correlation: strictly between -1 and 1.
        variance: of the correlation itself; by the delta method that of z is variance ÷ (1 - r²)².
    """
    z = math.atanh(correlation)
    half = Z * math.sqrt(max(0.0, variance)) / (1 - correlation * correlation)
    return math.tanh(z - half), math.tanh(z + half)


def logit(share: float, variance: float) -> Bounds:
    """The interval of something in (0, 1), symmetric in its logit; otherwise as `fisher`."""
    middle = math.log(share / (1 - share))
    half = Z * math.sqrt(max(0.0, variance)) / (share * (1 - share))
    return _expit(middle - half), _expit(middle + half)


def mover(weighted: Sequence[tuple[float, float, float, float]]) -> Bounds:
    """The interval of Σ wᵢ·vᵢ of independent vᵢ, from theirs: the method of variance estimates.

    Zou, Donner: "Construction of confidence limits about effect measures: a general approach",
    Statistics in Medicine 27, 2008. Keeps a width where each of them is at its end, as a mean of
    recalls that are all 1 is.

    Args:
        weighted: (w, v, low, high) of each; w not negative.
    """
    value = math.fsum(w * v for w, v, _, _ in weighted)
    below = math.fsum((w * (v - low)) ** 2 for w, v, low, _ in weighted)
    above = math.fsum((w * (high - v)) ** 2 for w, v, _, high in weighted)
    return value - math.sqrt(below), value + math.sqrt(above)


def hanley_mcneil(auc: float, positives: float, negatives: float) -> float:
    """The variance of an AUC by its value and the sizes of the two classes alone.

    Hanley, McNeil: "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    q1, q2 = auc / (2 - auc), 2 * auc * auc / (1 + auc)
    spread = (
        auc * (1 - auc) + (positives - 1) * (q1 - auc * auc) + (negatives - 1) * (q2 - auc * auc)
    )
    return max(0.0, spread) / (positives * negatives)


def auc_interval(auc: float, variance: float, positives: float, negatives: float) -> Bounds:
    """The interval of an AUC: DeLong's variance on the logit; a score interval at the ends.

    At 0 and 1, where DeLong's variance is 0, the ends are the areas θ that are Z·√V(θ) away, V
    Hanley's and McNeil's (Newcombe: "Confidence intervals for an effect size measure based on the
    Mann-Whitney statistic", part 2, Statistics in Medicine 25, 2006).

    Args:
        auc: from 0 to 1.
        variance: DeLong's; see `delong`.
        positives: rows of the positive class, at least 1.
        negatives: the others, at least 1.
    """
    if 0.0 < auc < 1.0 and variance > 0.0:
        return logit(auc, variance)

    def within(theta: float) -> bool:
        return abs(auc - theta) <= Z * math.sqrt(hanley_mcneil(theta, positives, negatives))

    return _edge(auc, 0.0, within), _edge(auc, 1.0, within)


def delong(
    positive: Counted, of_positives: Counted, negative: Counted, of_negatives: Counted
) -> float:
    """DeLong's variance of an AUC from the structural components of its rows.

    DeLong, DeLong, Clarke-Pearson: "Comparing the areas under two or more correlated receiver
    operating characteristic curves", Biometrics 44, 1988. Rows of equal components are counted,
    so a histogram is enough.

    Args:
        positive: rows of the positive class by bin.
        of_positives: the component of each bin's positives (`score_bins.placements`).
        negative: the others by bin.
        of_negatives: theirs.

    Returns:
        The variance; 0 where a class has fewer than two rows.
    """
    return _spread(positive, of_positives) + _spread(negative, of_negatives)


def _spread(rows: Counted, component: Counted) -> float:
    n = float(rows.sum())
    if n < 2:
        return 0.0
    held = rows > 0
    rows, component = rows[held], component[held]
    mean = float((rows * component).sum()) / n
    return float((rows * (component - mean) ** 2).sum()) / (n - 1) / n


def _edge(inside: float, outside: float, within: Callable[[float], bool]) -> float:
    """Where between two points it is no longer true, by bisection."""
    if within(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
