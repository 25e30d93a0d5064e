"""Histograms of scores: which bin a score is in, and what the counts of two histograms say.

A histogram is an integer per bin, so histograms merge by addition, exactly and in any order. A bin
is three significant digits: of the score up to one half, of what is missing to 1 above it. So bins
are thousandths of [0, 1] from 0.1 to 0.9 and finer towards both ends, down to 1e-8, since scores of
rare events crowd there and a bin that holds most of both classes would say little of their order.
All edges are decimals, so the confusion at a threshold of three decimals is exact.

Guarantee: what rests on order alone (AUC, average precision) is exact if no two scores of
different classes share a bin without being equal, as with scores of three decimals. Otherwise the
error of an AUC is at most Σ over bins of positives·negatives ÷ (2·P·N), `auc_error`: 1e-4 or less,
and in practice some 1e-6, on continuous scores of 1,000 rows and more.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64, Int64


def _edges() -> Float64:
    below = {Fraction(k, 10 ** (decade + 3)) for decade in range(6) for k in range(100, 1000)}
    lower = {edge for edge in below if edge <= Fraction(1, 2)}
    edges = sorted(lower | {1 - edge for edge in lower})
    return np.array([float(edge) for edge in edges])


EDGES: Final = _edges()
"""float64[BINS - 1], rising: bin b holds the scores s with EDGES[b - 1] <= s < EDGES[b]. Scores
outside [0, 1], as margins are, fall into the first and the last."""
BINS: Final = len(EDGES) + 1
LOWER: Final = np.concatenate(([0.0], EDGES))
"""float64[BINS]: where each bin begins."""


def bins_of(scores: Float64) -> Int64:
    """The bin of each of float64[N] scores, none NaN: int64[N], from 0 to BINS - 1."""
    return np.searchsorted(EDGES, scores, side="right").astype(np.int64)


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


def average_precision_bounds(positive: Int64, negative: Int64) -> tuple[float, float]:
    """The least and the greatest average precision that scores in these bins can have.

    Within a bin all negatives stand before the positives, or all behind them. Arguments as
    `placements`; `positive` has rows. Each bin's Σ of hits ÷ rank is bounded by its first and last
    term, so the bounds hold, and are not the tightest.
    """
    p, n = positive[::-1], negative[::-1]
    hits, misses = np.cumsum(p), np.cumsum(n)
    before = hits - p
    low = (before + 1) / np.maximum(before + 1 + misses, 1)
    least = np.minimum(low, hits / np.maximum(hits + misses, 1))
    most = np.where(hits > 0, hits / np.maximum(hits + misses - n, 1), 0.0)
    share = p / p.sum()
    return float(np.dot(share, least)), float(np.dot(share, np.minimum(most, 1.0)))
