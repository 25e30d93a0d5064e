"""Latency quantiles come out in seconds and within the sketch's promise."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.latency_sketch import (
    RELATIVE_ERROR,
    bucket_sql,
    bucket_values_ns,
    buckets,
    quantiles_ns,
)
from inferspan_collector.quality.counted_windows import Tallied
from inferspan_collector.quality.counts import Counts, merged
from inferspan_collector.quality.figure import Question
from inferspan_collector.quality.latency import QUANTILES, figures
from inferspan_collector.quality.objective import Objective

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
        exact = np.quantile(every, q, method="inverted_cdf") / 1e9
        assert found[name].value == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9)
        assert found[name].n == len(every)


def test_of_few_calls_at_least_the_share_took_no_longer() -> None:
    found = figures(counts_of_durations([n * 10**9 for n in range(1, 11)]), Question("macro"))
    # Nine of ten calls are not 95 %, and not 99 %.
    for name, exact in (("p50", 5.0), ("p95", 10.0), ("p99", 10.0)):
        assert found[name].value == pytest.approx(exact, rel=RELATIVE_ERROR + 1e-9), name


@given(n=st.integers(1, 3_000), share=st.integers(0, 100))
def test_whole_ranks_are_met(n: int, share: int) -> None:
    # The share of 100 calls that a percentile names is a whole number, whatever doubles make of it.
    numbers = np.arange(1, n + 1, dtype=np.int16)
    rank = max(1, -(-share * n // 100))
    shown = quantiles_ns(numbers, np.ones(n, np.int64), (share / 100,))
    assert shown == [bucket_values_ns(numbers)[rank - 1]]


def test_buckets_are_those_of_an_exponential_histogram_of_scale_6() -> None:
    ns = np.array([1, 2, 3, 4, 1_000_000, 2**35 - 1, 2**35, 2**35 + 1, 2**40, 2**62], np.int64)
    # The data model: (base^index, base^(index + 1)], and bucket b is index b - 1.
    for value, bucket in zip(ns.tolist(), buckets(ns).tolist(), strict=True):
        # To the power of 64, so that the edges are integers.
        assert value**64 <= 2**bucket, value
        assert bucket == 0 or value**64 > 2 ** (bucket - 1), value
    assert buckets(np.array([2**40], np.int64)).tolist() == [40 * 64]
    assert RELATIVE_ERROR < 0.00542


@given(minutes=st.lists(MINUTE_OF_DURATIONS, max_size=4), limit=st.floats(0.001, 60))
def test_an_objective_counts_calls_under_its_limit(minutes: list[list[int]], limit: float) -> None:
    every = [ns for minute in minutes for ns in minute]
    numbers, n = np.unique(buckets(np.array(every, np.int64)), return_counts=True)
    durations = Tallied.of(np.zeros(len(n), np.int64), numbers.astype(np.int64), n, 4_096)
    (said,) = Objective(limit * 1e9, 0.9).of(durations, 1)
    assert (said["limit"], said["share"]) == (pytest.approx(limit), 0.9)
    if not every:
        assert (said["within"], said["burn_rate"]) == (None, None)
        return
    least, most = (
        sum(ns <= limit * 1e9 * (1 + sign * 2 * RELATIVE_ERROR) for ns in every) for sign in (-1, 1)
    )
    within = said["within"]
    assert least <= round(within["value"] * len(every)) <= most
    assert within["low"] <= within["value"] <= within["high"]
    assert said["burn_rate"] == pytest.approx((1 - within["value"]) / 0.1, abs=1e-9)


@given(st.lists(st.integers(-5, 2**62), min_size=1, max_size=50), st.integers(0, 61))
def test_sql_puts_durations_into_the_same_buckets(durations: list[int], power: int) -> None:
    ns = np.array([*durations, 2**power - 1, 2**power, 2**power + 1], np.int64)
    query = f"SELECT {bucket_sql('ns')} AS bucket FROM (SELECT unnest($ns) AS ns)"
    with duckdb.connect() as connection:
        found = connection.execute(query, {"ns": ns.tolist()}).fetchnumpy()["bucket"]
    assert found.tolist() == buckets(ns).tolist()
