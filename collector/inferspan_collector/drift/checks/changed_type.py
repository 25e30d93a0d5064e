"""Rows whose value is of another type than the reference's, a text for a number.

Formula: rows of the other type ÷ all rows. Source: ours; the type is that of most of the
reference's rows. Unit: none, a share. Range: 0 … 1. Guarantee: exact. Cost: some 0.2 ns a fine bin.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.drift.checks import share_of
from inferspan_collector.drift.counts import Counts, Float64

KINDS: Final = frozenset(("number", "category"))


def shares(windows: Counts) -> Float64:
    """float64[W], 0 … 1."""
    return share_of(windows.mistyped, windows.rows)
