"""What labelled rows weigh, by outcome and by cell of the confusion matrices of many windows.

A row that was sampled stands for others (`inferspan.sampling.adjusted_count`), and a label may
weigh more or less than one. A figure of such rows is that of the population that they stand for,
scikit-learn's `sample_weight`; how sure it is, Σw² says: rows that weigh differently are worth
fewer (Kish's effective number, `intervals.effective_n`).

Cost: one look at the labelled rows, and only where some row of the store does not weigh one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Int64
from inferspan_collector.quality.counted_windows import CountedWindows, wide
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import effective_n, wilson_share
from inferspan_collector.store.cells import CellQuery, WeighedCells
from inferspan_collector.store.reader import Reader


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """What the judged rows of W windows weigh, and Σw²."""

    weights: Float64
    """float64[W, K, K] by predicted and actual class, as the matrices of `CountedWindows`."""
    squares: Float64
    known: Bool
    """bool[W]: of which windows all rows are there to be weighed; in all others each row counts
    once."""
    outcomes: Float64
    """float64[W, 2]: of wrong and of right rows, whether or not their task has classes."""
    outcome_squares: Float64

    def total(self) -> Float64:
        """float64[W]: what all judged rows weigh."""
        total: Float64 = self.outcomes.sum(axis=1)
        return total

    def effective(self) -> Float64:
        """float64[W]: Kish's effective number of rows, 0 of none."""
        squares, total = self.outcome_squares.sum(axis=1), self.total()
        found: Float64 = total * total / np.where(squares > 0, squares, 1.0)
        return found

    def cells(self, row: int, classes: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
        """(Predicted, actual) → Σw and Σw² in a window, of cells that hold a row."""
        weights, squares = self.weights[row], self.squares[row]
        return {
            (classes[said], classes[true]): (float(weights[said, true]), float(squares[said, true]))
            for said, true in np.argwhere(weights > 0).tolist()
        }

    def accuracy(self, rows: Sequence[int], n: int) -> Figure | None:
        """The share that is right of some windows together; None where no row is judged.

        Args:
            rows: the windows.
            n: how many judged rows they have.
        """
        wrong, right = self.outcomes[rows].sum(axis=0).tolist()
        if n == 0 or wrong + right == 0:
            return None
        worth = effective_n(wrong + right, float(self.outcome_squares[rows].sum()))
        share = right / (wrong + right)
        return Figure(share, n, *wilson_share(share, worth))


def weighed(
    reader: Reader, query: CellQuery, windows: CountedWindows, rows_max: int
) -> Weighed | None:
    """The weights of what was counted; None where every row weighs one, or none is judged.

    Args:
        reader: the store.
        query: as for the counts.
        windows: the counts.
        rows_max: of more labelled rows than these nothing is known (`limits.query_rows`).
    """
    matrices = windows.matrices() if windows.judged.any() and reader.weighs() else None
    if matrices is None:
        return None
    judged = np.column_stack([windows.incorrect, windows.correct])
    if windows.labelled.sum() > rows_max:
        alike, each = matrices.astype(np.float64), judged.astype(np.float64)
        return Weighed(alike, alike, np.zeros(len(windows), np.bool_), each, each)
    found = reader.weighed_cells(wide(query))
    outcomes, width = found.outcomes, len(query.by)
    rows = {key: row for row, key in enumerate(windows.keys)}
    pairs = zip(outcomes.window.tolist(), outcomes.groups, strict=True)
    row = np.array([rows.get((window, group[:width]), -1) for window, group in pairs], np.int64)
    places = {name: place for place, name in enumerate(windows.classes)}
    predicted, actual = (
        np.array([*(places.get(text, -1) for text in column.values), -1], np.int64)[column.codes]
        for column in (outcomes.predicted, outcomes.actual)
    )
    mine = (row >= 0) & (outcomes.correct >= 0)
    by_outcome = _added(judged, (row, outcomes.correct), found, mine)
    # Sets and numbers have no classes of a matrix.
    of_classes = mine & (predicted >= 0) & (actual >= 0)
    cells = _added(matrices, (row, predicted, actual), found, of_classes)
    # Rows that were erased by age are still counted; what they weighed is not known any more.
    known = (cells.n == matrices).all(axis=(1, 2)) & (by_outcome.n == judged).all(axis=1)
    return Weighed(
        np.where(known[:, None, None], cells.weights, matrices),
        np.where(known[:, None, None], cells.squares, matrices),
        known,
        np.where(known[:, None], by_outcome.weights, judged),
        np.where(known[:, None], by_outcome.squares, judged),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Added:
    """Rows, Σw and Σw², in arrays of one shape."""

    n: Int64
    weights: Float64
    squares: Float64


def _added(like: Int64, at: tuple[NDArray[Any], ...], found: WeighedCells, those: Bool) -> _Added:
    """Some of the cells that were found, added up by where they belong in an array."""
    place = tuple(index[those] for index in at)
    n, weight = found.outcomes.n[those], found.weight[those]
    added = _Added(np.zeros_like(like), np.zeros(like.shape), np.zeros(like.shape))
    np.add.at(added.n, place, n)
    np.add.at(added.weights, place, n * weight)
    np.add.at(added.squares, place, n * weight * weight)
    return added
