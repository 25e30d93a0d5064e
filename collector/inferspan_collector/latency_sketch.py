"""A mergeable latency histogram with a relative-error guarantee.

OpenTelemetry's base-2 exponential histogram at scale 6: buckets grow by 2^(1/64), and bucket b here
is index b - 1 there, so counts go into an OTLP `ExponentialHistogram` or a native histogram of
Prometheus as they are, of nanoseconds: in seconds no edge is a power of the base, and the counts
would have to be moved to neighbouring buckets (
opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram).
Never rescaled: 4,033 buckets reach from 1 ns to 292 years.

Guarantee: a quantile taken from the counts differs from the exact one (of the same rank) by at
most `RELATIVE_ERROR` of its value. Cost: at most `BUCKET_MAX` + 1 integer counters; merging is
adding them, exact in any order.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

SCALE: Final = 6
GAMMA: Final = 2 ** (2**-SCALE)
RELATIVE_ERROR: Final = (GAMMA - 1) / (GAMMA + 1)
"""0.54 %: of the value that stands for a bucket, to either of its ends."""
_LOG_GAMMA: Final = math.log(2) / 2**SCALE
BUCKET_MAX: Final = math.ceil(63 * math.log(2) / _LOG_GAMMA)


def buckets(durations_ns: NDArray[np.int64]) -> NDArray[np.int16]:
    """Map durations to bucket numbers.

    Bucket b > 0 holds durations in (GAMMA^(b-1), GAMMA^b] ns, each edge met within 6e-12 of
    its value (to the nanosecond below a minute); bucket 0 holds 1 ns and less
    (negative durations, which a clock set back between start and end can give, count as 0).
    """
    positive = np.maximum(durations_ns, 1).astype(np.float64)
    # Rounding first keeps exact powers in their own bucket despite the logarithm's last bit.
    exponents = np.round(np.log(positive) / _LOG_GAMMA, 9)
    return np.ceil(exponents).astype(np.int16)


def bucket_sql(column: str) -> str:
    """The same in SQL, of a column of integers."""
    return f"ceil(round(ln(greatest({column}, 1)) / {_LOG_GAMMA!r}, 9))::SMALLINT"


def bucket_values_ns(numbers: NDArray[np.integer]) -> NDArray[np.float64]:
    """The value that stands for each bucket, in ns: within `RELATIVE_ERROR` of all it holds."""
    return np.where(numbers <= 0, 1.0, 2.0 * GAMMA ** numbers.astype(np.float64) / (GAMMA + 1.0))


def quantiles_ns(
    numbers: NDArray[np.int16], counts: NDArray[np.int64], qs: tuple[float, ...]
) -> list[float] | None:
    """Quantiles from bucket counts.

    Args:
        numbers: bucket numbers, ascending, each once.
        counts: how many durations each bucket holds, ≥ 0.
        qs: quantiles in [0, 1]. Of n durations the value of rank max(1, ⌈q·n⌉) is returned: the
            least that at least that share of them does not exceed (Hyndman, Fan: "Sample quantiles
            in statistical packages", The American Statistician 50, 1996, definition 1; numpy's
            `inverted_cdf`, Prometheus' `histogram_quantile` of whole buckets).

    Returns:
        One value in ns per quantile, or None when nothing was counted.
    """
    found = quantiles_of_rows_ns(np.zeros(len(numbers), np.int64), numbers, counts, 1, qs)[:, 0]
    return None if np.isnan(found).any() else found.tolist()


def quantiles_of_rows_ns(
    row: NDArray[np.int64],
    numbers: NDArray[np.integer],
    counts: NDArray[np.int64],
    rows: int,
    qs: tuple[float, ...],
) -> NDArray[np.float64]:
    """Quantiles of many histograms at once.

    Args:
        row: of each bucket its histogram, from 0 to rows - 1, ascending.
        numbers: bucket numbers, ascending within a row, each once.
        counts: how many durations each bucket holds, ≥ 0.
        rows: how many histograms there are.
        qs: as for one.

    Returns:
        float64[len(qs), rows], NaN where nothing was counted.
    """
    cumulative = np.concatenate([[0], np.cumsum(counts)])
    edges = cumulative[np.searchsorted(row, np.arange(rows + 1))]
    before, total = edges[:-1], np.diff(edges)
    held = total > 0
    found = np.full((len(qs), rows), np.nan)
    for place, q in enumerate(qs):
        # Rounded first: 0.07 · 100 is a little more than 7 as doubles, and the eighth is too high.
        rank = np.maximum(1, np.ceil(np.round(q * total[held], 9))).astype(np.int64)
        positions = np.searchsorted(cumulative[1:], before[held] + rank, side="left")
        found[place, held] = bucket_values_ns(numbers[positions])
    return found


def buckets_within(numbers: NDArray[np.integer], limit_ns: float) -> NDArray[np.bool_]:
    """Which buckets hold durations at or under a limit.

    The bucket that the limit lies in is one of them if the value that stands for it is, so
    durations within `RELATIVE_ERROR` of the limit may be on the wrong side.
    """
    return bucket_values_ns(numbers) <= limit_ns
