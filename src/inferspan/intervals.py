"""Intervals → percentiles and maximum, in bounded memory."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Final

EXACT_MAX: Final = 512
"""So many intervals are kept as they are; percentiles of more are estimates."""
ERROR_MAX: Final = 0.01
"""Greatest relative error of an estimate. The maximum is always exact."""
SHORTEST_S: Final = 1e-9
LONGEST_S: Final = 1e9
"""What lies outside is counted as one of these, so that there are at most 2,073 buckets."""

_RATIO: Final = (1 + ERROR_MAX) / (1 - ERROR_MAX)
_LOG_RATIO: Final = math.log(_RATIO)


class Intervals:
    """Collects intervals, in seconds.

    The first `EXACT_MAX` are kept. Then all of them are counted in buckets whose bounds grow by a
    constant ratio, and each bucket answers with the value that is relatively as far from its lower
    bound as from its upper one.
    """

    __slots__ = ("_counts", "_kept", "_longest")

    def __init__(self) -> None:
        self._kept: list[float] = []
        self._counts: dict[int, int] = {}
        self._longest = 0.0

    def add(self, seconds: float) -> None:
        """Collect one."""
        self._kept.append(seconds)
        if len(self._kept) > EXACT_MAX:
            self._count()

    def maximum(self) -> float | None:
        """The longest, s; None where there are none."""
        if not self._kept and not self._counts:
            return None
        return max(self._longest, max(self._kept, default=0.0))

    def percentiles(self, *fractions: float) -> list[float]:
        """Answer for each fraction the least interval that so many of all do not exceed.

        Args:
            *fractions: above 0, at most 1: 0.99 for the 99th percentile.

        Returns:
            One for each fraction, s: exact up to `EXACT_MAX` intervals, else within `ERROR_MAX`.
            Without intervals, nothing.
        """
        if not self._counts:
            ordered = sorted(self._kept)
            return [ordered[math.ceil(f * len(ordered)) - 1] for f in fractions if ordered]
        self._count()
        buckets = sorted(self._counts)
        so_far = list(accumulate(self._counts[bucket] for bucket in buckets))
        found: list[float] = []
        for fraction in fractions:
            rank = math.ceil(fraction * so_far[-1])
            bucket = next(b for b, count in zip(buckets, so_far, strict=True) if count >= rank)
            found.append(2 * _RATIO**bucket / (_RATIO + 1))
        return found

    def _count(self) -> None:
        counts = self._counts
        for seconds in self._kept:
            inside = min(max(seconds, SHORTEST_S), LONGEST_S)
            bucket = math.ceil(math.log(inside) / _LOG_RATIO)
            counts[bucket] = counts.get(bucket, 0) + 1
        self._longest = max(self._longest, max(self._kept, default=0.0))
        self._kept.clear()
