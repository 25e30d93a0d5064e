"""Intervals of `intervals` for arrays, element by element; NaN gives NaN."""

from __future__ import annotations

import numpy as np

from inferspan_collector.batches import Float64
from inferspan_collector.quality.intervals import Z

Ends = tuple[Float64, Float64]
"""Low and high ends."""


def wilson(share: Float64, n: Float64) -> Ends:
    """As `intervals.wilson_share`."""
    n = np.where(n > 0, n, np.nan)
    z2n = Z * Z / n
    center = (share + z2n / 2) / (1 + z2n)
    half = Z / (1 + z2n) * np.sqrt(np.maximum(0.0, share * (1 - share) / n + z2n / (4 * n)))
    low = np.where(share <= 0, 0.0, np.maximum(0.0, center - half))
    return low, np.where(share >= 1, 1.0, np.minimum(1.0, center + half))


def logit(share: Float64, variance: Float64) -> Ends:
    """As `intervals.logit`."""
    middle = np.log(share / (1 - share))
    half = Z * np.sqrt(np.maximum(0.0, variance)) / (share * (1 - share))
    return 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
