"""Every difference beside statsmodels', scipy's, or its definition written out."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as theirs_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from inferspan_collector.comparison import areas, means
from inferspan_collector.comparison.corrections import benjamini_hochberg
from inferspan_collector.comparison.difference import Difference
from inferspan_collector.comparison.figures import any_figures, shares
from inferspan_collector.comparison.paired import Agreement, mcnemar
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import Z, wilson


@st.composite
def share(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 10_000))
    return draw(st.integers(0, n)), n


def figure(right: int, n: int) -> Figure:
    return Figure(right / n, n, *wilson(right, n))


@given(a=share(), b=share())
def test_shares_of_different_rows(a: tuple[int, int], b: tuple[int, int]) -> None:
    ours = shares(figure(*a), figure(*b))
    assert ours is not None
    low, high = confint_proportions_2indep(*b, *a, method="newcomb", compare="diff")
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-9)
    assert ours.value == pytest.approx(b[0] / b[1] - a[0] / a[1])
    if 0 < a[0] + b[0] < a[1] + b[1]:
        _, p_value = proportions_ztest([a[0], b[0]], [a[1], b[1]])
        assert ours.p_value == pytest.approx(p_value, rel=1e-7, abs=1e-300)
    else:
        assert ours.p_value == 1


def test_figures_without_value_or_interval_are_compared_as_far_as_can_be() -> None:
    known, bare, none = figure(9, 10), Figure(0.5, 10), Figure.missing("nothing")
    assert shares(known, none) is None
    assert any_figures(none, known) is None
    assert any_figures(known, bare) == Difference(
        pytest.approx(-0.4), None, None, None, "mover", (10, 10)
    )
    constant = Figure(1.0, 10, 1.0, 1.0)
    difference = any_figures(constant, constant)
    assert difference is not None
    assert difference.p_value is None


def test_the_wald_test_of_two_figures_with_intervals() -> None:
    a, b = Figure(0.5, 100, 0.4, 0.6), Figure(0.7, 100, 0.6, 0.8)
    ours = any_figures(a, b)
    assert ours is not None
    error = 0.1 * math.sqrt(2)
    assert (ours.low, ours.high) == pytest.approx((0.2 - error, 0.2 + error))
    assert ours.p_value == pytest.approx(2 * stats.norm.sf(0.2 / (error / Z)))


@st.composite
def agreements(draw: st.DrawFn) -> Agreement:
    cells = [draw(st.integers(0, draw(st.sampled_from([3, 30, 3_000])))) for _ in range(4)]
    return Agreement(*cells)


@given(rows=agreements())
def test_mcnemar_is_that_of_statsmodels(rows: Agreement) -> None:
    assume(rows.rows)
    apart = rows.only_a + rows.only_b
    table = [[rows.both, rows.only_a], [rows.only_b, rows.neither]]
    ours = mcnemar(rows)
    assert ours is not None
    assert ours.low <= ours.value <= ours.high
    exact = apart < 25
    theirs = theirs_mcnemar(table, exact=exact, correction=True)
    assert ours.test == ("mcnemar_exact" if exact else "mcnemar")
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-8, abs=1e-200)
    assert ours.value == pytest.approx((rows.only_b - rows.only_a) / rows.rows)


def test_the_paired_interval_is_newcombes_own_example() -> None:
    """Newcombe 1998, table II: 36 both, 12 and 2 apart, 0 neither: 0.0569 to 0.3404."""
    ours = mcnemar(Agreement(both=36, only_a=2, only_b=12, neither=0))
    assert ours is not None
    assert (ours.low, ours.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_the_paired_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for both, only_a, only_b, neither in rng.multinomial(200, [0.8, 0.04, 0.08, 0.08], size=2_000):
        ours = mcnemar(Agreement(int(both), int(only_a), int(only_b), int(neither)))
        assert ours is not None
        held += ours.low <= 0.04 <= ours.high
    assert 0.94 < held / 2_000 < 0.97


def test_agreements_add_up() -> None:
    assert Agreement(1, 2, 3, 4) + Agreement(5, 6, 7, 8) == Agreement(6, 8, 10, 12)
    assert mcnemar(Agreement()) is None


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(scores of a, scores of b, truth), with ties or without."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(4, 60))
    truth = rng.random(n) < 0.5
    assume(2 <= truth.sum() <= n - 2)
    a = rng.normal(size=n) + truth
    b = a + rng.normal(size=n)
    digits = draw(st.sampled_from([0, 1, 9]))
    return a.round(digits), b.round(digits), truth


def components(scores: np.ndarray, truth: np.ndarray) -> tuple[list[float], list[float]]:
    """DeLong's structural components, pair by pair."""
    wins = np.array(
        [[1.0 if x > y else 0.5 if x == y else 0.0 for y in scores[~truth]] for x in scores[truth]]
    )
    return wins.mean(axis=1).tolist(), wins.mean(axis=0).tolist()


