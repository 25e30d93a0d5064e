"""Whether all values of a window are one and the same.

A sensor that froze, a default that is always taken. A window of a single value is not called
constant. Categories that the reference does not hold may differ, so they are not called so either.

Formula: 1 if the least value is the greatest, or one category has all rows; else 0. Source: ours.
Unit: none. Range: 0 or 1. Guarantee: exact. Cost: some 1 ns a fine bin.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.drift.counts import Counts, Float64

KINDS: Final = frozenset(("number", "category"))


def shares(windows: Counts) -> Float64:
    """float64[W], 0 or 1."""
    n = windows.values
    numbers = windows.low == windows.high
    no_numbers = windows.low == np.inf
    one_category = no_numbers & (windows.inside == n[:, None]).any(axis=1)
    constant = ((numbers & ~no_numbers) | one_category) & (windows.n_values > 1)
    return np.where(n > 0, constant.astype(np.float64), np.nan)
