"""What labelled rows weigh, cell by cell of the confusion matrices of many windows.

A row that was sampled stands for others (`inferspan.sampling.adjusted_count`), and a label may
weigh more or less than one. A figure of such rows is that of the population that they stand for,
scikit-learn's `sample_weight`; how sure it is, Σw² says: rows that weigh differently are worth
fewer (Kish's effective number, `intervals.effective_n`).

Cost: one look at the labelled rows, and only where some row of the store does not weigh one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inferspan_collector.batches import Bool, Float64
from inferspan_collector.quality.counted_windows import CountedWindows, wide
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import effective_n, wilson_share
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.reader import Reader


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """float64[W, K, K] by predicted and actual class, as the matrices of `CountedWindows`.

    `known` is bool[W]: of which windows all rows are there to be weighed; in all others each row
    counts once.
    """

    weights: Float64
    squares: Float64
    known: Bool

    def effective(self) -> Float64:
        """float64[W]: Kish's effective number of rows, 0 of none."""
        squares = self.squares.sum(axis=(1, 2))
        total = self.weights.sum(axis=(1, 2))
        found: Float64 = total * total / np.where(squares > 0, squares, 1.0)
        return found

    def cells(self, row: int, classes: Sequence[str]) -> dict[tuple[str, str], tuple[float, float]]:
        """(Predicted, actual) → Σw and Σw² in a window, of cells that hold a row."""
        weights, squares = self.weights[row], self.squares[row]
        return {
            (classes[said], classes[true]): (float(weights[said, true]), float(squares[said, true]))
            for said, true in np.argwhere(weights > 0).tolist()
        }

    def accuracy(self, rows: Sequence[int], n: int) -> Figure:
        """The share that is right of some windows together, which have n judged rows."""
        weights, squares = self.weights[rows].sum(axis=0), self.squares[rows].sum(axis=0)
        total = float(weights.sum())
        if n == 0 or total == 0:
            return Figure.missing("no judged prediction has a class", n)
        share = float(np.trace(weights)) / total
        return Figure(share, n, *wilson_share(share, effective_n(total, float(squares.sum()))))


def weighed(
    reader: Reader, query: CellQuery, windows: CountedWindows, rows_max: int
) -> Weighed | None:
    """The weights of what was counted; None where every row weighs one.

    Args:
        reader: the store.
        query: as for the counts.
        windows: the counts.
        rows_max: of more labelled rows than these nothing is known (`limits.query_rows`).
    """
    matrices = windows.matrices() if windows.classes and reader.weighs() else None
    if matrices is None:
        return None
    if windows.labelled.sum() > rows_max:
        alike = matrices.astype(np.float64)
        return Weighed(alike, alike, np.zeros(len(windows), np.bool_))
    found = reader.weighed_cells(wide(query))
    outcomes, width = found.outcomes, len(query.by)
    rows = {key: row for row, key in enumerate(windows.keys)}
    places = {name: place for place, name in enumerate(windows.classes)}
    pairs = zip(outcomes.window.tolist(), outcomes.groups, strict=True)
    row = np.array([rows.get((window, group[:width]), -1) for window, group in pairs], np.int64)
    predicted, actual = (
        np.array([*(places.get(text, -1) for text in column.values), -1], np.int64)[column.codes]
        for column in (outcomes.predicted, outcomes.actual)
    )
    mine = (row >= 0) & (predicted >= 0) & (actual >= 0) & (outcomes.correct >= 0)
    at = (row[mine], predicted[mine], actual[mine])
    n, weight = outcomes.n[mine], found.weight[mine]
    counted = np.zeros_like(matrices)
    weights, squares = np.zeros(matrices.shape), np.zeros(matrices.shape)
    np.add.at(counted, at, n)
    np.add.at(weights, at, n * weight)
    np.add.at(squares, at, n * weight * weight)
    # Rows that were erased by age are still counted; what they weighed is not known any more.
    known = (counted == matrices).all(axis=(1, 2))
    each = known[:, None, None]
    return Weighed(np.where(each, weights, matrices), np.where(each, squares, matrices), known)
