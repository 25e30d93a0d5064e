"""What can drift of predictions: their outputs, scores and truths, as columns of one kind each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.drift.bins import Bins, NumberBins, freeze_categories, freeze_numbers
from inferspan_collector.drift.counts import Counts, Float64, Int64, amounts, chosen
from inferspan_collector.store.row_columns import RowColumns

FEATURE: Final = "feature."
OUTPUTS_AND_TRUTHS: Final = (
    "predicted.class",
    "predicted.score",
    "predicted.value",
    "label.class",
    "label.value",
)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """A number per row, NaN = missing."""

    values: Float64

    def freeze(self) -> Bins | None:
        """Bins for it as a reference; None where it holds no finite number."""
        return freeze_numbers(self.values)

    def count(self, bins: Bins, windows: Int64, n: int, weight: Float64 | None = None) -> Counts:
        """Count it in bins of numbers; in those of categories every value is of another type."""
        if isinstance(bins, NumberBins):
            return bins.count(self.values, windows, n, weight)
        return _mistyped(bins, ~np.isnan(self.values), windows, n, weight)

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

    def count(self, bins: Bins, windows: Int64, n: int, weight: Float64 | None = None) -> Counts:
        """Count it in bins of categories; in those of numbers every value is of another type."""
        if isinstance(bins, NumberBins):
            return _mistyped(bins, self.codes >= 0, windows, n, weight)
        return bins.count(self.codes, self.texts, windows, n, weight)

    def take(self, rows: NDArray[np.bool_]) -> Categories:
        """Select rows."""
        return Categories(self.codes[rows], self.texts)


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """A feature whose values are numbers in some rows and texts in others."""

    numbers: Numbers
    categories: Categories

    def freeze(self) -> Bins | None:
        """Bins of the type that most rows have; of numbers where both have as many."""
        texts = int((self.categories.codes >= 0).sum())
        if texts > int((~np.isnan(self.numbers.values)).sum()):
            return self.categories.freeze()
        return self.numbers.freeze()

    def count(self, bins: Bins, windows: Int64, n: int, weight: Float64 | None = None) -> Counts:
        """Count the type of the bins; a value of the other one is of another type."""
        if isinstance(bins, NumberBins):
            counts = self.numbers.count(bins, windows, n, weight)
            other = (self.categories.codes >= 0) & np.isnan(self.numbers.values)
        else:
            counts = self.categories.count(bins, windows, n, weight)
            other = ~np.isnan(self.numbers.values) & (self.categories.codes < 0)
        mistyped = amounts(windows[other], n, chosen(weight, other))
        # What is left of weights may be a rounding error below 0.
        missing = np.maximum(counts.missing - mistyped, 0)
        return replace(counts, missing=missing, mistyped=mistyped)

    def take(self, rows: NDArray[np.bool_]) -> Mixed:
        """Select rows."""
        return Mixed(self.numbers.take(rows), self.categories.take(rows))


Column = Numbers | Categories | Mixed


def columns_of(rows: RowColumns) -> dict[str, Column]:
    """Every column that some row has a value in, by name; failed calls have none of them.

    `predicted.class`, `predicted.score`, `predicted.value`: what the model said. `label.class`,
    `label.value`: what was true; only labelled rows have them. `feature.<name>`: what the model
    was declared to see.
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
    # A truth is kept as text and, where it reads as one, as a number: what the model says decides.
    for said, true in (("predicted.class", "label.class"), ("predicted.value", "label.value")):
        if said not in found:
            found.pop(true, None)
    return found | _features(rows)


def _features(rows: RowColumns) -> dict[str, Column]:
    found: dict[str, Column] = {}
    numbers, texts = rows.features.numbers, rows.features.texts
    for name in sorted({*numbers, *texts}):
        if name not in texts:
            found[FEATURE + name] = Numbers(numbers[name])
        elif name not in numbers:
            found[FEATURE + name] = Categories.of(texts[name])
        else:
            found[FEATURE + name] = Mixed(Numbers(numbers[name]), Categories.of(texts[name]))
    return found


def absent(rows: int) -> Column:
    """A column in which every row is missing."""
    return Mixed(Numbers(np.full(rows, np.nan)), Categories(np.full(rows, -1, np.int32), ()))


def row_masks(rows: RowColumns) -> Mapping[str, NDArray[np.bool_]]:
    """Of each prefix of names the rows that could have a value: a call that raised has none."""
    return {"predicted": ~rows.failed, "label": rows.correct >= -1, "feature": ~rows.failed}


def weights_of(rows: RowColumns) -> Mapping[str, Float64 | None]:
    """Of each prefix of names for how many each row stands; None where each stands for itself."""
    called = None if (rows.adjusted_count == 1).all() else rows.adjusted_count
    weighed = None if (rows.weight == 1).all() else rows.weight
    return {"predicted": called, "label": weighed, "feature": called}


def _mistyped(
    bins: Bins,
    present: NDArray[np.bool_],
    windows: Int64,
    n: int,
    weight: Float64 | None,
) -> Counts:
    width = len(bins.edges) - 1 if isinstance(bins, NumberBins) else len(bins.categories)
    nothing = np.zeros(n, np.int64)
    return Counts(
        inside=np.zeros((n, width), np.int64),
        below=nothing,
        above=nothing,
        below_sum=np.zeros(n),
        above_sum=np.zeros(n),
        missing=amounts(windows[~present], n, chosen(weight, ~present)),
        mistyped=amounts(windows[present], n, chosen(weight, present)),
        low=np.full(n, np.inf),
        high=np.full(n, -np.inf),
        n_values=nothing,
        n_rows=amounts(windows, n, None),
        squares=nothing,
    )
