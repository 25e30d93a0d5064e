"""What can drift of predictions: their outputs, scores and truths, as columns of one kind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.drift.bins import Bins, NumberBins, freeze_categories, freeze_numbers
from inferspan_collector.drift.counts import Counts, Float64, Int64
from inferspan_collector.store.row_columns import RowColumns


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A number per row, NaN = missing."""

    values: Float64

    def freeze(self) -> Bins | None:
        """Bins for it as a reference; None where it holds no finite number."""
        return freeze_numbers(self.values)

    def count(self, bins: Bins, windows: Int64, n: int) -> Counts:
        """Count it in bins of numbers; in those of categories every value is of another type."""
        if isinstance(bins, NumberBins):
            return bins.count(self.values, windows, n)
        return _mistyped(bins, ~np.isnan(self.values), windows, n)

    def take(self, rows: NDArray[np.bool_]) -> Numbers:
        """Select rows."""
        return Numbers(self.values[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Categories:
    """A text per row by its place in `texts`, -1 = missing."""

    codes: NDArray[np.int32]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, texts: NDArray[np.object_]) -> Categories:
        """Number an object array of str and None."""
        places: dict[str, int] = {}
        codes = [-1 if text is None else places.setdefault(text, len(places)) for text in texts]
        return cls(np.array(codes, np.int32), tuple(places))

    def freeze(self) -> Bins | None:
        """Bins for it as a reference; None where it holds no text."""
        return freeze_categories([self.texts[code] for code in self.codes.tolist() if code >= 0])

    def count(self, bins: Bins, windows: Int64, n: int) -> Counts:
        """Count it in bins of categories; in those of numbers every value is of another type."""
        if isinstance(bins, NumberBins):
            return _mistyped(bins, self.codes >= 0, windows, n)
        return bins.count(self.codes, self.texts, windows, n)

    def take(self, rows: NDArray[np.bool_]) -> Categories:
        """Select rows."""
        return Categories(self.codes[rows], self.texts)


Column = Numbers | Categories


def columns_of(rows: RowColumns) -> dict[str, Column]:
    """Every column that some row has a value in, by name; failed calls have none of them.

    `predicted.class`, `predicted.score`, `predicted.value`: what the model said. `label.class`,
    `label.value`: what was true; only labelled rows have them.
    """
    found: dict[str, Column] = {}
    for name, texts in (("predicted.class", rows.predicted), ("label.class", rows.actual)):
        if any(text is not None for text in texts):
            found[name] = Categories.of(texts)
    for name, numbers in (
        ("predicted.score", rows.score),
        ("predicted.value", rows.value),
        ("label.value", rows.truth),
    ):
        if not np.isnan(numbers).all():
            found[name] = Numbers(numbers)
    return found


def absent(like: Column, rows: int) -> Column:
    """A column of the same kind in which every row is missing."""
    if isinstance(like, Numbers):
        return Numbers(np.full(rows, np.nan))
    return Categories(np.full(rows, -1, np.int32), ())


def row_masks(rows: RowColumns) -> Mapping[str, NDArray[np.bool_]]:
    """Of each prefix of names the rows that could have a value: a call that raised has none."""
    return {"predicted": ~rows.failed, "label": rows.correct >= -1, "feature": ~rows.failed}


def _mistyped(bins: Bins, present: NDArray[np.bool_], windows: Int64, n: int) -> Counts:
    width = len(bins.edges) - 1 if isinstance(bins, NumberBins) else len(bins.categories)
    nothing = np.zeros(n, np.int64)
    return Counts(
        inside=np.zeros((n, width), np.int64),
        below=nothing,
        above=nothing,
        below_sum=np.zeros(n),
        above_sum=np.zeros(n),
        missing=np.bincount(windows[~present], minlength=n).astype(np.int64),
        mistyped=np.bincount(windows[present], minlength=n).astype(np.int64),
        low=np.full(n, np.inf),
        high=np.full(n, -np.inf),
    )
