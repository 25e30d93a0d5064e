"""Intervals: equal to the oracle, and holding what 95 % promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inferspan_collector.quality.intervals import (
    Z,
    auc_interval,
    delong,
    effective_n,
    f1_wilson,
    fisher,
    hanley_mcneil,
    mover,
    wilson,
    wilson_share,
)
from inferspan_collector.quality.score_bins import auc, bins_of, placements


def test_z_is_the_quantile_of_the_normal_distribution() -> None:
    assert pytest.approx(stats.norm.ppf(0.975), abs=1e-15) == Z


@given(n=st.integers(1, 10**6), share=st.floats(0, 1))
def test_wilson_equals_scipy(n: int, share: float) -> None:
    successes = math.floor(share * n)
    oracle = stats.binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(successes, n) == pytest.approx((oracle.low, oracle.high), rel=0, abs=1e-12)


@given(n=st.integers(1, 10**12))
def test_the_ends_are_exact(n: int) -> None:
    assert wilson(0, n)[0] == 0.0
    assert wilson(n, n)[1] == 1.0
    assert f1_wilson(0, n)[0] == 0.0
    assert f1_wilson(n, 0)[1] == 1.0


@pytest.mark.parametrize("p", [0.3, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [50, 200])
def test_the_f1_interval_covers_the_true_f1(n: int, p: float) -> None:
    # Among the n rows that concern a class, true positives are binomial: every outcome is
    # weighed by its probability, so this is the coverage itself, not a sample of it.
    true_f1 = 2 * p / (1 + p)
    intervals = [f1_wilson(k, n - k) for k in range(n + 1)]
    covers = np.array([low <= true_f1 <= high for low, high in intervals])
    coverage = float(stats.binom.pmf(np.arange(n + 1), n, p)[covers].sum())
    assert 0.93 <= coverage <= 0.975


def test_equal_weights_count_as_many_rows_as_there_are() -> None:
    assert effective_n(7 * 2.5, 7 * 2.5**2) == pytest.approx(7)
    assert effective_n(11.0, 101.0) == pytest.approx(121 / 101)
    assert wilson_share(0.25, 40.0) == wilson(10, 40)


def test_a_correlation_has_fishers_interval() -> None:
    # Of a Pearson correlation of a normal sample: variance (1 - r²)² / (n - 3).
    oracle = stats.pearsonr([1, 2, 3, 4, 5, 6, 7], [2, 1, 4, 3, 7, 5, 6])
    r = float(oracle.statistic)
    found = fisher(r, (1 - r * r) ** 2 / (7 - 3))
    assert found == pytest.approx(oracle.confidence_interval(0.95), abs=1e-12)


def test_the_method_of_variance_estimates_is_newcombes_for_two_shares() -> None:
    # The average of two shares has half the width of their difference: Newcombe's method 10.
    a, b = wilson(56, 70), wilson(48, 80)
    low, high = mover([(0.5, 0.8, *a), (0.5, 0.6, *b)])
    assert 2 * (0.7 - low) == pytest.approx(math.hypot(0.8 - a[0], 0.6 - b[0]))
    assert 2 * (high - 0.7) == pytest.approx(math.hypot(a[1] - 0.8, b[1] - 0.6))


def histograms(rows: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    _, place = np.unique(
        bins_of(np.array([score for _, score in rows], np.float64)), return_inverse=True
    )
    truth = np.array([actual for actual, _ in rows], dtype=bool)
    width = place.max() + 1
    return np.bincount(place[truth], minlength=width), np.bincount(place[~truth], minlength=width)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 1000).map(lambda k: k / 1000)), min_size=4
    ).filter(lambda rows: sum(t for t, _ in rows) >= 2 and sum(1 - t for t, _ in rows) >= 2)
)
def test_delongs_variance_is_that_of_the_components_of_each_row(
    rows: list[tuple[int, float]],
) -> None:
    positives = np.array([s for t, s in rows if t])
    negatives = np.array([s for t, s in rows if not t])
    # As the paper writes it: ψ of every pair, then the sample variances of its means.
    psi = np.sign(positives[:, None] - negatives[None, :]) / 2 + 0.5
    v10, v01 = psi.mean(axis=1), psi.mean(axis=0)
    expected = v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01)
    p, n = histograms(rows)
    of_p, of_n = placements(p, n)
    assert delong(p, of_p, n, of_n) == pytest.approx(expected, abs=1e-12)
    assert auc(p, n) == pytest.approx(psi.mean(), abs=1e-12)


def test_hanley_and_mcneils_own_example() -> None:
    # Their table II: θ = 0.893, 58 normal and 51 abnormal cases: standard error 0.032.
    assert math.sqrt(hanley_mcneil(0.893, 51, 58)) == pytest.approx(0.032, abs=1e-3)


@pytest.mark.parametrize(("shift", "n"), [(0.0, 60), (1.0, 60), (2.0, 120), (3.0, 60)])
def test_the_interval_of_an_auc_covers_the_true_one(shift: float, n: int) -> None:
    # Two normal classes, apart by `shift`, have the area Φ(shift/√2).
    true = float(stats.norm.cdf(shift / math.sqrt(2)))
    random = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        scores = np.concatenate([random.normal(shift, 1, n // 2), random.normal(0, 1, n // 2)])
        rows = list(zip([1] * (n // 2) + [0] * (n // 2), stats.norm.cdf(scores), strict=True))
        p, q = histograms(rows)
        of_p, of_q = placements(p, q)
        low, high = auc_interval(auc(p, q), delong(p, of_p, q, of_q), n // 2, n // 2)
        covered += low <= true <= high
    assert 0.92 <= covered / 400 <= 0.985


def test_perfect_order_is_not_certain() -> None:
    low, high = auc_interval(1.0, 0.0, 10, 10)
    assert high == 1.0
    assert 0.7 < low < 0.95
    assert auc_interval(0.0, 0.0, 10, 10) == pytest.approx((0.0, 1 - low), abs=1e-9)
