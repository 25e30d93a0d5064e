"""Many windows at once have the counts and figures that each has by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import CLASS_NAMES, any_counts, counts_of

from inferspan_collector.batches import Strings
from inferspan_collector.latency_sketch import quantiles_of_rows_ns
from inferspan_collector.quality import many_windows, quality_figures
from inferspan_collector.quality.classification import per_class
from inferspan_collector.quality.counted_windows import CountedWindows, tally
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import AVERAGES, BINARY, MACRO, Figure, Question
from inferspan_collector.quality.latency import QUANTILES
from inferspan_collector.quality.latency import figures as latency_figures
from inferspan_collector.store.cells import Groups, OutcomeCells, PredictionCells
from inferspan_collector.telemetry import OTHER

BY = ("task", "positive_class")


def counted(windows: Sequence[Sequence[Counts]], order: np.random.Generator) -> CountedWindows:
    """What cells of the parts of each window add up to, in whatever order they come."""
    calls: list[tuple[int, tuple[str | None, ...], bool, int, int]] = []
    said: list[tuple[int, tuple[str | None, ...], str | None, str | None, int, int]] = []
    for window, parts in enumerate(windows):
        for part in parts:
            task = next(iter(part.tasks), None)
            calls += [(window, (None, name), False, 0, 0) for name in part.positive_classes]
            (bucket,) = part.durations or (0,)
            calls.append((window, (None, None), True, bucket, part.errors))
            calls.append((window, (None, None), False, bucket, part.predictions - part.errors))
            pairs = [(p, a, int(p == a), n) for (p, a), n in part.confusion.items()]
            if not pairs:
                pairs = [(None, None, 1, part.correct), (None, None, 0, part.incorrect)]
            pairs.append((None, None, -1, part.undefined))
            if part.tasks:
                said += [(window, (task, None), *pair) for pair in pairs]
    order.shuffle(calls)
    order.shuffle(said)
    columns = [list(column) for column in zip(*calls, strict=True)] or [[]] * 5
    outcomes = [list(column) for column in zip(*said, strict=True)] or [[]] * 6
    return tally(
        (),
        PredictionCells(
            BY,
            np.array(columns[0], np.int64),
            Groups.of(columns[1]),
            np.array(columns[2], np.bool_),
            np.array(columns[3], np.int16),
            np.array(columns[4], np.int64),
        ),
        OutcomeCells(
            BY,
            np.array(outcomes[0], np.int64),
            Groups.of(outcomes[1]),
            Strings.of(outcomes[2]),
            Strings.of(outcomes[3]),
            np.array(outcomes[4], np.int8),
            np.array(outcomes[5], np.int64),
        ),
    )


def same(found: Figure, expected: Figure, name: str) -> None:
    assert (found.n, found.reason) == (expected.n, expected.reason), name
    pairs = ((found.low, expected.low, 1e-6), (found.high, expected.high, 1e-6))
    for mine, its, within in ((found.value, expected.value, 1e-9), *pairs):
        if mine is None or its is None:
            assert mine is its, (name, found, expected)
        else:
            assert mine == pytest.approx(its, rel=0, abs=within), (name, found, expected)


@given(
    windows=st.lists(st.lists(any_counts(), min_size=1, max_size=2), min_size=1, max_size=5),
    average=st.sampled_from(AVERAGES),
    positive=st.none() | st.just("a") | CLASS_NAMES,
    order=st.integers(0, 2**32 - 1).map(np.random.default_rng),
)
def test_they_are_those_of_the_definition(
    windows: list[list[Counts]], average: str, positive: str | None, order: np.random.Generator
) -> None:
    found = counted(windows, order)
    figures = many_windows.many(found, found.matrices(), average, [positive] * len(found))
    for row, parts in enumerate(windows):
        whole = merged(parts)
        assert found.counts(row) == whole
        assert CountedWindows.of([whole, whole]).counts(1) == whole
        if figures.told[row]:
            expected = quality_figures(whole, Question(average, positive))
            assert list(figures.columns) == list(expected)
            for name, figure in expected.items():
                same(figures.columns[name].figure(row), figure, name)
            for text, table in per_class(whole).items():
                place = found.classes.index(text)
                assert found.present()[row, place]
                assert list(figures.of_each) == list(table)
                for name, figure in table.items():
                    same(figures.of_each[name].figure((row, place)), figure, f"{name} of {text}")


@given(windows=st.lists(any_counts(), min_size=1, max_size=5))
def test_quantiles_of_rows_are_those_of_each(windows: list[Counts]) -> None:
    parts = [[one, merged([one])] for one in windows]
    found = counted(parts, np.random.default_rng(1)).durations
    rows = quantiles_of_rows_ns(
        found.row, found.what.astype(np.int16), found.n, len(parts), tuple(QUANTILES.values())
    )
    for row, each in enumerate(parts):
        expected = latency_figures(merged(each), Question(MACRO))
        for name, value in zip(QUANTILES, rows[:, row].tolist(), strict=True):
            known = expected[name].value
            assert (known is None) == np.isnan(value)
            assert known is None or known == value / 1e9


def test_windows_of_classes_are_told_at_once_and_all_others_by_the_definition() -> None:
    rows = [("a", "a"), ("b", "b"), ("a", "b"), ("c", "a")]
    odd = [counts_of([]), counts_of(rows, "regression", confusion={}), counts_of([("a", OTHER)])]
    found = counted([[counts_of(rows)], *([each] for each in odd)], np.random.default_rng(1))
    figures = many_windows.many(found, found.matrices(), MACRO, [None] * len(found))
    assert figures.told.tolist() == [True, False, False, False]


def test_what_lacks_a_positive_class_everywhere_is_told_at_once() -> None:
    windows = [[counts_of([("a", "a"), ("b", "a")], "binary_classification")] for _ in range(3)]
    found = counted(windows, np.random.default_rng(1))
    figures = many_windows.many(found, found.matrices(), BINARY, [None] * len(found))
    assert figures.told.all()
    assert figures.columns["recall"].figure(0).value is None
    for name, figure in quality_figures(windows[0][0], Question(BINARY)).items():
        same(figures.columns[name].figure(2), figure, name)


def test_next_to_nothing_beyond_chance_is_no_rounding() -> None:
    rows = 1_000_000_007
    one = counts_of(
        [("a", "a")], predictions=rows + 2, correct=rows, incorrect=2,
        confusion={("a", "a"): rows, ("b", "a"): 1, ("a", "b"): 1},
    )  # fmt: skip
    found = counted([[one]], np.random.default_rng(1))
    figures = many_windows.many(found, found.matrices(), MACRO, [None])
    for name, figure in quality_figures(one, Question(MACRO)).items():
        same(figures.columns[name].figure(0), figure, name)
