"""A latency objective, "99 % of calls under 50 ms", and how fast its budget of slow calls is spent.

The burn rate is the share of slow calls over the share that may be slow: at 1 the budget lasts
exactly as long as the objective's time, at 14.4 an hour takes 2 % of a month's (Beyer et al.: "The
Site Reliability Workbook", chapter 5). From the latency histogram, so it merges like it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferspan_collector.latency_sketch import share_within
from inferspan_collector.quality.intervals import wilson


@dataclass(frozen=True, slots=True)
class Objective:
    """That a share of calls takes no longer than a limit."""

    limit_ns: float
    share: float
    """0 < share < 1."""

    def of(self, durations: Mapping[int, int]) -> dict[str, Any]:
        """What became of it: share within and its interval, burn rate; null of no calls.

        Args:
            durations: bucket of `latency_sketch` → calls.
        """
        said = {"limit": self.limit_ns / 1e9, "share": self.share}
        numbers = np.array(list(durations), np.int16)
        n = np.array(list(durations.values()), np.int64)
        within, total = share_within(numbers, n, self.limit_ns)
        if total == 0:
            return {**said, "within": None, "burn_rate": None}
        low, high = wilson(within, total)
        return {
            **said,
            "within": {"value": within / total, "low": low, "high": high, "n": total},
            "burn_rate": (total - within) / total / (1 - self.share),
        }
