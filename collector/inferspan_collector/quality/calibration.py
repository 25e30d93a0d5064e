"""How scores compare with what happened: ten bins, mergeable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Float64
from inferspan_collector.quality.exact_sums import ExactSum, exact_sums
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.judged import poisson_resamples
from inferspan_collector.quality.means import NO_ROWS, NO_WEIGHTS, Weights

BINS: Final = 10
_INNER: Final = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
"""scikit-learn's `calibration_curve`: a bin holds its upper edge."""
_CELLS: Final = 2 * BINS
_NONE: Final = (ExactSum(),) * _CELLS


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weight and weighted scores per cell: a bin, and whether it happened (the later ten)."""

    weights: Weights = NO_WEIGHTS
    weight: tuple[ExactSum, ...] = _NONE
    scores: tuple[ExactSum, ...] = _NONE

    @classmethod
    def of(cls, score: Float64, happened: Bool, weight: Float64) -> Calibration:
        """Of float64[N] scores in [0, 1]."""
        cell = np.searchsorted(_INNER, score) + BINS * happened.astype(np.int64)
        return cls(
            Weights.of(weight),
            tuple(exact_sums(weight, cell, _CELLS)),
            tuple(exact_sums(weight * score, cell, _CELLS)),
        )

    def __add__(self, other: Calibration) -> Calibration:
        return Calibration(
            self.weights + other.weights,
            tuple(a + b for a, b in zip(self.weight, other.weight, strict=True)),
            tuple(a + b for a, b in zip(self.scores, other.scores, strict=True)),
        )

    def curve(self) -> list[tuple[float, float, float]]:
        """(mean score, share that happened, weight) of each bin that holds rows, rising."""
        weight, scores = self._cells()
        rows = weight.sum(axis=0)
        held = rows > 0
        return list(
            zip(
                (scores.sum(axis=0)[held] / rows[held]).tolist(),
                (weight[1][held] / rows[held]).tolist(),
                rows[held].tolist(),
                strict=True,
            )
        )

    def figure(self) -> Figure:
        """The expected calibration error: Σ share of the rows · |mean score - share that happened|.

        Its interval is of a Poisson bootstrap of the cells, turned about the figure (basic), since
        a resample's error is larger than its sample's as the sample's is than the truth. Of 100
        rows it holds the true error 8 times of 10 only, from some 400 on 9 times.
        """
        n = self.weights.rows
        if n == 0:
            return Figure.missing(NO_ROWS)
        weight, scores = self._cells()
        value = float(_error(weight, scores))
        worth = self.weights.effective() / float(self.weights.total)
        drawn = poisson_resamples(weight * worth) / worth
        with np.errstate(invalid="ignore"):
            mean = np.where(weight > 0, scores / np.where(weight > 0, weight, 1.0), 0.0)
        errors = _error(drawn, drawn * mean)
        below, above = np.quantile(errors, (0.025, 0.975)).tolist()
        low, high = max(0.0, 2 * value - above), min(1.0, 2 * value - below)
        return Figure(min(1.0, value), n, min(low, value), max(high, value))

    def _cells(self) -> tuple[Float64, Float64]:
        """Weight and weighted scores: float64[2, BINS], happened below."""
        weight = np.array([float(total) for total in self.weight]).reshape(2, BINS)
        return weight, np.array([float(total) for total in self.scores]).reshape(2, BINS)


def _error(weight: Float64, scores: Float64) -> Float64:
    gaps = np.abs(weight[..., 1, :] - scores.sum(axis=-2)).sum(axis=-1)
    found: Float64 = gaps / np.maximum(weight.sum(axis=(-2, -1)), 1e-300)
    return found
