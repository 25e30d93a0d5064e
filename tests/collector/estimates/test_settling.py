"""How long labels take, beside the product-limit estimate written out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.estimates.settling import BOUNDS_NS, SECOND_NS, counted, curve

HOUR = 3600 * SECOND_NS


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """(lag or -1, age) in ns; a lag is never greater than the age."""
    ages = draw(st.lists(st.integers(0, 400 * 24 * HOUR), max_size=60))
    lags = [draw(st.just(-1) | st.integers(0, age)) for age in ages]
    return np.array(lags, dtype=np.int64), np.array(ages, dtype=np.int64)


def kaplan_meier(lags: np.ndarray, ages: np.ndarray) -> list[float]:
    """At each bound, of predictions that are older than it: who had no label before, and has
    one.
    """
    survives, shares = 1.0, []
    bounds = [-1, *BOUNDS_NS.tolist()]
    for before, bound in pairwise(bounds):
        at_risk = died = 0
        for lag, age in zip(lags.tolist(), ages.tolist(), strict=True):
            if age >= bound and not 0 <= lag <= before:
                at_risk += 1
                died += 0 <= lag <= bound
        survives *= 1 - died / at_risk if at_risk else 1
        shares.append(1 - survives)
    return shares


@given(drawn=rows())
def test_the_curve_is_the_product_limit_estimate(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    np.testing.assert_allclose(curve(counted(*drawn)).shares, kaplan_meier(*drawn), atol=1e-12)


@given(drawn=rows(), data=st.data())
def test_counts_of_parts_add_up(drawn: tuple[np.ndarray, np.ndarray], data: st.DataObject) -> None:
    lags, ages = drawn
    mine = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(lags), max_size=len(lags))), dtype=bool
    )
    merged = counted(lags[mine], ages[mine]) + counted(lags[~mine], ages[~mine])
    whole = counted(lags, ages)
    np.testing.assert_array_equal(merged.labelled, whole.labelled)
    np.testing.assert_array_equal(merged.waiting, whole.waiting)
    twice = counted(lags, ages, np.full(len(lags), 2))
    np.testing.assert_array_equal(twice.waiting, 2 * whole.waiting)


def test_young_predictions_do_not_make_labels_look_quick() -> None:
    """Half of all labels take 1 h, half 10 h; most predictions are younger than that."""
    rng = np.random.default_rng(1)
    ages = rng.integers(0, 24 * HOUR, 20_000)
    takes = np.where(rng.random(20_000) < 0.5, HOUR, 10 * HOUR) - 1
    lags = np.where(takes <= ages, takes, -1)
    learnt = curve(counted(lags, ages))
    assert learnt.final == pytest.approx(1, abs=1e-9)
    assert learnt.settled(np.array([0, 2 * HOUR, 20 * HOUR])) == pytest.approx(
        [0, 0.5, 1], abs=0.02
    )
    assert HOUR <= learnt.quantile_ns(0.4) <= 1.1 * HOUR
    assert 10 * HOUR <= learnt.quantile_ns(0.9) <= 11 * HOUR


def test_what_never_gets_a_label_does_not_hold_a_window_open() -> None:
    ages = np.full(1_000, 48 * HOUR)
    lags = np.where(np.arange(1_000) % 4 == 0, HOUR, -1)
    learnt = curve(counted(lags, ages))
    assert learnt.final == pytest.approx(0.25)
    assert learnt.settled(np.array([2 * HOUR])) == pytest.approx([1])


def test_without_labels_nothing_is_settled() -> None:
    learnt = curve(counted(np.array([-1]), np.array([HOUR])))
    assert learnt.settled(np.array([HOUR])).tolist() == [0]
    assert learnt.quantile_ns(0.5) is None
