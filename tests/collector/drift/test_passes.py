"""Who alerts of a pass over windows: what is far from the reference, and nobody for being near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from inferspan_collector.drift.columns import Categories, Column, Numbers
from inferspan_collector.drift.methods import METHODS
from inferspan_collector.drift.passes import Course, courses, reference_of

TEXTS = ("a", "b", "c", "d")
ROWS, WINDOWS = 1_000, 20


def texts(rng: np.random.Generator, shares: list[float], n: int) -> Categories:
    return Categories(rng.choice(len(shares), n, p=shares).astype(np.int32), TEXTS)


def followed(before: Column, later: Column, n: int) -> dict[str, Course]:
    """All figures of one window of `n` rows, of a reference of `WINDOWS` windows."""
    reference = reference_of(before, np.repeat(np.arange(WINDOWS), ROWS), WINDOWS)
    assert reference is not None
    return courses(reference, later.count(reference.bins, np.zeros(n, np.int64), 1))


def columns(rng: np.random.Generator, n: int) -> dict[str, Column]:
    return {
        "number": Numbers(rng.normal(size=n)),
        "category": texts(rng, [0.1, 0.2, 0.3, 0.4], n),
    }


@pytest.mark.parametrize("kind", ["number", "category"])
def test_a_window_as_the_reference_is_alerts_nobody(kind: str) -> None:
    before = columns(np.random.default_rng(1), ROWS * WINDOWS)[kind]
    # The reference itself: nearer to it than any of its windows is.
    figures = followed(before, before, ROWS * WINDOWS)
    assert not [name for name, course in figures.items() if course.alerts.any()]
    distances = {name: figures[name] for name in figures if name in METHODS}
    assert {course.thresholds.low for course in distances.values()} == {None}
    assert all(course.thresholds.high is not None for course in distances.values())


@given(
    seed=st.integers(0, 2**32),
    n=st.integers(20, 2_000),
    more=st.floats(0, 0.15),
    kinds=st.integers(2, len(TEXTS)),
)
def test_chi_squared_alerts_where_scipy_finds_one_in_twenty(
    seed: int, n: int, more: float, kinds: int
) -> None:
    rng = np.random.default_rng(seed)
    even = [1 / kinds] * kinds
    before = texts(rng, even, ROWS * WINDOWS)
    later = texts(rng, [even[0] + more / 2, *even[1:-1], even[-1] - more / 2], n)
    course = followed(before, later, n)["chi_squared"]
    table = np.array([np.bincount(each.codes, minlength=kinds) for each in (before, later)])
    exact = chi2_contingency(table)
    assert course.values[0] == pytest.approx(exact.statistic, rel=1e-9, abs=1e-9)
    assert bool(course.alerts[0]) == (exact.pvalue < 0.05)
