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
    """Units of weight by bin of `score_bins`, bins rising, those that hold something."""

    bins: Int64 = field(default_factory=_none)
    positive: Int64 = field(default_factory=_none)
    negative: Int64 = field(default_factory=_none)
    positives: Weights = NO_WEIGHTS
    negatives: Weights = NO_WEIGHTS

    @classmethod
    def of(cls, score: Float64, actual: Bool, weight: Float64) -> OneAgainstRest:
        """Of the rows that have the class's probability."""
        bins, place = np.unique(score_bins.bins_of(score), return_inverse=True)
        weighed = units(weight)
        sides = []
        for side in (actual, ~actual):
            counted = np.zeros(len(bins), np.int64)
            np.add.at(counted, place[side], weighed[side])
            sides.append(counted)
        return cls(
            bins, sides[0], sides[1], Weights.of(weight[actual]), Weights.of(weight[~actual])
        )

    def __add__(self, other: OneAgainstRest) -> OneAgainstRest:
        bins, place = np.unique(np.concatenate((self.bins, other.bins)), return_inverse=True)
        sides = []
        for mine, others in ((self.positive, other.positive), (self.negative, other.negative)):
            counted = np.zeros(len(bins), np.int64)
            np.add.at(counted, place, np.concatenate((mine, others)))
            sides.append(counted)
        return OneAgainstRest(
            bins,
            sides[0],
            sides[1],
            self.positives + other.positives,
            self.negatives + other.negatives,
        )

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

    def thresholds(self) -> list[tuple[float, float, float, float, float]]:
        """The confusion at every threshold that changes it, rising.

        Returns:
            (threshold, tp, fp, fn, tn) each, in weight: positive is answered from the threshold on.
        """
        tp = np.cumsum(self.positive[::-1])[::-1] / UNIT
        fp = np.cumsum(self.negative[::-1])[::-1] / UNIT
        lower = score_bins.LOWER[self.bins]
        columns = (lower, tp, fp, tp[:1] - tp, fp[:1] - fp)
        return list(zip(*(column.tolist() for column in columns), strict=True))


def _rows(weighed: Int64, weights: Weights) -> Float64:
    """Rows per bin: as many in all as the weights are worth."""
    rows: Float64 = weighed.astype(np.float64) * (weights.effective() / float(weighed.sum()))
    return rows