def delong(a: np.ndarray, b: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(difference, its variance) of curves of the same rows."""
    (v10_a, v01_a), (v10_b, v01_b) = components(a, truth), components(b, truth)
    s10, s01 = np.cov(v10_a, v10_b), np.cov(v01_a, v01_b)
    s = s10 / len(v10_a) + s01 / len(v01_a)
    return np.mean(v10_b) - np.mean(v10_a), s[0, 0] + s[1, 1] - 2 * s[0, 1]


@given(rows=scored())
def test_areas_of_the_same_rows(rows: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    ours = areas.paired(*rows)
    assert ours is not None
    value, variance = delong(*rows)
    assert ours.value == pytest.approx(value, abs=1e-12)
    if variance > 1e-12:
        assert ours.p_value == pytest.approx(2 * stats.norm.sf(abs(value) / variance**0.5))


@given(rows=scored(), others=scored())
def test_areas_of_different_rows(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    (a, _, truth_a), (_, b, truth_b) = rows, others
    ours = areas.independent(a, truth_a, b, truth_b)
    assert ours is not None
    variance = 0.0
    for scores, truth in ((a, truth_a), (b, truth_b)):
        of_positives, of_negatives = components(scores, truth)
        variance += np.var(of_positives, ddof=1) / len(of_positives)
        variance += np.var(of_negatives, ddof=1) / len(of_negatives)
    if variance > 1e-12:
        assert ours.p_value == pytest.approx(2 * stats.norm.sf(abs(ours.value) / variance**0.5))


def test_an_area_needs_two_of_each_class_and_equal_ones_are_equal() -> None:
    scores, one = np.arange(5.0), np.array([True, False, False, False, False])
    assert areas.paired(scores, scores, one) is None
    assert areas.independent(scores, one, scores, one) is None
    truth = np.array([False, False, False, True, True])
    same = areas.paired(scores, scores, truth)
    assert same is not None
    assert (same.value, same.p_value) == (0, 1)


samples = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 6)), min_size=2, max_size=40)


@given(a=samples, b=samples)
def test_means_of_different_rows(a: list[float], b: list[float]) -> None:
    assume(len(set(a)) > 1 or len(set(b)) > 1)
    ours = means.independent(np.array(a), np.array(b))
    assert ours is not None
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        # Of a side whose numbers are all alike scipy warns of lost precision, and loses none.
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = stats.ttest_ind(b, a, equal_var=False)
    assume(np.isfinite(theirs.df))
    interval = theirs.confidence_interval(0.95)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-7, abs=1e-290)
    assert (ours.low, ours.high) == pytest.approx(interval, rel=1e-7, abs=1e-7)


@given(data=st.data(), a=samples)
def test_means_of_the_same_rows(data: st.DataObject, a: list[float]) -> None:
    b = data.draw(st.lists(st.floats(-1e3, 1e3), min_size=len(a), max_size=len(a)))
    apart = np.array(b) - np.array(a)
    assume(apart.std() > 1e-9 * (1 + np.abs(apart).max()))
    ours = means.paired(np.array(a), np.array(b))
    assert ours is not None
    theirs = stats.ttest_rel(b, a)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-7, abs=1e-290)
    interval = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx(interval, rel=1e-7, abs=1e-7)


def test_means_without_spread_or_rows() -> None:
    assert means.independent(np.array([1.0]), np.array([1.0, 2.0])) is None
    assert means.paired(np.array([1.0]), np.array([1.0])) is None
    for test in (means.independent, means.paired):
        same = test(np.ones(3), np.ones(3))
        apart = test(np.ones(3), np.full(3, 2.0))
        assert same is not None
        assert apart is not None
        assert (same.value, same.p_value, apart.value, apart.p_value) == (0, 1, 1, 0)


@given(st.lists(st.none() | st.floats(0, 1), max_size=30))
def test_benjamini_hochberg_is_that_of_statsmodels(p_values: list[float | None]) -> None:
    ours = benjamini_hochberg(p_values)
    known = [p for p in p_values if p is not None]
    assert [p is None for p in ours] == [p is None for p in p_values]
    if known:
        theirs = multipletests(known, method="fdr_bh")[1]
        np.testing.assert_allclose([p for p in ours if p is not None], theirs, atol=1e-12)
