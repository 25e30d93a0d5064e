"""Counts as shares: what the methods of this package begin with."""

from __future__ import annotations

import numpy as np

from inferspan_collector.drift.bins import Bins
from inferspan_collector.drift.counts import Counts, Float64


def shares(counts: Counts, bins: Bins) -> Float64:
    """float64[W, C + 1]: of each window the share of its values in every coarse bin.

    The last column is what lies outside the reference. Rows without values are NaN.
    """
    table = bins.coarsened(counts).astype(np.float64)
    return _divided(table, counts)


def cumulative(counts: Counts) -> Float64:
    """float64[W, B + 1]: the share of values below each fine edge; NaN without values."""
    below = np.cumsum(np.column_stack([counts.below, counts.inside]), axis=1)
    return _divided(below.astype(np.float64), counts)


def _divided(table: Float64, counts: Counts) -> Float64:
    n = counts.values.astype(np.float64)
    n[n == 0] = np.nan
    divided: Float64 = table / n[:, None]
    return divided
