"""What the checks say of data that went wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drift_values import Case

from inferspan_collector.drift.bins import CATEGORIES_MAX, freeze_categories, freeze_numbers
from inferspan_collector.drift.checks import CHECKS


def number_shares(reference: list[float], window: list[float]) -> dict[str, float]:
    bins = freeze_numbers(np.array(reference))
    assert bins is not None
    counts = bins.count(np.array(window), np.zeros(len(window), np.int64), 1)
    return {
        name: float(check.shares(counts)[0])
        for name, check in CHECKS.items()
        if "number" in check.KINDS
    }


def category_shares(reference: list[str | None], window: list[str | None]) -> dict[str, float]:
    bins = freeze_categories(reference)
    assert bins is not None
    counts = Case(reference, window, bins).whole(window)
    return {
        name: float(check.shares(counts)[0])
        for name, check in CHECKS.items()
        if "category" in check.KINDS
    }


def test_numbers_that_are_missing_or_out_of_range() -> None:
    nan = float("nan")
    assert number_shares([1, 2, 3], [0, 1, 2, 4, 3, nan, nan, nan]) == {
        "missing": 3 / 8,
        "out_of_range": 2 / 8,
        "constant": 0,
        "changed_type": 0,
    }


def test_categories_that_are_missing_or_unseen() -> None:
    assert category_shares(["a", "b"], ["a", "b", "x", "y", None]) == {
        "missing": 1 / 5,
        "unseen_categories": 2 / 5,
        "constant": 0,
        "changed_type": 0,
    }


@pytest.mark.parametrize(
    ("window", "constant"), [([2.0, 2.0], 1), ([2.0, 2.0, 2.5], 0), ([2.0], 0), ([9.0, 9.0], 1)]
)
def test_a_number_that_froze(window: list[float], constant: float) -> None:
    assert number_shares([1, 2, 3], window)["constant"] == constant


@pytest.mark.parametrize(
    ("window", "constant"), [(["a", "a"], 1), (["a", "b"], 0), (["a"], 0), (["x", "x"], 0)]
)
def test_a_category_that_froze(window: list[str | None], constant: float) -> None:
    assert category_shares(["a", "b"], window)["constant"] == constant


def test_a_value_of_another_type_is_a_share_of_all_rows() -> None:
    bins = freeze_numbers(np.arange(3.0))
    assert bins is not None
    counts = bins.count(np.array([1.0, 2.0, np.nan]), np.zeros(3, np.int64), 1)
    counts = replace(counts, mistyped=np.array([1]))
    assert CHECKS["changed_type"].shares(counts).tolist() == [1 / 4]
    assert CHECKS["missing"].shares(counts).tolist() == [1 / 4]


def test_the_rarest_of_very_many_categories_are_others_from_the_start() -> None:
    reference: list[str | None] = [f"c{i:04}" for i in range(CATEGORIES_MAX + 1)] + ["c0000"]
    bins = freeze_categories(reference)
    assert bins is not None
    assert len(bins.categories) == CATEGORIES_MAX
    assert bins.categories[-1] == f"c{CATEGORIES_MAX - 1:04}"
    assert category_shares(reference, reference)["unseen_categories"] == 1 / len(reference)
