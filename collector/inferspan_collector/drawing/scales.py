"""From numbers to places: round ticks, and where a number lies between two others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 1440
MINUTE_STEPS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, _DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY,
    91 * _DAY, 182 * _DAY, 364 * _DAY,
)  # fmt: skip
"""Steps between ticks of time, in minutes, that people count in."""


_LEAST: Final = 1e-290
_GREATEST: Final = 1e300
"""Between them, steps and ticks are numbers with all their digits."""


@dataclass(frozen=True, slots=True)
class Scale:
    """From [low, high] to [0, 1]; low < high."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value lies; what is outside is put on the edge."""
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


def round_scale(
    values: Iterable[float],
    *,
    ticks: int = 4,
    least: float | None = None,
    greatest: float | None = None,
) -> tuple[Scale, list[float]]:
    """A scale whose ends are round numbers around all values, and its ticks, rising.

    Args:
        values: what is to be seen; those that are not finite, or beyond 1e300, are left out.
        ticks: about how many steps there should be between them.
        least: no tick lies below it: 0 of a proportion.
        greatest: no tick lies above it: 1 of a proportion.
    """
    drawn = [value for value in values if abs(value) < _GREATEST]
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 1.0)
    if least is not None:
        low, high = max(low, least), max(high, least)
    if greatest is not None:
        low, high = min(low, greatest), min(high, greatest)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _LEAST):
        room = abs(high) * 0.1 if abs(high) > _LEAST else 1.0
        low, high = low - room, high + room
    step = _round_step((high - low) / max(1, ticks))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if least is not None:
        first = max(first, math.ceil(least / step - 1e-9))
    if greatest is not None:
        last = min(last, math.floor(greatest / step + 1e-9))
    last = max(last, first + 1)
    places = [step * number for number in range(first, last + 1)]
    return Scale(places[0], places[-1]), places


def minute_ticks(start: float, end: float, most: int = 5) -> list[tuple[float, str]]:
    """(Unix minute, text in UTC) of at most `most` round times from `start` to `end`."""
    span = max(1.0, end - start)
    step = next((step for step in MINUTE_STEPS if span / step <= most), MINUTE_STEPS[-1])
    first = math.ceil(start / step)
    places = [number * step for number in range(first, math.floor(end / step) + 1)][:most]
    return [(place, _time_text(place, step)) for place in places]


def finite(values: Sequence[float | None]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= least * 0.999)


def _time_text(minute: float, step: int) -> str:
    time = _EPOCH + timedelta(minutes=minute)
    day = f"{time.day} {time:%b}"
    if step >= 91 * _DAY:
        return f"{time:%b %Y}"
    if step >= _DAY:
        return day
    # Midnight says which day begins.
    return day if minute % _DAY == 0 else f"{time:%H:%M}"
