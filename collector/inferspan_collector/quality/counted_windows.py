"""The counts of many windows and groups, as columns; `Counts` is one row of them.

All numbers are integers, so they merge by addition and no order of cells changes them.
Cost: O(cells), some 10 ns each, and O(windows) Python objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Int64
from inferspan_collector.quality.counts import CLASS_TASKS, Counts, Key
from inferspan_collector.store.cells import CellQuery, OutcomeCells, PredictionCells
from inferspan_collector.store.reader import Reader

_HIDDEN: Final = ("task", "positive_class")
"""Whether a figure is defined depends on these two, so they are always asked for."""
_DENSE_MAX: Final = 4_000_000
"""Numbers that are told apart by a place for each; more are sorted."""


@dataclass(frozen=True, slots=True, eq=False)
class Tallied:
    """Numbers per window and something else: N entries, by window, each pair once."""

    row: Int64
    what: Int64
    n: Int64

    @classmethod
    def of(cls, row: Int64, what: Int64, n: Int64, width: int) -> Tallied:
        """Add up what is of one row and one thing, of `width` things there may be."""
        distinct, place = _numbered(row * width + what)
        added = _added(place, n, len(distinct))
        return cls(*np.divmod(distinct, width), added)

    def of_row(self, row: int) -> tuple[list[int], list[int]]:
        """The things of one row, and their numbers."""
        start, end = np.searchsorted(self.row, (row, row + 1)).tolist()
        return self.what[start:end].tolist(), self.n[start:end].tolist()


@dataclass(frozen=True, slots=True, eq=False)
class CountedWindows:
    """`Counts` of W windows and groups, by window, then group; the fields are theirs.

    `confusion` holds `predicted · K + actual` of the K `classes`, which are sorted.
    """

    keys: tuple[Key, ...]
    predictions: Int64
    errors: Int64
    correct: Int64
    incorrect: Int64
    undefined: Int64
    classes: tuple[str, ...]
    confusion: Tallied
    durations: Tallied
    tasks: tuple[frozenset[str | None], ...]
    positive_classes: tuple[frozenset[str], ...]

    def __len__(self) -> int:
        return len(self.keys)

    def counts(self, row: int) -> Counts:
        """Those of one window and group."""
        width, names = max(1, len(self.classes)), self.classes
        pairs, n = self.confusion.of_row(row)
        buckets, calls = self.durations.of_row(row)
        return Counts(
            predictions=int(self.predictions[row]),
            errors=int(self.errors[row]),
            correct=int(self.correct[row]),
            incorrect=int(self.incorrect[row]),
            undefined=int(self.undefined[row]),
            confusion={
                (names[pair // width], names[pair % width]): number
                for pair, number in zip(pairs, n, strict=True)
            },
            durations=dict(zip(buckets, calls, strict=True)),
            tasks=self.tasks[row],
            positive_classes=self.positive_classes[row],
        )


def grouped_counts(reader: Reader, query: CellQuery) -> dict[Key, Counts]:
    """Ask the store and count, per window and group of the query.

    Returns:
        Windows and groups that hold a prediction, ordered by window, then group.

    Raises:
        QueryError: the store cannot answer this question.
    """
    windows = counted(reader, query)
    return {key: windows.counts(row) for row, key in enumerate(windows.keys)}


def counted(reader: Reader, query: CellQuery) -> CountedWindows:
    """As `grouped_counts`, in columns."""
    wide = replace(query, by=query.by + tuple(key for key in _HIDDEN if key not in query.by))
    # Outcomes first: what is committed between the two questions may only add predictions.
    outcomes = reader.outcome_cells(wide)
    return tally(query.by, reader.prediction_cells(wide), outcomes)


def tally(
    by: tuple[str, ...], predictions: PredictionCells, outcomes: OutcomeCells
) -> CountedWindows:
    """Add cells up per window and group.

    Args:
        by: what to group by; both cells' own `by` start with it and hold `task` and
            `positive_class`.
        predictions: cells of predictions.
        outcomes: cells of labelled predictions, of the same query.
    """
    keys, (called, said) = _rows(len(by), (predictions, outcomes))
    rows = len(keys)
    task_at, positive_at = (outcomes.by.index(name) for name in _HIDDEN)
    failed, right = predictions.failed, outcomes.correct
    classes, confusion = _confusion(said, outcomes, task_at)
    return CountedWindows(
        keys=keys,
        predictions=_added(called, predictions.n, rows),
        errors=_added(called[failed], predictions.n[failed], rows),
        correct=_added(said[right == 1], outcomes.n[right == 1], rows),
        incorrect=_added(said[right == 0], outcomes.n[right == 0], rows),
        undefined=_added(said[right < 0], outcomes.n[right < 0], rows),
        classes=classes,
        confusion=confusion,
        durations=Tallied.of(
            called, predictions.bucket.astype(np.int64), predictions.n, np.iinfo(np.int16).max + 1
        ),
        tasks=_sets(rows, [(said, outcomes, task_at)], absent=True),
        positive_classes=_sets(
            rows, [(called, predictions, positive_at), (said, outcomes, positive_at)]
        ),  # type: ignore[arg-type]
    )


def _rows(
    width: int, parts: Sequence[PredictionCells | OutcomeCells]
) -> tuple[tuple[Key, ...], list[Int64]]:
    """The windows and groups of some cells, in order, and the place of each cell among them.

    Args:
        width: how many of the cells' keys make a group.
        parts: the cells.
    """
    groups = sorted(
        {group[:width] for part in parts for group in part.groups.distinct},
        key=lambda group: [(text is not None, text or "") for text in group],
    )
    places = {group: place for place, group in enumerate(groups)}
    starts, start = _numbered(np.concatenate([part.window for part in parts]))
    group_of = np.concatenate(
        [
            np.array([places[g[:width]] for g in part.groups.distinct], np.int64)[part.groups.codes]
            for part in parts
        ]
    )
    pairs, row = _numbered(start * max(1, len(groups)) + group_of)
    keys = [
        (window, groups[group])
        for window, group in zip(
            starts[pairs // max(1, len(groups))].tolist(),
            (pairs % max(1, len(groups))).tolist(),
            strict=True,
        )
    ]
    return tuple(keys), np.split(row, np.cumsum([len(part.n) for part in parts])[:-1])


def _confusion(row: Int64, outcomes: OutcomeCells, task_at: int) -> tuple[tuple[str, ...], Tallied]:
    """The classes of judged rows of `CLASS_TASKS`, and their pairs by row."""
    with_classes = np.array([g[task_at] in CLASS_TASKS for g in outcomes.groups.distinct], np.bool_)
    predicted, actual = outcomes.predicted, outcomes.actual
    judged = (outcomes.correct >= 0) & (predicted.codes >= 0) & (actual.codes >= 0)
    if not with_classes.all():
        judged &= with_classes[outcomes.groups.codes]
    names = sorted({*predicted.values, *actual.values})
    place = {name: number for number, name in enumerate(names)}
    columns = [
        np.array([place[text] for text in column.values], np.int64)[column.codes[judged]]
        for column in (predicted, actual)
    ]
    held = np.zeros(len(names), np.bool_)
    for column in columns:
        held[column] = True
    narrow = np.cumsum(held) - 1
    width = max(1, int(held.sum()))
    pair = narrow[columns[0]] * width + narrow[columns[1]]
    kept = tuple(name for name, there in zip(names, held.tolist(), strict=True) if there)
    return kept, Tallied.of(row[judged], pair, outcomes.n[judged], width * width)


def _sets(
    rows: int,
    parts: Iterable[tuple[Int64, PredictionCells | OutcomeCells, int]],
    *,
    absent: bool = False,
) -> tuple[frozenset[str | None], ...]:
    """What the groups of the cells of each row say of one key.

    Args:
        rows: how many there are.
        parts: the row of each cell, the cells, and the place of the key in their groups.
        absent: whether it counts as said that a group has none.
    """
    found: list[set[str | None]] = [set() for _ in range(rows)]
    for row, cells, at in parts:
        width = max(1, len(cells.groups.distinct))
        pairs, _ = _numbered(row * width + cells.groups.codes)
        texts = [group[at] for group in cells.groups.distinct]
        for number, group in zip((pairs // width).tolist(), (pairs % width).tolist(), strict=True):
            if absent or texts[group] is not None:
                found[number].add(texts[group])
    return tuple(map(frozenset, found))


def _numbered(numbers: NDArray[Any]) -> tuple[Int64, Int64]:
    """The distinct ones of some integers, sorted, and the place of each among them."""
    if len(numbers) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    least = int(numbers.min())
    span = int(numbers.max()) - least + 1
    if span > max(_DENSE_MAX, 8 * len(numbers)):
        distinct, place = np.unique(numbers, return_inverse=True)
        return distinct.astype(np.int64), place.astype(np.int64)
    held = np.zeros(span, np.bool_)
    held[numbers - least] = True
    return np.flatnonzero(held) + least, (np.cumsum(held) - 1)[numbers - least]


def _added(place: Int64, n: Int64, places: int) -> Int64:
    """Σ n by place; exact up to 2**53."""
    added: Int64 = np.bincount(place, n, places).astype(np.int64)
    return added
