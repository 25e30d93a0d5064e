"""Intervals: equal to the oracle, and holding what 95 % promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inferspan_collector.quality.intervals import Z, f1_wilson, wilson


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
