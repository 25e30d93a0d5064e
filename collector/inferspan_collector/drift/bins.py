"""Frozen bins: the reference decides where they lie, and they stay there.

Every window is counted in the same bins, so counts merge and windows compare.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.drift.counts import (
    Amounts,
    Counts,
    Float64,
    Int64,
    amounts,
    chosen,
    squared,
)

QUANTILES: Final = 1_024
"""Into how many parts of equal weight the reference is cut, for what reads its cumulative form."""
MANY: Final = 256
"""Of more distinct values than these a window is likely to hold others, between them."""
WIDEST: Final = 1 / 512
"""Of the reference's range: no fine bin between two such parts is wider, for few values lie far
apart in the tails, and where in a wide bin they lie would not be known. Not where there are `MANY`
distinct values or fewer."""
CATEGORIES_MAX: Final = 1_000
"""Categories of a reference with a bin of their own, the most frequent ones; the rest are
`__other__`, in the reference as in the windows."""


@dataclass(frozen=True, slots=True, eq=False)
class NumberBins:
    """Bins of a number.

    Two rulers in one: `edges` are Doane's edges and the reference's quantiles together, so that a
    bin of Doane's is a run of fine ones, and starts at one of `coarse`. Bin b holds
    [edges[b], edges[b + 1]), the last one its upper edge too, as numpy's histograms have it.
    """

    edges: Float64
    """float64[B + 1], strictly rising, finite; B ≥ 1."""
    coarse: Int64
    """int64[C]: the first fine bin of each of Doane's C bins."""
    at_edges: bool = False
    """Whether every value of the reference is an edge: it has few distinct ones."""

    def count(
        self, values: Float64, windows: Int64, n: int, weight: Float64 | None = None
    ) -> Counts:
        """Count values per window.

        Args:
            values: float64[N]; NaN = missing. Infinities lie out of range.
            windows: int64[N]: the window of each, 0 … n - 1.
            n: how many windows there are.
            weight: float64[N]: for how many rows each stands; None = one.

        Cost: a binary search in the edges per value, some 50 ns.
        """
        present = ~np.isnan(values)
        n_rows = amounts(windows, n, None)
        missing = amounts(windows[~present], n, chosen(weight, ~present))
        values, windows, weight = values[present], windows[present], chosen(weight, present)
        bins = len(self.edges) - 1
        places = np.searchsorted(self.edges, values, side="right")
        places[values == self.edges[-1]] = bins
        table = amounts(windows * (bins + 2) + places, n * (bins + 2), weight)
        table = table.reshape(n, bins + 2)
        standing = values if weight is None else values * weight
        low, high = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(low, windows, values)
        np.maximum.at(high, windows, values)
        under, over = places == 0, places == bins + 1
        return Counts(
            inside=table[:, 1:-1],
            below=table[:, 0],
            above=table[:, -1],
            below_sum=np.bincount(windows[under], standing[under], n).astype(np.float64),
            above_sum=np.bincount(windows[over], standing[over], n).astype(np.float64),
            missing=missing,
            mistyped=np.zeros(n, np.int64),
            low=low,
            high=high,
            n_values=amounts(windows, n, None),
            n_rows=n_rows,
            squares=amounts(windows, n, squared(weight)),
        )

    def coarsened(self, counts: Counts) -> Amounts:
        """[W, C + 1]: counts of Doane's bins, and of what lies outside of all, last."""
        inside = np.add.reduceat(counts.inside, self.coarse, axis=1)
        return np.column_stack([inside, counts.below + counts.above])


