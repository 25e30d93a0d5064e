"""Tails of distributions, for p-values: scipy is too slow to import, and too large, for four.

All agree with scipy's to 1e-10 relative where the tail is above 1e-280, and are 0 below 1e-300.
"""

from __future__ import annotations

import math

_STEPS: int = 100_000
_TINY: float = 1e-300


def normal_tail(z: float) -> float:
    """P(|Z| ≥ |z|) of a standard normal Z: two-sided. NaN stays NaN."""
    return math.erfc(abs(z) / math.sqrt(2))


def normal_quantile(p: float) -> float:
    """The z with P(Z ≤ z) = p, for p in (0, 1).

    Acklam's rational start (relative error 1.2e-9), then a step of Halley's method: full precision.
    """
    if not 0 < p < 1:
        raise ValueError(f"p = {p}; a quantile needs 0 < p < 1")
    low = 0.02425
    if p < low:
        q = math.sqrt(-2 * math.log(p))
        z = _ratio(_C, q) / _ratio((*_D, 1.0), q)
    elif p <= 1 - low:
        q = p - 0.5
        z = _ratio(_A, q * q) * q / _ratio((*_B, 1.0), q * q)
    else:
        return -normal_quantile(1 - p)
    error = math.erfc(-z / math.sqrt(2)) / 2 - p
    step = error * math.sqrt(2 * math.pi) * math.exp(z * z / 2)
    return z - step / (1 + z * step / 2)


def chi_squared_tail(x: float, freedom: int) -> float:
    """P(X ≥ x) of a χ² of so many degrees of freedom; 1 where there is none, NaN of NaN.

    The regularised incomplete gamma function Q(k/2, x/2), by its series or, beyond the mean, by
    Lentz's continued fraction. Press et al.: "Numerical Recipes", 3rd ed., 6.2.
    """
    if math.isnan(x):
        return math.nan
    if freedom <= 0 or x / 2 <= 0:
        return 1.0
    if math.isinf(x):
        return 0.0
    a, half = freedom / 2, x / 2
    front = math.exp(max(a * math.log(half) - half - math.lgamma(a), -745.0))
    if half < a + 1:
        term = total = 1 / a
        for i in range(1, _STEPS):
            term *= half / (a + i)
            total += term
            if term < total * 1e-17:
                break
        return max(0.0, 1 - front * total)
    return front * _gamma_fraction(a, half)


def chi_squared_quantile(tail: float, freedom: int) -> float:
    """The x of which P(X ≥ x) = tail, for a tail in (0, 1); 0 where there is no freedom.

    Halves an interval until two neighbouring doubles are left: some 60 tails.
    """
    if not 0 < tail < 1:
        raise ValueError(f"tail = {tail}; a quantile needs 0 < tail < 1")
    if freedom <= 0:
        return 0.0
    low, high = 0.0, float(freedom)
    while chi_squared_tail(high, freedom) > tail:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if chi_squared_tail(middle, freedom) > tail else (low, middle)
    return high


def binomial_tail(successes: int, n: int) -> float:
    """The two-sided exact p-value of so many successes of n fair coins; 1 for n = 0.

    Summed in logarithms from the tail inwards: n up to millions, cost at most n steps.
    """
    if n == 0:
        return 1.0
    few = min(successes, n - successes)
    if 2 * few == n:
        return 1.0
    # Relative to the greatest term, so that nothing underflows.
    peak = math.lgamma(n + 1) - math.lgamma(few + 1) - math.lgamma(n - few + 1)
    term = total = 1.0
    for k in range(few, 0, -1):
        term *= k / (n - k + 1)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, 2 * math.exp(max(peak - n * math.log(2) + math.log(total), -745.0)))


def student_tail(t: float, freedom: float) -> float:
    """P(|T| ≥ |t|) of Student's t of so many degrees of freedom, not necessarily whole: two-sided.

    The regularised incomplete beta function. NaN where `freedom` is not positive, and of NaN.
    """
    if math.isnan(t) or not freedom > 0:
        return math.nan
    if math.isinf(t):
        return 0.0
    if math.isinf(freedom):
        return normal_tail(t)
    return _beta(freedom / 2, 0.5, freedom / (freedom + t * t), t * t / (freedom + t * t))


def student_quantile(p: float, freedom: float) -> float:
    """The t with P(|T| ≤ t) = p, for p in (0, 1): by bisection of `student_tail`."""
    low, high = 0.0, 1.0
    while student_tail(high, freedom) > 1 - p and high < 1e300:
        low, high = high, high * 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if student_tail(middle, freedom) > 1 - p else (low, middle)
    return (low + high) / 2


def _beta(a: float, b: float, x: float, rest: float) -> float:
    """I_x(a, b), with rest = 1 - x given so that it is exact for x near 1."""
    if x <= 0 or rest <= 0:
        return 0.0 if x <= 0 else 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    )
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, rest) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Lentz's continued fraction. Press et al.: "Numerical Recipes", 3rd ed., 6.4."""
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    h = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            d = 1 / (d if abs(d) > _TINY else _TINY)
            c = 1 + term / c
            c = c if abs(c) > _TINY else _TINY
            h *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return h


def _gamma_fraction(a: float, x: float) -> float:
    b = x + 1 - a
    c = 1 / _TINY
    d = 1 / b
    h = d
    for i in range(1, _STEPS):
        an = -i * (i - a)
        b += 2
        d = an * d + b
        d = 1 / (d if abs(d) > _TINY else _TINY)
        c = b + an / c
        c = c if abs(c) > _TINY else _TINY
        delta = d * c
        h *= delta
        if abs(delta - 1) < 1e-16:
            break
    return h


def _ratio(coefficients: tuple[float, ...], x: float) -> float:
    total = 0.0
    for each in coefficients:
        total = total * x + each
    return total


_A = (
    -3.969683028665376e01, 2.209460984245205e02, -2.759285104469687e02,
    1.383577518672690e02, -3.066479806614716e01, 2.506628277459239e00,
)  # fmt: skip
_B = (
    -5.447609879822406e01, 1.615858368580409e02, -1.556989798598866e02,
    6.680131188771972e01, -1.328068155288572e01,
)  # fmt: skip
_C = (
    -7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e00,
    -2.549732539343734e00, 4.374664141464968e00, 2.938163982698783e00,
)  # fmt: skip
_D = (
    7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e00, 3.754408661907416e00,
)  # fmt: skip
