"""A latency objective, "99 % of calls under 50 ms", and how fast its budget of slow calls is spent.

The burn rate is the share of slow calls over the share that may be slow: at 1 the budget lasts
exactly as long as the objective's time, at 14.4 an hour takes 2 % of a month's (Beyer et al.: "The
Site Reliability Workbook", chapter 5). From the latency histogram, so it merges like it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inferspan_collector.latency_sketch import buckets_within
from inferspan_collector.quality.counted_windows import Tallied
from inferspan_collector.quality.intervals import wilson


@dataclass(frozen=True, slots=True)
class Objective:
    """That a share of calls takes no longer than a limit."""

    limit_ns: float
    share: float
    """0 < share < 1."""

    def of(self, durations: Tallied, rows: int) -> list[dict[str, Any]]:
        """What became of it in each of some windows: share within, its interval, burn rate.

        Null of no calls.

        Args:
            durations: calls by window and bucket of `latency_sketch`.
            rows: how many windows there are.
        """
        held = buckets_within(durations.what, self.limit_ns)
        fast = np.bincount(durations.row[held], durations.n[held], rows)
        total = np.bincount(durations.row, durations.n, rows)
        return [
            self._said(int(n), int(calls))
            for n, calls in zip(fast.tolist(), total.tolist(), strict=True)
        ]

    def _said(self, fast: int, total: int) -> dict[str, Any]:
        said = {"limit": self.limit_ns / 1e9, "share": self.share}
        if total == 0:
            return {**said, "within": None, "burn_rate": None}
        low, high = wilson(fast, total)
        return {
            **said,
            "within": {"value": fast / total, "low": low, "high": high, "n": total},
            "burn_rate": (total - fast) / total / (1 - self.share),
        }
