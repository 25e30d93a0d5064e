"""How far is too far: learnt from the windows of the reference, or said.

Learnt: mean ± 3·std (ddof 0) of what the windows of the reference themselves give, NannyML's
default (`StandardDeviationThreshold`). A threshold beyond a limit of the figure stands at that
limit, as there: nothing crosses it, for values alert strictly outside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.drift.counts import Float64

DEVIATIONS: Final = 3.0
WINDOWS_MIN: Final = 5
"""Of fewer reference windows nothing is learnt. Were windows as like each other as chance makes
them, one in three would be beyond 3 deviations of two, one in six of three, one in fourteen of
five, one in forty of ten."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Values outside [low, high] alert; None = no threshold on that side."""

    low: float | None = None
    high: float | None = None

    def outside(self, value: float) -> bool:
        """Whether one value is outside."""
        return (self.low is not None and value < self.low) or (
            self.high is not None and value > self.high
        )

    def alerts(self, values: Float64) -> NDArray[np.bool_]:
        """bool[W]: which values are outside; NaN never is."""
        outside = np.zeros(len(values), np.bool_)
        if self.low is not None:
            outside |= values < self.low
        if self.high is not None:
            outside |= values > self.high
        return outside


NO_THRESHOLDS: Final = Thresholds()


def learnt(
    reference: Float64,
    deviations: float = DEVIATIONS,
    least: float | None = None,
    greatest: float | None = None,
) -> Thresholds:
    """Thresholds from the figures of the reference's windows.

    Args:
        reference: float64[R]; what is not finite is left out.
        deviations: how many standard deviations either way.
        least: the least value that the figure can have: no lower threshold is less.
        greatest: likewise its greatest one.

    Returns:
        No thresholds at all where fewer than `WINDOWS_MIN` windows have a figure.
    """
    finite = reference[np.isfinite(reference)]
    if len(finite) < WINDOWS_MIN:
        return Thresholds()
    mean, spread = float(finite.mean()), float(finite.std())
    low, high = mean - deviations * spread, mean + deviations * spread
    return Thresholds(
        low=low if least is None else max(low, least),
        high=high if greatest is None else min(high, greatest),
    )
