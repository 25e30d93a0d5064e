"""A mergeable latency histogram with a relative-error guarantee.

Logarithmic buckets as in DDSketch (Masson, Rim, Lee: "DDSketch: A fast and fully-mergeable
quantile sketch with relative-error guarantees", PVLDB 12(12), 2019), without collapsing.

Guarantee: a quantile taken from the counts differs from the exact one (of the same rank) by at
most `RELATIVE_ERROR` of its value, for durations from 1 ns to 292 years. Cost: at most
`BUCKET_MAX` + 1 integer counters; merging is adding them.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

RELATIVE_ERROR: Final = 0.01
GAMMA: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_LOG_GAMMA: Final = math.log(GAMMA)
BUCKET_MAX: Final = math.ceil(63 * math.log(2) / _LOG_GAMMA)


def buckets(durations_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """Map durations to bucket numbers.

    Bucket b > 0 holds durations in (GAMMA^(b-1), GAMMA^b] ns; bucket 0 holds 1 ns and less
    (negative durations, which a clock set back between start and end can give, count as 0).
    """
    positive = np.maximum(durations_ns, 1).astype(np.float64)
    # Rounding first keeps exact powers in their own bucket despite the logarithm's last bit.
    exponents = np.round(np.log(positive) / _LOG_GAMMA, 9)
    return np.ceil(exponents).astype(np.int16)


def bucket_values_ns(numbers: NDArray[np.int16]) -> NDArray[np.float64]:
    """The value that stands for each bucket, in ns: within `RELATIVE_ERROR` of all it holds."""
    return np.where(numbers <= 0, 1.0, 2.0 * GAMMA ** numbers.astype(np.float64) / (GAMMA + 1.0))


def quantiles_ns(
    numbers: NDArray[np.int16], counts: NDArray[np.int64], qs: tuple[float, ...]
) -> list[float] | None:
    """Quantiles from bucket counts.

    Args:
        numbers: bucket numbers, ascending, each once.
        counts: how many durations each bucket holds, ≥ 0.
        qs: quantiles in [0, 1]. The value of rank ⌊q·(n-1)⌋ is returned, as DDSketch does.

    Returns:
        One value in ns per quantile, or None when nothing was counted.
    """
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1]) if len(cumulative) else 0
    if total == 0:
        return None
    ranks = np.floor(np.array(qs) * (total - 1))
    positions = np.searchsorted(cumulative, ranks, side="right")
    return [float(value) for value in bucket_values_ns(numbers[positions])]
