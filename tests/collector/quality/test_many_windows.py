"""Many windows at once have the figures that each has by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quality_counts import any_counts

from inferspan_collector.quality import classification
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import AVERAGES, Question
from inferspan_collector.quality.many_windows import many


@given(
    windows=st.lists(any_counts(), min_size=1, max_size=6),
    average=st.sampled_from(AVERAGES),
    positive=st.sampled_from([None, "0", "a"]),
)
def test_they_are_those_of_the_definition(
    windows: list[Counts], average: str, positive: str | None
) -> None:
    found = many(windows, average, [positive] * len(windows))
    for number, counts in enumerate(windows):
        expected = classification.figures(counts, Question(average, positive))
        for name, figure in (found[number] if found else {}).items():
            known = expected[name]
            assert figure.n == known.n, name
            assert figure.value == pytest.approx(known.value, rel=0, abs=1e-9), name
            for mine, its in ((figure.low, known.low), (figure.high, known.high)):
                assert its is not None, name
                assert mine == pytest.approx(its, rel=0, abs=1e-6), (name, figure, known)


def test_what_can_be_told_is_told() -> None:
    window = Counts(
        predictions=9,
        correct=6,
        incorrect=3,
        confusion={("a", "a"): 3, ("b", "b"): 3, ("a", "b"): 2, ("c", "a"): 1},
        tasks=frozenset(["multiclass_classification"]),
    )
    (found,) = many([window], "macro", [None]) or [{}]
    assert set(found) == set(classification.FIGURES)
