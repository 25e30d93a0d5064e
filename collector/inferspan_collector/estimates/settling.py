"""How long labels take, and so how much of a window is settled.

The lag of a label is the time from the prediction's event to the label's becoming known here. Of a
young prediction a label may be yet to come, so the lags seen so far are shorter than those of all:
predictions without a label count as waiting up to their age (Kaplan, Meier: "Nonparametric
estimation from incomplete observations", JASA 53(282), 1958), here in buckets, exact at their
bounds.

`curve` is a function of the set of lags and ages; counts in buckets merge by addition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.batches import Int64 as Int64

SECOND_NS: Final = 1_000_000_000
STEPS: Final = 8
"""Bounds per doubling: 9 % apart."""
BOUNDS_NS: Final[Int64] = np.unique(
    np.round(SECOND_NS * 2.0 ** (np.arange(24 * STEPS + 1) / STEPS)).astype(np.int64)
)
"""int64[L]: 1 s … 194 days. A bucket holds what lies above the bound before it, up to its own."""


@dataclass(frozen=True, slots=True, eq=False)
class Lags:
    """Predictions counted by bucket of `BOUNDS_NS`, the last bucket beyond all; `+` merges."""

    labelled: Int64
    """int64[L + 1]: labelled predictions, by the bucket of their label's lag."""
    waiting: Int64
    """int64[L + 1]: those of which it is not known yet, by how many bounds they have outlived."""

    def __add__(self, other: Lags) -> Lags:
        return Lags(self.labelled + other.labelled, self.waiting + other.waiting)


def counted(lags_ns: Int64, ages_ns: Int64, n: Int64 | None = None) -> Lags:
    """Count predictions.

    Args:
        lags_ns: int64[N]: the lag of each one's label, below 0 where there is none.
        ages_ns: int64[N]: how long ago each one's event was.
        n: int64[N]: how many predictions a row stands for; one each where it is left out.
    """
    # At a bound that is still ahead of a prediction nothing is known of it, whether or not a label
    # came: else of two predictions of one age that with a label would count and the other not.
    known = np.searchsorted(BOUNDS_NS, ages_ns, side="right")
    came = np.searchsorted(BOUNDS_NS, np.maximum(lags_ns, 0), side="left")
    labelled = (lags_ns >= 0) & (came < known)
    weights = np.ones(len(lags_ns), np.int64) if n is None else n
    return Lags(
        _per_bucket(came[labelled], weights[labelled]),
        _per_bucket(known[~labelled], weights[~labelled]),
    )


def _per_bucket(buckets: Int64, n: Int64) -> Int64:
    table = np.zeros(len(BOUNDS_NS) + 1, np.int64)
    np.add.at(table, buckets, n)
    return table


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The share of predictions that have their label after a time."""

    shares: Float64
    """float64[L]: at each of `BOUNDS_NS`; never falls."""

    @property
    def final(self) -> float:
        """The share that has a label in the end, as far as was seen: 0 … 1."""
        return float(self.shares[-1])

    def settled(self, ages_ns: Int64) -> Float64:
        """float64[N]: of the labels that come in the end, the share that is there at each age.

        0 where no label ever came; between two bounds on the line between them.
        """
        if self.final <= 0:
            return np.zeros(len(ages_ns))
        points = np.concatenate([[0], BOUNDS_NS]).astype(np.float64)
        shares = np.concatenate([[0.0], self.shares])
        at: Float64 = np.interp(ages_ns.astype(np.float64), points, shares) / self.final
        return at

    def quantile_ns(self, q: float) -> int | None:
        """The lag within which the share q of all labels that come has come; None without any.

        Within 9 % of the exact one, from above.
        """
        if self.final <= 0:
            return None
        place = int(np.searchsorted(self.shares, q * self.final - 1e-12, side="left"))
        return int(BOUNDS_NS[min(place, len(BOUNDS_NS) - 1)])


def curve(lags: Lags) -> Curve:
    """The product-limit estimate at each bound."""
    labelled = lags.labelled[:-1].astype(np.float64)
    gone = lags.labelled + lags.waiting
    at_risk = (gone[::-1].cumsum()[::-1] - lags.waiting)[:-1].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        survives = np.where(at_risk > 0, 1 - labelled / at_risk, 1.0)
    return Curve((1 - np.cumprod(survives)).astype(np.float64))
