"""The Kolmogorov–Smirnov statistic: the greatest gap between two cumulative distributions.

Formula: sup |F - G|, read at the fine edges. Source: Massey: "The Kolmogorov–Smirnov test for
goodness of fit", JASA 46(253), 1951; scipy's `ks_2samp`. (NannyML bins likewise, into 10,000 of
equal width, from 10,000 rows on.) Unit: none. Range: 0 … 1. Guarantee: scipy's of the same rows is
never less, and greater by `error_bounds` at most, the greatest share of either side within one fine
bin: about 1/`bins.QUANTILES` where both are continuous; not at all where a reference of few
distinct values holds all that the window does. Cost: some 5 ns a fine bin.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.drift.bins import Bins
from inferspan_collector.drift.counts import Counts, Float64
from inferspan_collector.drift.methods.proportions import cumulative

KINDS: Final = frozenset(("number",))
LIMIT: Final = 1.0


def distances(reference: Counts, windows: Counts, bins: Bins) -> Float64:
    """float64[W]; NaN where a side holds no value."""
    gaps: Float64 = np.abs(cumulative(reference) - cumulative(windows)).max(axis=1)
    return gaps


def error_bounds(reference: Counts, windows: Counts) -> Float64:
    """float64[W]: by how much the exact statistic may be greater."""
    ours = np.diff(cumulative(reference), axis=1).max(axis=1)
    theirs = np.diff(cumulative(windows), axis=1).max(axis=1)
    bound: Float64 = np.maximum(ours, theirs)
    return bound