@dataclass(frozen=True, slots=True, eq=False)
class CategoryBins:
    """Bins of a category: the texts of the reference, and `__other__` for all others."""

    categories: tuple[str, ...]
    """Sorted as text; each has the bin of its place."""

    def count(
        self,
        codes: NDArray[np.int32],
        texts: Sequence[str],
        windows: Int64,
        n: int,
        weight: Float64 | None = None,
    ) -> Counts:
        """Count texts per window.

        Args:
            codes: int32[N]: of each row the place of its text in `texts`, -1 = missing.
            texts: distinct texts.
            windows: int64[N]: the window of each, 0 … n - 1.
            n: how many windows there are.
            weight: float64[N]: for how many rows each stands; None = one.
        """
        places = {text: place for place, text in enumerate(self.categories)}
        bins = len(places)
        table = np.array([*(places.get(text, bins) for text in texts), bins + 1], np.int64)
        cells = windows * (bins + 2) + table[codes]
        counted = amounts(cells, n * (bins + 2), weight).reshape(n, bins + 2)
        nothing, present = np.zeros(n, np.int64), codes >= 0
        return Counts(
            inside=counted[:, :bins],
            below=nothing,
            above=counted[:, bins],
            below_sum=np.zeros(n),
            above_sum=np.zeros(n),
            missing=counted[:, bins + 1],
            mistyped=nothing,
            low=np.full(n, np.inf),
            high=np.full(n, -np.inf),
            n_values=amounts(windows[present], n, None),
            n_rows=amounts(windows, n, None),
            squares=amounts(windows[present], n, squared(chosen(weight, present))),
        )

    def coarsened(self, counts: Counts) -> Amounts:
        """[W, B + 1]: counts of the categories, and of `__other__`, last."""
        return np.column_stack([counts.inside, counts.above])


Bins = NumberBins | CategoryBins


def freeze_numbers(values: Float64) -> NumberBins | None:
    """The bins that a reference of numbers asks for; None if it holds no finite number.

    Doane: "Aesthetic frequency classifications", The American Statistician 30(4), 1976: Sturges'
    rule, with more bins for skew; numpy's `histogram_bin_edges(bins="doane")`, as NannyML uses it,
    but for a reference of one value, which is a bin of its own.
    A reference of few distinct values is cut at each of them, so that its cumulative form is exact;
    the greatest has a fine bin of its own, one unit in the last place wide (not if it is the
    largest double, above which there is none).

    Args:
        values: float64[N]; NaN and infinities are left out.
    """
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return None
    coarse = _doane(finite)
    distinct = np.unique(finite)
    at_edges = len(distinct) <= QUANTILES
    cuts = distinct
    if not at_edges:
        steps = np.linspace(0, 1, QUANTILES + 1)
        cuts = np.unique(np.quantile(finite, steps, method="inverted_cdf"))
    inner = cuts[(cuts > coarse[0]) & (cuts < coarse[-1])]
    edges = np.union1d(coarse, inner)
    if len(distinct) > MANY:
        edges = _without_wide_bins(edges)
    above = np.nextafter(edges[-1], np.inf)
    if np.isfinite(above):
        # Doane's last edge is the greatest value itself, in one bin with the value before it.
        edges = np.append(edges, above)
    at_edges &= bool(np.isfinite(above))
    return NumberBins(edges, np.searchsorted(edges, coarse[:-1]).astype(np.int64), at_edges)


def _without_wide_bins(edges: Float64) -> Float64:
    """The same edges, and others evenly between those of bins wider than `WIDEST`."""
    with np.errstate(over="ignore"):
        widths, widest = np.diff(edges), (edges[-1] - edges[0]) * WIDEST
    if not np.isfinite(widest) or widest <= 0:
        return edges
    parts = np.maximum(1, np.ceil(widths / widest)).astype(np.int64)
    firsts = np.cumsum(parts) - parts
    place = np.arange(parts.sum()) - np.repeat(firsts, parts)
    between = np.repeat(edges[:-1], parts) + np.repeat(widths / parts, parts) * place
    finer: Float64 = np.union1d(edges, between)
    return finer


def freeze_categories(texts: Sequence[str | None]) -> CategoryBins | None:
    """The bins that a reference of categories asks for; None if it holds none."""
    present = np.array([text for text in texts if text is not None], dtype=np.object_)
    if len(present) == 0:
        return None
    names, counts = np.unique(present.astype(str), return_counts=True)
    # Of equally frequent ones the first as text, so that the same reference gives the same bins.
    kept = names[np.lexsort((names, -counts))[:CATEGORIES_MAX]]
    return CategoryBins(tuple(sorted(str(name) for name in kept)))


def _doane(finite: Float64) -> Float64:
    low, high = float(finite.min()), float(finite.max())
    # So far apart, or so near each other, that no bins of equal width exist as float64: two.
    edges = np.unique(np.array([low, low / 2 + high / 2, max(high, np.nextafter(low, np.inf))]))
    if low == high:
        # numpy would make a bin of width 1 around it, in which any other value is no change.
        return edges
    with np.errstate(all="ignore"), contextlib.suppress(ValueError, OverflowError):
        found = np.histogram_bin_edges(finite, bins="doane")
        if np.isfinite(found).all() and (found[1:] > found[:-1]).all():
            edges = found
    return edges
