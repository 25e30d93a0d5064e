"""Latency quantiles, from the merged histogram, over all calls (failed ones too).

Formula: the ⌈q·n⌉th of n durations in order, for q = 0.5, 0.95, 0.99. Source: Masson, Rim, Lee:
"DDSketch", PVLDB 12(12), 2019; the nearest rank is numpy's `inverted_cdf`. Unit: seconds. Range: 0
… ∞. Guarantee: within `latency_sketch.RELATIVE_ERROR` of it. Cost: O(occupied buckets).
"""

from __future__ import annotations

import numpy as np

from inferspan_collector.latency_sketch import quantiles_ns
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Figure, Question

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """`p50`, `p95`, `p99`: within `latency_sketch.RELATIVE_ERROR` of the exact quantile."""
    buckets = sorted(counts.durations)
    numbers = np.array(buckets, dtype=np.int16)
    n = np.array([counts.durations[bucket] for bucket in buckets], dtype=np.int64)
    values = quantiles_ns(numbers, n, tuple(QUANTILES.values()))
    if values is None:
        missing = Figure.missing("no predictions in this window and group")
        return dict.fromkeys(QUANTILES, missing)
    total = int(n.sum())
    return {name: Figure(ns / 1e9, total) for name, ns in zip(QUANTILES, values, strict=True)}
