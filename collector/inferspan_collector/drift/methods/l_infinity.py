"""The L∞ distance: the category whose share changed most.

Formula: max |p - q| over the categories. Source: NannyML's `LInfinityDistance`; but those that the
reference does not hold are one, `__other__` (there each is its own, so with several of them it may
say less). Unit: none, a share. Range: 0 … 1. Guarantee: exact. Cost: some 3 ns a category.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.drift.bins import Bins
from inferspan_collector.drift.counts import Counts, Float64
from inferspan_collector.drift.methods.proportions import shares

KINDS: Final = frozenset(("category",))
LIMIT: Final = 1.0


def distances(reference: Counts, windows: Counts, bins: Bins) -> Float64:
    """float64[W]; NaN where a side holds no value."""
    gaps: Float64 = np.abs(shares(windows, bins) - shares(reference, bins)).max(axis=1)
    return gaps
