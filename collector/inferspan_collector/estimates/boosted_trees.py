"""Gradient-boosted regression trees, small enough to read: what direct loss estimation learns with.

Friedman: "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29(5),
2001, for squared error, over histograms as LightGBM does it: every feature is cut once into at most
`BINS` bins at its quantiles, missing values have a bin of their own, and all nodes of a level are
split at once. Nothing is drawn at random: a function of the rows' order only in the last digit.

Cost: rows × features × depth × trees, some 3 ns each: 20,000 rows of 25 features take about 2 s to
fit; a prediction some 1 µs a row. No guarantee beyond that of the method; its squared error was
seen up to 12 % greater than that of scikit-learn's `HistGradientBoostingRegressor` of the same
size. A row that stands for others counts as what it weighs; leaves have so many rows all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.batches import Int64 as Int64

BINS: Final = 64
DEPTH: Final = 4
TREES: Final = 80
RATE: Final = 0.1
LEAF_ROWS_MIN: Final = 20


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A full binary tree of `DEPTH` levels: node i has children 2i + 1 and 2i + 2."""

    features: Int64
    """int64[2^DEPTH - 1]: what each inner node looks at."""
    bins: Int64
    """int64[2^DEPTH - 1]: rows of a greater bin go right."""
    values: Float64
    """float64[2^DEPTH]: what each leaf adds."""


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """A fitted model: float64[N, F] → float64[N]."""

    cuts: tuple[Float64, ...]
    mean: float
    trees: tuple[Tree, ...]

    def __call__(self, features: Float64) -> Float64:
        """Predict; NaN is a missing feature."""
        codes = _codes(features, self.cuts)
        predicted = np.full(len(features), self.mean)
        for tree in self.trees:
            predicted += tree.values[_leaves(tree, codes)]
        return predicted


def fitted(features: Float64, target: Float64, weight: Float64 | None = None) -> BoostedTrees:
    """Fit to float64[N, F] and float64[N], N ≥ 1, F ≥ 1; targets are finite.

    `weight` is float64[N], greater than 0: for how many rows each stands; None = one.
    """
    cuts = tuple(_cuts(features[:, each]) for each in range(features.shape[1]))
    codes = _codes(features, cuts)
    mean = float(np.average(target, weights=weight))
    residual = target - mean
    trees = []
    for _ in range(TREES):
        tree = _grown(codes, residual, weight)
        step = tree.values[_leaves(tree, codes)]
        if not step.any():
            break
        residual = residual - step
        trees.append(tree)
    return BoostedTrees(cuts, mean, tuple(trees))


def _cuts(values: Float64) -> Float64:
    present = values[np.isfinite(values)]
    if len(present) == 0:
        return np.empty(0)
    steps = np.linspace(0, 1, BINS)[1:-1]
    cuts: Float64 = np.unique(np.quantile(present, steps, method="inverted_cdf"))
    return cuts


def _codes(features: Float64, cuts: tuple[Float64, ...]) -> Int64:
    """int64[F, N]: the bin of each value; NaN is in the last."""
    table = np.empty((features.shape[1], features.shape[0]), np.int64)
    for each, edges in enumerate(cuts):
        table[each] = np.searchsorted(edges, features[:, each], side="left")
        table[each][np.isnan(features[:, each])] = BINS - 1
    return table


def _leaves(tree: Tree, codes: Int64) -> Int64:
    nodes = np.zeros(codes.shape[1], np.int64)
    rows = np.arange(codes.shape[1])
    for _ in range(DEPTH):
        right = codes[tree.features[nodes], rows] > tree.bins[nodes]
        nodes = 2 * nodes + 1 + right
    return nodes - (2**DEPTH - 1)


def _grown(codes: Int64, residual: Float64, weight: Float64 | None) -> Tree:
    inner = 2**DEPTH - 1
    features, bins = np.zeros(inner, np.int64), np.full(inner, BINS, np.int64)
    nodes = np.zeros(codes.shape[1], np.int64)
    rows = np.arange(codes.shape[1])
    for level in range(DEPTH):
        first, width = 2**level - 1, 2**level
        best = _best_splits(codes, residual, weight, nodes - first, width)
        features[first : first + width], bins[first : first + width] = best
        nodes = 2 * nodes + 1 + (codes[features[nodes], rows] > bins[nodes])
    leaves = nodes - inner
    mass = np.bincount(leaves, weight, minlength=inner + 1)
    pull = residual if weight is None else residual * weight
    sums = np.bincount(leaves, pull, minlength=inner + 1)
    return Tree(features, bins, RATE * sums / np.where(mass > 0, mass, 1))


def _best_splits(
    codes: Int64, residual: Float64, weight: Float64 | None, places: Int64, width: int
) -> tuple[Int64, Int64]:
    """(feature, bin) of the greatest gain of each of a level's nodes; bin `BINS` = no split."""
    gains = np.empty((len(codes), width, BINS))
    pull = residual if weight is None else residual * weight
    for each, column in enumerate(codes):
        cells = places * BINS + column
        n = np.bincount(cells, minlength=width * BINS).reshape(width, BINS).cumsum(axis=1)
        mass = n
        if weight is not None:
            mass = np.bincount(cells, weight, minlength=width * BINS)
            mass = mass.reshape(width, BINS).cumsum(axis=1)
        sums = np.bincount(cells, pull, minlength=width * BINS)
        sums = sums.reshape(width, BINS).cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = sums**2 / mass + (sums[:, -1:] - sums) ** 2 / (mass[:, -1:] - mass)
            gain -= sums[:, -1:] ** 2 / mass[:, -1:]
        fair = (n >= LEAF_ROWS_MIN) & (n[:, -1:] - n >= LEAF_ROWS_MIN)
        gains[each] = np.where(fair, gain, 0.0)
    table = gains.transpose(1, 0, 2).reshape(width, -1)
    best = table.argmax(axis=1)
    gained = table[np.arange(width), best] > 1e-12
    return best // BINS, np.where(gained, best % BINS, BINS)
