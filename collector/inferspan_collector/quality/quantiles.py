"""Quantiles of numbers of any sign from a mergeable histogram.

Base-2 exponential buckets with the edges of OpenTelemetry's exponential histogram at scale 6,
powers of 2^(1/64), on both sides of zero; here a bucket holds its end nearer to zero, there the
farther one. Guarantee: a quantile is within 0.55 % of the value that has its
rank (the least with that share of the weight at or below it); zeros are exact. Counts are integers
(units of weight), so parts merge to the whole in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64, Int64
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import Z
from inferspan_collector.quality.judged import units
from inferspan_collector.quality.means import NO_ROWS, NO_WEIGHTS, Weights

SCALE: Final = 6
RELATIVE_ERROR: Final = 0.0055
"""A little more than `latency_sketch.RELATIVE_ERROR`, for the rounding at an edge."""
_PER_OCTAVE: Final = 1 << SCALE
_OFFSET: Final = 1024 * _PER_OCTAVE
"""Added to a bucket's exponent, so that all are above 0."""


def _none() -> Int64:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Quantiles:
    """Units of weight by bucket, buckets rising: negative ones, 0, positive ones."""

    buckets: Int64 = field(default_factory=_none)
    counts: Int64 = field(default_factory=_none)
    weights: Weights = NO_WEIGHTS

    @classmethod
    def of(cls, values: Float64, weight: Float64) -> Quantiles:
        """Of float64[N] each, all finite."""
        return cls(*_counted(signed_buckets(values), units(weight)), Weights.of(weight))

    def __add__(self, other: Quantiles) -> Quantiles:
        buckets = np.concatenate((self.buckets, other.buckets))
        counts = np.concatenate((self.counts, other.counts))
        return Quantiles(*_counted(buckets, counts), self.weights + other.weights)

    def figures(self, shares: tuple[float, ...]) -> list[Figure]:
        """The quantiles of some shares, with the values of the binomial ranks around as interval.

        David, Nagaraja: "Order Statistics", 3rd ed., 7.1.
        """
        n = self.weights.rows
        if n == 0:
            return [Figure.missing(NO_ROWS)] * len(shares)
        rows = self.weights.effective()
        return [self._figure(share, n, rows) for share in shares]

    def _figure(self, share: float, n: int, rows: float) -> Figure:
        half = Z * math.sqrt(share * (1 - share) / rows)
        value = self._at(share)
        if n < 2:
            return Figure(value, n)
        return Figure(value, n, self._at(share - half), self._at(share + half))

    def _at(self, share: float) -> float:
        cumulative = np.cumsum(self.counts)
        total = int(cumulative[-1])
        rank = min(max(share, 0.0), 1.0) * total
        place = int(np.searchsorted(cumulative, rank, side="left"))
        return bucket_value(int(self.buckets[place]))


def signed_buckets(values: Float64) -> Int64:
    """The bucket of each of float64[N] finite values: int64[N], rising with the value."""
    size = np.abs(values)
    mantissa, exponent = np.frexp(size)
    # log2 of a mantissa in [0.5, 1) is accurate: powers of two stay at the edge of their bucket.
    within = np.floor(np.log2(np.where(size > 0, mantissa, 0.5)) * _PER_OCTAVE)
    number = within.astype(np.int64) + exponent.astype(np.int64) * _PER_OCTAVE + _OFFSET + 1
    number = np.maximum(number, 1)
    signed: Int64 = np.where(size > 0, np.sign(values).astype(np.int64) * number, 0)
    return signed


def bucket_value(bucket: int) -> float:
    """The value that stands for a bucket: the middle of it, relative to both edges."""
    if bucket == 0:
        return 0.0
    exponent = (abs(bucket) - 1 - _OFFSET + 0.5) / _PER_OCTAVE
    size = math.ldexp(2 ** (exponent - math.floor(exponent)), math.floor(exponent))
    return math.copysign(size, bucket)


def _counted(buckets: Int64, weighed: Int64) -> tuple[Int64, Int64]:
    distinct, place = np.unique(buckets, return_inverse=True)
    counts = np.zeros(len(distinct), np.int64)
    np.add.at(counts, place, weighed)
    return distinct, counts
