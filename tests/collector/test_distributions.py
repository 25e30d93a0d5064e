"""Tails of distributions beside scipy's, or beside sums of whole numbers."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inferspan_collector.distributions import (
    binomial_tail,
    chi_squared_quantile,
    chi_squared_tail,
    normal_quantile,
    normal_tail,
    student_quantile,
    student_tail,
)


@given(st.floats(-37, 37))
def test_both_tails_of_the_normal(z: float) -> None:
    assert normal_tail(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-10)


@given(st.floats(1e-300, 1, exclude_max=True))
def test_the_quantile_of_the_normal(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(stats.norm.ppf(p), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0, math.nan])
def test_there_is_no_quantile_of_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="0 < p < 1"):
        normal_quantile(p)


@given(st.floats(0, 1_000), st.integers(1, 2_000))
def test_the_tail_of_chi_squared(x: float, freedom: int) -> None:
    exact = stats.chi2.sf(x, freedom)
    assert chi_squared_tail(x, freedom) == pytest.approx(exact, rel=1e-9, abs=1e-250)


@given(st.floats(1e-6, 0.999_999), st.integers(1, 1_000))
def test_the_quantile_of_chi_squared(tail: float, freedom: int) -> None:
    assert chi_squared_quantile(tail, freedom) == pytest.approx(
        stats.chi2.isf(tail, freedom), rel=1e-8, abs=1e-12
    )


def test_chi_squared_has_a_quantile_of_probabilities_alone() -> None:
    assert chi_squared_quantile(0.5, 0) == 0
    with pytest.raises(ValueError, match="0 < tail < 1"):
        chi_squared_quantile(1, 3)


def test_chi_squared_at_its_ends() -> None:
    assert chi_squared_tail(0, 3) == 1
    assert chi_squared_tail(5, 0) == 1
    assert chi_squared_tail(math.inf, 3) == 0
    assert math.isnan(chi_squared_tail(math.nan, 3))


@given(st.data())
def test_the_exact_binomial(data: st.DataObject) -> None:
    n = data.draw(st.integers(0, 3_000))
    successes = data.draw(st.integers(0, n))
    few = min(successes, n - successes)
    # In whole numbers: scipy's answer is 0 where it is below 1e-290.
    exact = Fraction(2 * sum(math.comb(n, k) for k in range(few + 1)), 2**n)
    assert binomial_tail(successes, n) == pytest.approx(
        float(min(Fraction(1), exact)), rel=1e-8, abs=1e-290
    )


@given(st.floats(-1e6, 1e6), st.floats(0.5, 1e7))
def test_both_tails_of_students_t(t: float, freedom: float) -> None:
    exact = 2 * stats.t.sf(abs(t), freedom)
    assert student_tail(t, freedom) == pytest.approx(exact, rel=1e-7, abs=1e-280)


@given(st.floats(0.01, 0.999), st.floats(1, 1e6))
def test_the_quantile_of_students_t(p: float, freedom: float) -> None:
    assert student_quantile(p, freedom) == pytest.approx(stats.t.ppf((1 + p) / 2, freedom))


def test_students_t_at_its_ends() -> None:
    assert student_tail(0, 3) == 1
    assert student_tail(math.inf, 3) == 0
    assert student_tail(1.5, math.inf) == normal_tail(1.5)
    assert math.isnan(student_tail(1.5, 0))
    assert math.isnan(student_tail(math.nan, 3))
