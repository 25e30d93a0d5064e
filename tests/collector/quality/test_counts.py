"""Cells add up to counts, and counts to counts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import any_counts

from inferspan.semconv import BINARY, MULTILABEL, REGRESSION
from inferspan_collector.batches import Strings
from inferspan_collector.quality.counted_windows import tally
from inferspan_collector.quality.counts import Counts, Key, merged
from inferspan_collector.store.cells import Groups, OutcomeCells, PredictionCells

HIDDEN = ("task", "positive_class")


def predictions(*cells: tuple[int, tuple[str | None, ...], bool, int, int]) -> PredictionCells:
    """(window, group, failed, bucket, n) each, grouped by version."""
    return PredictionCells(
        by=("version", *HIDDEN),
        window=np.array([cell[0] for cell in cells], np.int64),
        groups=Groups.of(cell[1] for cell in cells),
        failed=np.array([cell[2] for cell in cells], np.bool_),
        bucket=np.array([cell[3] for cell in cells], np.int16),
        n=np.array([cell[4] for cell in cells], np.int64),
    )


def outcomes(
    *cells: tuple[int, tuple[str | None, ...], str | None, str | None, int, int],
) -> OutcomeCells:
    """(window, group, predicted, actual, correct, n) each, grouped by version."""
    return OutcomeCells(
        by=("version", *HIDDEN),
        window=np.array([cell[0] for cell in cells], np.int64),
        groups=Groups.of(cell[1] for cell in cells),
        predicted=Strings.of(cell[2] for cell in cells),
        actual=Strings.of(cell[3] for cell in cells),
        correct=np.array([cell[4] for cell in cells], np.int8),
        n=np.array([cell[5] for cell in cells], np.int64),
    )


def tallied(
    by: tuple[str, ...], predictions: PredictionCells, outcomes: OutcomeCells
) -> dict[Key, Counts]:
    found = tally(by, predictions, outcomes)
    return {key: found.counts(row) for row, key in enumerate(found.keys)}


def test_cells_add_up_per_window_and_group() -> None:
    seven, eight = ("7", BINARY, "1"), ("8", BINARY, "1")
    found = tallied(
        ("version",),
        predictions((60, seven, False, 10, 3), (60, seven, True, 11, 1), (0, eight, False, 10, 2)),
        outcomes((60, seven, "1", "1", 1, 2), (60, seven, "1", "0", 0, 1)),
    )
    assert list(found) == [(0, ("8",)), (60, ("7",))]
    counts = found[60, ("7",)]
    assert (counts.predictions, counts.errors) == (4, 1)
    assert (counts.correct, counts.incorrect, counts.undefined) == (2, 1, 0)
    assert counts.confusion == {("1", "1"): 2, ("1", "0"): 1}
    assert counts.durations == {10: 3, 11: 1}
    assert counts.tasks == {BINARY}
    assert counts.positive_classes == {"1"}
    assert found[0, ("8",)].tasks == frozenset()


def test_absent_groups_come_first() -> None:
    found = tallied(
        ("version",),
        predictions((0, ("a", None, None), False, 1, 1), (0, (None, None, None), False, 1, 1)),
        outcomes(),
    )
    assert list(found) == [(0, (None,)), (0, ("a",))]


def test_sets_numbers_and_undefined_outcomes_stay_out_of_the_matrix() -> None:
    found = tallied(
        (),
        predictions(),
        outcomes(
            (0, (None, MULTILABEL, None), '["a"]', '["a"]', 1, 5),
            (0, (None, REGRESSION, None), None, None, 0, 4),
            (0, (None, BINARY, None), None, "a", -1, 3),
            (0, (None, None, None), "a", "b", 0, 2),
        ),
    )
    counts = found[0, ()]
    assert (counts.correct, counts.incorrect, counts.undefined) == (5, 6, 3)
    assert counts.labelled == 14
    assert counts.confusion == {("a", "b"): 2}


@given(a=any_counts(), b=any_counts(), c=any_counts())
def test_addition_is_commutative_and_associative_with_a_zero(
    a: Counts, b: Counts, c: Counts
) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Counts() == a


@given(parts=st.lists(any_counts(), max_size=5))
def test_merging_adds_every_count(parts: list[Counts]) -> None:
    total = merged(parts)
    for name in ("predictions", "errors", "correct", "incorrect", "undefined", "labelled"):
        assert getattr(total, name) == sum(getattr(part, name) for part in parts)
    assert sum(total.confusion.values()) == sum(sum(p.confusion.values()) for p in parts)
