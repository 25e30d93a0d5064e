"""Labelled predictions as rows: what the measures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Int64, Strings, UInt64

UNIT: Final = 1 << 20
"""Weights in histograms are whole multiples of 1/UNIT (sums of 8·10¹² fit): integers add up in any
order. A weight of 1 is exact, as every multiple of 1/UNIT is; others are off by 5e-7 at most."""
GROUPS: Final = 64
"""Rows fall into groups by their identity, so that a resample is one weight per group: it is the
same whatever the order of the rows, and sums per group merge by addition."""
REPLICATES: Final = 200

_NO_PROBABILITIES: Final = np.empty((0, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Labelled predictions of one model, one row each; N rows.

    `identity` is a hash of the prediction's key, the same wherever and whenever it arrived.
    `predicted` and `actual` are classes, or sets and rankings as JSON arrays; `score`, `value` and
    `truth` numbers, NaN where there is none: the score is P(positive) of a binary task, else
    P(predicted). `weight` is greater than 0. `probabilities` is float64[N, K] in the order of
    `classes`, a row of NaN where none were recorded; K may be 0.
    """

    identity: UInt64
    predicted: Strings
    actual: Strings
    score: Float64
    value: Float64
    truth: Float64
    weight: Float64
    classes: tuple[str, ...] = ()
    probabilities: Float64 = field(default_factory=lambda: _NO_PROBABILITIES)

    def __len__(self) -> int:
        return len(self.identity)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Judged:
        """Select rows by mask or index."""
        return Judged(
            self.identity[rows],
            self.predicted.take(rows),
            self.actual.take(rows),
            self.score[rows],
            self.value[rows],
            self.truth[rows],
            self.weight[rows],
            self.classes,
            self.probabilities[rows] if self.classes else self.probabilities,
        )

    def groups(self) -> Int64:
        """The group of each row: int64[N], from 0 to GROUPS - 1."""
        return (self.identity % np.uint64(GROUPS)).astype(np.int64)

    def right(self) -> Bool:
        """Which rows predicted what is actual: bool[N]."""
        return equal(self.predicted, self.actual)


def units(weight: Float64) -> Int64:
    """Weights as multiples of 1/UNIT, at least one: int64[N]."""
    return np.maximum(np.rint(weight * UNIT), 1).astype(np.int64)


def equal(left: Strings, right: Strings) -> Bool:
    """Where two columns say the same text; absent equals nothing."""
    place = {text: code for code, text in enumerate(right.values)}
    known = np.array([*(place.get(text, -2) for text in left.values), -2], np.int64)
    found: Bool = known[left.codes] == right.codes
    return found


def is_text(column: Strings, text: str | None) -> Bool:
    """Where a column says this text: bool[N]."""
    codes = [code for code, value in enumerate(column.values) if value == text]
    return np.isin(column.codes, codes)


def resampled(groups: Sequence[Float64] | Float64) -> Float64:
    """Sums of Poisson resamples, from the sums of each group of rows.

    Every row of a group gets the same weight, drawn from Poisson(1), so a resample is a weighted
    sum of the groups' sums, and two collectors' resamples merge as their sums do. Hanley,
    MacGibbon: "Creating non-parametric bootstrap samples using Poisson frequencies", 2006;
    Chamandy et al.: "Estimating uncertainty for massive data streams", 2012. The weights are
    fixed: the same rows have the same interval.

    Args:
        groups: float64[GROUPS, C]: sums of C columns.

    Returns:
        float64[REPLICATES, C]; not finite where a group's sum is beyond a double.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return _WEIGHTS @ np.asarray(groups)


def poisson_resamples(cells: Float64) -> Float64:
    """Resamples of rows that are known only by their cells: float64[REPLICATES, *cells.shape].

    The Poisson(1) weights of a cell's n rows add up to a Poisson(n) number. Drawn by a generator
    of a fixed seed: the same cells have the same resamples.
    """
    expected = np.broadcast_to(cells, (REPLICATES, *cells.shape))
    return np.random.default_rng(1).poisson(expected).astype(np.float64)


def _weights() -> Float64:
    return np.random.default_rng(0).poisson(1.0, (REPLICATES, GROUPS)).astype(np.float64)


_WEIGHTS: Final = _weights()
