"""Rows whose category the reference does not hold.

Formula: such rows ÷ all rows. Source: NannyML's `UnseenValuesCalculator`; but a row without a
category is missing, and never unseen (there it is, where no row of the reference lacks one). Unit:
none, a share. Range: 0 … 1. Guarantee: exact up to `bins.CATEGORIES_MAX` categories of the
reference; rarer ones than these count as unseen. Cost: some 0.2 ns a category.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.drift.checks import share_of
from inferspan_collector.drift.counts import Counts, Float64

KINDS: Final = frozenset(("category",))


def shares(windows: Counts) -> Float64:
    """float64[W], 0 … 1."""
    return share_of(windows.above, windows.rows)
