"""A column of a reference, its bins and its windows in them ↔ its part of a document."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from inferspan_collector.baselines import document
from inferspan_collector.drift.bins import Bins, CategoryBins, NumberBins
from inferspan_collector.drift.counts import Counts
from inferspan_collector.drift.passes import Reference

_SUMMED = ("below", "above", "below_sum", "above_sum", "missing", "mistyped")


def column_of(reference: Reference) -> document.Column:
    """As the document holds it."""
    counts, bins = reference.windows, reference.bins
    windows = tuple(
        document.Tally(
            inside=tuple(counts.inside[each].tolist()),
            low=document.finite(counts.low[each].item()),
            high=document.finite(counts.high[each].item()),
            **{name: getattr(counts, name)[each].item() for name in _SUMMED},
        )
        for each in range(len(counts))
    )
    if isinstance(bins, NumberBins):
        return document.Column(
            edges=tuple(bins.edges.tolist()),
            coarse=tuple(bins.coarse.tolist()),
            at_edges=bins.at_edges,
            windows=windows,
        )
    return document.Column(categories=bins.categories, windows=windows)


def reference_of(column: document.Column) -> Reference:
    """What drift is measured against: the same as before it was written."""
    windows = column.windows
    bins: Bins = CategoryBins(column.categories)
    if column.edges:
        bins = NumberBins(
            np.array(column.edges, float), np.array(column.coarse, np.int64), column.at_edges
        )
    nothing = np.zeros(len(windows), np.int64)
    counts = Counts(
        inside=np.array([window.inside for window in windows], np.int64),
        low=np.array([np.inf if window.low is None else window.low for window in windows]),
        high=np.array([-np.inf if window.high is None else window.high for window in windows]),
        below=np.array([window.below for window in windows], np.int64),
        above=np.array([window.above for window in windows], np.int64),
        below_sum=np.array([window.below_sum for window in windows], float),
        above_sum=np.array([window.above_sum for window in windows], float),
        missing=np.array([window.missing for window in windows], np.int64),
        mistyped=np.array([window.mistyped for window in windows], np.int64),
        n_values=nothing,
        n_rows=nothing,
        squares=nothing,
    )
    # Rows of a file weigh one each.
    counts = replace(counts, n_values=counts.values, n_rows=counts.rows, squares=counts.values)
    return Reference(bins, counts.together(), counts)
