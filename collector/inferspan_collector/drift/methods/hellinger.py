"""The Hellinger distance, as NannyML has it.

Formula: √(Σ (√p - √q)²) ÷ √2, over the coarse bins and one more for what the reference does not
hold. Source: Hellinger: "Neue Begründung der Theorie quadratischer Formen von unendlichvielen
Veränderlichen", Crelle 136, 1909. Unit: none. Range: 0 … 1; 1 = nothing in common. Guarantee: exact
for the bins. Cost: some 5 ns a bin.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from inferspan_collector.drift.bins import Bins
from inferspan_collector.drift.counts import Counts, Float64
from inferspan_collector.drift.methods.proportions import shares

KINDS: Final = frozenset(("number", "category"))
LIMIT: Final = 1.0


def distances(reference: Counts, windows: Counts, bins: Bins) -> Float64:
    """float64[W]; NaN where a side holds no value."""
    p, q = shares(reference, bins), shares(windows, bins)
    gap = np.sqrt(p) - np.sqrt(q)
    distance: Float64 = np.sqrt((gap * gap).sum(axis=1)) / math.sqrt(2)
    # Rounding may leave what has nothing in common a hair beyond 1.
    return np.minimum(distance, 1.0)
