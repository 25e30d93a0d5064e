"""ADWIN: when did the mean of a stream change? For errors: 1 = wrong, 0 = right, in event order.

It is a function of the order of values, so it is run over rows in the order of their events, never
of their arrival.

Formula: the window is kept as buckets of 1, 2, 4 … values, at most `MAX_BUCKETS` of a size; every
`CLOCK` values each cut between buckets is tried, and where the means of both sides differ by more
than ε = √(2·v·ln(2·ln n/δ)/m) + 2·ln(2·ln n/δ)/3m the oldest bucket is dropped; v is the window's
variance, 1/m the sum of 1/(n - 4) of both sides. Source: Bifet, Gavaldà: "Learning from
time-changing data with adaptive windowing", SIAM SDM 2007, as river's `drift.ADWIN` does it, with
its defaults. Unit: that of the values. Range: a mean lies where they do. Guarantee: none that is
proven. Theorem 3.1 (a false alarm has probability δ at most at each check) holds for the paper's ε
from Hoeffding's bound; ε here is its variance-aware one, an approximation by the normal
distribution, which the paper recommends and river uses. Cost: O(log n) memory; some 2 µs a value,
and O(log² n) at a check.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

DELTA: Final = 0.002
CLOCK: Final = 32
MAX_BUCKETS: Final = 5
MIN_WINDOW: Final = 5
GRACE: Final = 10


@dataclass(frozen=True, slots=True)
class Change:
    """The mean changed: found at `position` (0 = the first value), after which `after` holds."""

    position: int
    before: float
    """The mean of the window as it was."""
    after: float
    """The mean of what was kept of it."""


class AdaptiveWindow:
    """ADWIN over values given one by one."""

    def __init__(self, delta: float = DELTA) -> None:
        self._delta = delta
        self._begin()

    def _begin(self) -> None:
        # Row i holds buckets of 2^i values, oldest first: (sum, sum of squared deviations).
        self._rows: list[list[tuple[float, float]]] = [[]]
        self.width = 0
        self._total = self._deviation = 0.0
        self._ticks = 0
        self._changed = False

    @property
    def mean(self) -> float:
        """The mean of the window, 0 of an empty one."""
        return self._total / self.width if self.width else 0.0

    def update(self, value: float) -> bool:
        """Take a value in; whether the mean changed. After a change the window begins anew."""
        if self._changed:
            self._begin()
        self._insert(value)
        self._ticks += 1
        if self._ticks % CLOCK == 0 and self.width > GRACE:
            while self._cut():
                self._changed = True
        return self._changed

    def _insert(self, value: float) -> None:
        self._rows[0].append((value, 0.0))
        self.width += 1
        if self.width > 1:
            gap = value - self._total / (self.width - 1)
            self._deviation += (self.width - 1) * gap * gap / self.width
        self._total += value
        self._merge_buckets()

    def _merge_buckets(self) -> None:
        """Two buckets of a size become one of the next where there are too many."""
        row = 0
        while row < len(self._rows) and len(self._rows[row]) > MAX_BUCKETS:
            if row + 1 == len(self._rows):
                self._rows.append([])
            (first, of_first), (second, of_second) = self._rows[row][:2]
            del self._rows[row][:2]
            size = 1 << row
            gap = first / size - second / size
            merged = of_first + of_second + size * gap * gap / 2
            self._rows[row + 1].append((first + second, merged))
            row += 1

    def _cut(self) -> bool:
        """Drop the oldest bucket if any cut shows two different means; whether one did."""
        old, new = 0, self.width
        old_sum, new_sum = 0.0, self._total
        for row in range(len(self._rows) - 1, -1, -1):
            size = 1 << row
            for place, (total, _) in enumerate(self._rows[row]):
                if row == 0 and place == len(self._rows[0]) - 1:
                    return False
                old, new = old + size, new - size
                old_sum, new_sum = old_sum + total, new_sum - total
                if min(old, new) < MIN_WINDOW:
                    continue
                if abs(old_sum / old - new_sum / new) > self._epsilon(old, new):
                    self._drop_oldest()
                    return True
        return False

    def _epsilon(self, old: int, new: int) -> float:
        confidence = math.log(2 * math.log(self.width) / self._delta)
        harmonic = 1 / (old - MIN_WINDOW + 1) + 1 / (new - MIN_WINDOW + 1)
        # Rounding may leave the sum of squares of equal values a hair below 0.
        variance = max(0.0, self._deviation / self.width)
        return math.sqrt(2 * harmonic * variance * confidence) + 2 / 3 * confidence * harmonic

    def _drop_oldest(self) -> None:
        total, deviation = self._rows[-1].pop(0)
        size = 1 << (len(self._rows) - 1)
        self.width -= size
        self._total -= total
        gap = total / size - self._total / self.width
        self._deviation -= deviation + size * self.width * gap * gap / (size + self.width)
        if not self._rows[-1]:
            self._rows.pop()


def changes(values: Iterable[float], delta: float = DELTA) -> list[Change]:
    """Every change of the mean in a stream, in order."""
    window = AdaptiveWindow(delta)
    found = []
    before = 0.0
    for position, value in enumerate(values):
        if window.update(value):
            found.append(Change(position, before, window.mean))
        before = window.mean
    return found
