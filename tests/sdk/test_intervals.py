"""Percentiles of intervals: exact while they are few, within a stated error for ever after."""

from __future__ import annotations

import math
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from inferspan.intervals import ERROR_MAX, EXACT_MAX, LONGEST_S, SHORTEST_S, Intervals

durations = st.floats(min_value=SHORTEST_S, max_value=LONGEST_S)
fractions = st.floats(min_value=0.001, max_value=1.0)


def collected(values: list[float]) -> Intervals:
    intervals = Intervals()
    for value in values:
        intervals.add(value)
    return intervals


def oracle(values: list[float], fraction: float) -> float:
    """NumPy's least value that so many of all do not exceed."""
    return float(np.quantile(values, fraction, method="inverted_cdf"))


@given(st.lists(durations, min_size=1, max_size=EXACT_MAX), st.sampled_from([0.01, 0.5, 0.99, 1.0]))
def test_few_are_exact(values: list[float], fraction: float) -> None:
    intervals = collected(values)
    assert intervals.percentiles(fraction) == [oracle(values, fraction)]
    assert intervals.maximum() == max(values)


@given(
    st.lists(durations, min_size=1, max_size=20),
    st.integers(EXACT_MAX + 1, 4 * EXACT_MAX),
    st.sampled_from([0.01, 0.5, 0.99, 1.0]),
    st.integers(0, 2**32 - 1),
)
def test_many_are_within_the_stated_error(
    kinds: list[float], count: int, fraction: float, seed: int
) -> None:
    values = [float(x) for x in np.random.default_rng(seed).choice(kinds, count)]
    intervals = collected(values)
    (estimate,) = intervals.percentiles(fraction)
    assert estimate == pytest.approx(oracle(values, fraction), rel=ERROR_MAX * (1 + 1e-6))
    assert intervals.maximum() == max(values)
    # Asking changes nothing, and collecting goes on after it.
    assert intervals.percentiles(fraction) == [estimate]
    intervals.add(2 * LONGEST_S)
    assert intervals.maximum() == 2 * LONGEST_S


def test_none_at_all() -> None:
    assert Intervals().maximum() is None
    assert Intervals().percentiles(0.5, 0.99) == []


def test_memory_is_bounded() -> None:
    """However long a stream is, and however its intervals are spread."""
    intervals = Intervals()
    spread = np.geomspace(1e-12, 1e12, 50_000)
    for value in (0.0, *map(float, spread), math.inf):
        intervals.add(value)
    assert intervals.maximum() == math.inf
    (least, greatest) = intervals.percentiles(1e-9, 1.0)
    assert least == pytest.approx(SHORTEST_S, rel=ERROR_MAX)
    assert greatest == pytest.approx(LONGEST_S, rel=ERROR_MAX)
    held = [getattr(intervals, name) for name in Intervals.__slots__]
    assert sum(len(one) for one in held if isinstance(one, (list, dict))) <= EXACT_MAX + 2_073
    assert sum(sys.getsizeof(one) for one in held) < 256 * 1024


def test_a_rank_between_two_is_the_upper_one() -> None:
    values = [1.0] * 500 + [100.0] * 501
    assert oracle(values, 0.5) == 100.0
    assert collected(values).percentiles(0.5) == [pytest.approx(100.0, rel=ERROR_MAX)]
