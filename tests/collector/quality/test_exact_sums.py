"""Sums without rounding: the oracle is Python's own exact arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.quality.exact_sums import (
    ExactSum,
    exact_sum,
    exact_sum_of_products,
    exact_sums,
)

doubles = st.floats(allow_nan=False, allow_infinity=False)
columns = st.lists(doubles, max_size=30)
UNIT = Fraction(1, 2**2148)


@given(values=columns)
def test_a_sum_holds_every_bit(values: list[float]) -> None:
    found = exact_sum(np.array(values, np.float64))
    assert found.units * UNIT == sum(map(Fraction, values), Fraction(0))


@given(pairs=st.lists(st.tuples(doubles, doubles), max_size=30))
def test_a_sum_of_products_holds_every_bit(pairs: list[tuple[float, float]]) -> None:
    left, right = np.array(pairs, np.float64).reshape(-1, 2).T
    expected = sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0))
    assert exact_sum_of_products(left, right).units * UNIT == expected


@given(values=columns, data=st.data())
def test_parts_in_any_order_make_the_whole(values: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    shuffled = np.array(data.draw(st.permutations(values)), np.float64)
    whole = exact_sum(np.array(values, np.float64))
    assert exact_sum(shuffled[:cut]) + exact_sum(shuffled[cut:]) == whole
    assert whole - exact_sum(shuffled[:cut]) == exact_sum(shuffled[cut:])


@given(values=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=20))
def test_it_is_rounded_once(values: list[float]) -> None:
    total = exact_sum(np.array(values))
    assert float(total) == math.fsum(values)
    mean = sum(map(Fraction, values), Fraction(0)) / len(values)
    assert total.over(len(values)) == mean.numerator / mean.denominator


@given(rows=st.lists(st.tuples(doubles, st.integers(0, 4)), max_size=30))
def test_groups_are_added_up_apart(rows: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in rows], np.float64)
    group = np.array([group for _, group in rows], np.int64)
    found = exact_sums(values, group, 5)
    assert found == [exact_sum(values[group == g]) for g in range(5)]


def test_what_went_in_and_out_again_leaves_the_cent() -> None:
    with_it = exact_sum(np.array([0.01, 1e18]))
    assert float(with_it - exact_sum(np.array([1e18]))) == 0.01


def test_beyond_the_largest_double_is_infinite() -> None:
    assert float(exact_sum(np.array([1.7e308, 1.7e308]))) == math.inf
    assert ExactSum(-(1 << 5000)).over(1) == -math.inf


def test_nan_and_infinities_have_no_sum() -> None:
    for odd in (math.nan, math.inf):
        with pytest.raises(ValueError, match="leave such rows out"):
            exact_sum(np.array([1.0, odd]))
