"""Rows whose number is less than the reference's least or more than its greatest one.

Share of all rows, as NannyML's `NumericalRangeCalculator` has it; infinities are out of range.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.drift.checks import share_of
from inferspan_collector.drift.counts import Counts, Float64

KINDS: Final = frozenset(("number",))


def shares(windows: Counts) -> Float64:
    """float64[W], 0 … 1."""
    return share_of(windows.below + windows.above, windows.rows)
