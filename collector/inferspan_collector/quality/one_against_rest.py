"""The scores of one class against all others: sparse histograms of both sides, mergeable."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from inferspan_collector.batches import Bool, Float64, Int64
from inferspan_collector.quality import score_bins
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import auc_interval, delong, logit, wilson_share
from inferspan_collector.quality.judged import UNIT, units
from inferspan_collector.quality.means import NO_WEIGHTS, Weights


def _none() -> Int64:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class OneAgainstRest:
    """Units of weight by bin of `score_bins`, bins rising, those that hold something.

    `shift` is how many bits of the scores are not told apart.
    """

    bins: Int64 = field(default_factory=_none)
    positive: Int64 = field(default_factory=_none)
    negative: Int64 = field(default_factory=_none)
    positives: Weights = NO_WEIGHTS
    negatives: Weights = NO_WEIGHTS
    shift: int = 0

    @classmethod
    def of(
        cls, score: Float64, actual: Bool, weight: Float64, most: int = score_bins.BINS_MAX
    ) -> OneAgainstRest:
        """Of the rows that have the class's probability, in [0, 1].

        Args:
            score: float64[N].
            actual: which rows are of the class.
            weight: float64[N], greater than 0.
            most: bins that are kept.
        """
        weighed = units(weight)
        return cls._counted(
            score_bins.bins_of(score),
            (np.where(actual, weighed, 0), np.where(actual, 0, weighed)),
            (Weights.of(weight[actual]), Weights.of(weight[~actual])),
            0,
            most,
        )

    def __add__(self, other: OneAgainstRest) -> OneAgainstRest:
        return self.merged(other)

    def merged(self, other: OneAgainstRest, most: int = score_bins.BINS_MAX) -> OneAgainstRest:
        """The histogram of both their rows."""
        return self._counted(
            np.concatenate((self.bins, other.bins)),
            (
                np.concatenate((self.positive, other.positive)),
                np.concatenate((self.negative, other.negative)),
            ),
            (self.positives + other.positives, self.negatives + other.negatives),
            max(self.shift, other.shift),
            most,
        )

    @classmethod
    def _counted(
        cls,
        bins: Int64,
        sides: tuple[Int64, Int64],
        weights: tuple[Weights, Weights],
        shift: int,
        most: int,
    ) -> OneAgainstRest:
        distinct, place = np.unique(score_bins.coarser(bins, shift), return_inverse=True)
        while len(distinct) > most:
            shift += 1
            distinct, again = np.unique(score_bins.coarser(distinct, shift), return_inverse=True)
            place = again[place]
        counted = []
        for side in sides:
            total = np.zeros(len(distinct), np.int64)
            np.add.at(total, place, side)
            counted.append(total)
        return cls(distinct, counted[0], counted[1], *weights, shift)

    @property
    def rows(self) -> int:
        """Of both sides."""
        return self.positives.rows + self.negatives.rows

    def area(self) -> Figure:
        """The AUC with DeLong's interval."""
        if self.positives.rows == 0 or self.negatives.rows == 0:
            missing = "this" if self.positives.rows == 0 else "another"
            return Figure.missing(
                f"no labelled prediction has {missing} class as its truth", self.rows
            )
        value = score_bins.auc(self.positive, self.negative)
        of_p, of_q = score_bins.placements(self.positive, self.negative)
        variance = delong(
            _rows(self.positive, self.positives), of_p, _rows(self.negative, self.negatives), of_q
        )
        effective = self.positives.effective(), self.negatives.effective()
        low, high = auc_interval(value, variance, *effective)
        return Figure(value, self.rows, min(low, value), max(high, value))

    def average_precision(self) -> Figure:
        """The average precision; on the logit its variance is that of a share of the positives.

        Boyd, Eng, Page: "Area under the precision-recall curve: point estimates and confidence
        intervals", ECML 2013.
        """
        if self.positives.rows == 0:
            reason = "no labelled prediction has this class as its truth"
            return Figure.missing(reason, self.rows)
        value = min(1.0, score_bins.average_precision(self.positive, self.negative))
        positives = self.positives.effective()
        if 0.0 < value < 1.0:
            low, high = logit(value, value * (1 - value) / positives)
        else:
            low, high = wilson_share(value, positives)
        return Figure(value, self.rows, min(low, value), max(high, value))

    def thresholds(self, most: int = 1_000) -> list[tuple[float, float, float, float, float]]:
        """The confusion at every threshold that changes it, rising; at most so many, spread evenly.

        Returns:
            (threshold, tp, fp, fn, tn) each, in weight: positive is answered from the threshold on.
        """
        tp = np.cumsum(self.positive[::-1])[::-1] / UNIT
        fp = np.cumsum(self.negative[::-1])[::-1] / UNIT
        lower = score_bins.scores_of(self.bins)
        columns = (lower, tp, fp, tp[:1] - tp, fp[:1] - fp)
        some = np.unique(np.linspace(0, len(tp) - 1, min(most, len(tp))).astype(np.int64))
        return list(zip(*(column[some].tolist() for column in columns), strict=True))


def _rows(weighed: Int64, weights: Weights) -> Float64:
    """Rows per bin: as many in all as the weights are worth."""
    rows: Float64 = weighed.astype(np.float64) * (weights.effective() / float(weighed.sum()))
    return rows
