"""Histograms of scores: which bin a score is in, and what the counts of two histograms say.

A bin is a distinct score while there are `BINS_MAX` of them at most. With more, bins are made
coarser until that many are left: they then have one relative width, of the score up to one half and
of what it lacks to 1 above, since scores of rare events and of models too sure of themselves crowd
at the ends (and a sigmoid crowds them anywhere: equal bins of a thousandth missed an AUC by 0.008).
Bins nest, so how coarse they are follows from the set of scores alone: histograms merge by adding
integers, in any order, to the same histogram.

Guarantee: what rests on order (AUC, average precision) is exact up to `BINS_MAX` distinct scores.
Beyond, the error of an AUC is at most Σ over bins of positives·negatives ÷ (2·P·N), `auc_error`:
some 1e-9 for continuous scores, and 1e-4 at most unless more than that many crowd within a relative
width of 1e-4.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.batches import Float64, Int64

BINS_MAX: Final = 1 << 17
"""Bins of a histogram that are occupied."""
_HALF: Final = int(np.float64(0.5).view(np.int64))
_WHOLE: Final = 2 * _HALF + 1


def bins_of(scores: Float64) -> Int64:
    """The finest bin of each of float64[N] scores in [0, 1]: int64[N], rising with the score.

    Up to one half that is the double's bits, above it those of what is missing to 1, from above.
    """
    # Exact: of a double from 0.5 to 1, the difference to 1 is a double. Adding 0.0 makes -0.0 that.
    below = scores <= 0.5
    bits = (np.where(below, scores, 1.0 - scores) + 0.0).view(np.int64)
    return np.where(below, bits, _WHOLE - bits)


def scores_of(bins: Int64) -> Float64:
    """The score that a bin holds; of a coarser one, that at its outer end."""
    below = bins <= _HALF
    ends = np.where(below, bins, _WHOLE - bins).astype(np.int64).view(np.float64)
    scores: Float64 = np.where(below, ends, 1.0 - ends)
    return scores


def coarser(bins: Int64, shift: int) -> Int64:
    """The bin of each bin where the last `shift` bits of its score are the same."""
    below = bins <= _HALF
    ends = np.where(below, bins, _WHOLE - bins) >> shift << shift
    return np.where(below, ends, _WHOLE - ends)


def placements(positive: Int64, negative: Int64) -> tuple[Float64, Float64]:
    """How each bin's rows stand to the other class: DeLong's structural components.

    Args:
        positive: int64[B]: rows of the positive class by bin, bins rising.
        negative: int64[B]: the others.

    Returns:
        (share of the negatives below a positive of the bin, share of the positives above a
        negative of the bin), float64[B] each; a row of the same bin counts a half. NaN where the
        other class has no rows.
    """
    below = np.cumsum(negative) - negative + negative / 2
    above = positive.sum() - np.cumsum(positive) + positive / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return below / negative.sum(), above / positive.sum()


def auc(positive: Int64, negative: Int64) -> float:
    """The share of (positive, negative) pairs in the right order, ties a half.

    Arguments as `placements`; both classes have rows. From integers until the last division.
    """
    below = 2 * (np.cumsum(negative) - negative) + negative
    # Python's integers: the products are beyond 2**63 from some 2 G rows on.
    twice = sum(p * b for p, b in zip(positive.tolist(), below.tolist(), strict=True) if p)
    return float(twice / (2 * int(positive.sum()) * int(negative.sum())))


def auc_error(positive: Int64, negative: Int64) -> float:
    """How far `auc` can be from that of the scores themselves: all ties of bins the worst way."""
    pairs = int(positive.sum()) * int(negative.sum())
    return float(np.dot(positive.astype(np.float64), negative)) / (2 * pairs)


def average_precision(positive: Int64, negative: Int64) -> float:
    """scikit-learn's `average_precision_score`, each bin one threshold.

    Σ (Rₙ - Rₙ₋₁)·Pₙ over falling thresholds. Arguments as `placements`; `positive` has rows.
    """
    hits = np.cumsum(positive[::-1])
    answered = hits + np.cumsum(negative[::-1])
    with np.errstate(invalid="ignore"):
        precision = np.where(answered > 0, hits / np.maximum(answered, 1), 0.0)
    return float(np.dot(positive[::-1] / positive.sum(), precision))
