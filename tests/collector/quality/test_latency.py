"""Latency quantiles come out in seconds and within the sketch's promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.latency_sketch import RELATIVE_ERROR, buckets
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import Question
from inferspan_collector.quality.latency import QUANTILES, figures

MINUTE_OF_DURATIONS = st.lists(st.integers(1, 60 * 10**9), max_size=50)


def counts_of_durations(durations: list[int]) -> Counts:
    numbers, n = np.unique(buckets(np.array(durations, np.int64)), return_counts=True)
    return Counts(
        predictions=len(durations), durations=dict(zip(numbers.tolist(), n.tolist(), strict=True))
    )


@given(minutes=st.lists(MINUTE_OF_DURATIONS, max_size=4).filter(any))
def test_quantiles_of_merged_minutes_are_those_of_all_durations(minutes: list[list[int]]) -> None:
    every = sorted(ns for minute in minutes for ns in minute)
    found = figures(merged(counts_of_durations(m) for m in minutes), Question("macro"))
    for name, q in QUANTILES.items():
        exact = every[int(np.floor(q * (len(every) - 1)))] / 1e9
        assert found[name].value == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)
        assert found[name].n == len(every)
