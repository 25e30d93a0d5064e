"""Rows without a value: NaN, or absent.

Formula: rows without a value ÷ all rows. Source: NannyML's `MissingValuesCalculator`. Unit: none, a
share. Range: 0 … 1. Guarantee: exact. Cost: some 0.2 ns a fine bin.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.drift.checks import share_of
from inferspan_collector.drift.counts import Counts, Float64

KINDS: Final = frozenset(("number", "category"))


def shares(windows: Counts) -> Float64:
    """float64[W], 0 … 1."""
    return share_of(windows.missing, windows.rows)
