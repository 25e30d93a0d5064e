"""The Jensen–Shannon distance, scipy's `jensenshannon(p, q, base=2)` and NannyML's default.

Formula: √(½ Σ p·log₂(p/m) + ½ Σ q·log₂(q/m)) with m = (p + q)/2, over the coarse bins and one more
for what the reference does not hold. Source: Lin: "Divergence measures based on the Shannon
entropy", IEEE Trans. Information Theory 37(1), 1991. Unit: none. Range: 0 … 1; 1 = nothing in
common. Guarantee: exact for the bins. Cost: some 20 ns a bin.
"""

from __future__ import annotations

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
    middle = (p + q) / 2
    divergence = (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2
    # Rounding may leave what is 0 a hair below.
    return np.sqrt(np.clip(divergence, 0.0, 1.0))


def _relative_entropy(p: Float64, q: Float64) -> Float64:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p == 0, 0.0, p * np.log2(p / q))
    total: Float64 = terms.sum(axis=1)
    return total
