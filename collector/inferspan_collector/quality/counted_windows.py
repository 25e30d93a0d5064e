"""The counts of many windows and groups, as columns; `Counts` is one row of them.

All numbers are integers, so they merge by addition and no order of cells changes them.
Cost: O(cells), some 10 ns each, and O(windows) Python objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int32, Int64
from inferspan_collector.latency_sketch import BUCKET_MAX
from inferspan_collector.quality.counts import CLASS_TASKS, Counts, Key
from inferspan_collector.store.cells import CellQuery, OutcomeCells, PredictionCells
from inferspan_collector.store.reader import Reader

_HIDDEN: Final = ("task", "positive_class")
"""Whether a figure is defined depends on these two, so they are always asked for."""
MATRICES_MAX: Final = 20_000_000
"""Numbers of all confusion matrices side by side: 160 MB."""
_BUCKETS: Final = BUCKET_MAX + 1
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
        if not added.all():
            distinct, added = distinct[added != 0], added[added != 0]
        rows = distinct // width
        return cls(rows, distinct - rows * width, added)

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

    @classmethod
    def of(cls, parts: Sequence[Counts]) -> Self:
        """Those of several counts, one a row; the key of each is its place."""
        names = sorted({text for part in parts for pair in part.confusion for text in pair})
        place = {name: number for number, name in enumerate(names)}
        pairs = [
            (row, place[said] * len(names) + place[true], n)
            for row, part in enumerate(parts)
            for (said, true), n in part.confusion.items()
        ]
        durations = [
            (row, bucket, n)
            for row, part in enumerate(parts)
            for bucket, n in part.durations.items()
        ]
        return cls(
            keys=tuple((row, ()) for row in range(len(parts))),
            predictions=np.array([part.predictions for part in parts], np.int64),
            errors=np.array([part.errors for part in parts], np.int64),
            correct=np.array([part.correct for part in parts], np.int64),
            incorrect=np.array([part.incorrect for part in parts], np.int64),
            undefined=np.array([part.undefined for part in parts], np.int64),
            classes=tuple(names),
            confusion=Tallied.of(*_columns(pairs), max(1, len(names) ** 2)),
            durations=Tallied.of(*_columns(durations), _BUCKETS),
            tasks=tuple(part.tasks for part in parts),
            positive_classes=tuple(part.positive_classes for part in parts),
        )

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def judged(self) -> Int64:
        """Labelled predictions that are right or wrong."""
        return self.correct + self.incorrect

    @property
    def labelled(self) -> Int64:
        """Predictions with a joined label."""
        return self.judged + self.undefined

    @property
    def answered(self) -> Int64:
        """Predictions that a label can judge: a call that raised said nothing."""
        # /metrics counts by two questions to the store: a prediction superseded in between may
        # leave its label counted a moment longer.
        answered: Int64 = np.maximum(self.predictions - self.errors, self.labelled)
        return answered

    def declared(self) -> Counts:
        """The positive classes that any window declares, without numbers."""
        return Counts(positive_classes=frozenset().union(*self.positive_classes))

    def present(self) -> Bool:
        """bool[W, K]: which classes the labelled rows of a window hold, predicted or actual."""
        width = max(1, len(self.classes))
        found = np.zeros((len(self), width), np.bool_)
        predicted = self.confusion.what // width
        for column in (predicted, self.confusion.what - predicted * width):
            found[self.confusion.row, column] = True
        return found

    def matrices(self) -> Int64 | None:
        """int64[W, K, K]: rows by predicted and actual class; None if they are too large."""
        width = len(self.classes)
        if len(self) * width**2 > MATRICES_MAX:
            return None
        found = np.zeros((len(self), width * width), np.int64)
        found[self.confusion.row, self.confusion.what] = self.confusion.n
        return found.reshape(len(self), width, width)

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
    asked = wide(query)
    with reader.at_one_moment() as now:
        return tally(query.by, now.prediction_cells(asked), now.outcome_cells(asked))


def wide(query: CellQuery) -> CellQuery:
    """A query with the keys that are always asked for; its own stand first."""
    return replace(query, by=query.by + tuple(key for key in _HIDDEN if key not in query.by))


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
    of_call = _added(called * 2 + predictions.failed, predictions.n, rows * 2).reshape(rows, 2)
    # 0, 1 and 2 stand for undefined, wrong and right.
    of_truth = _added(said * 3 + (outcomes.correct + 1), outcomes.n, rows * 3).reshape(rows, 3)
    classes, confusion = _confusion(said, outcomes, task_at)
    return CountedWindows(
        keys=keys,
        predictions=of_call.sum(axis=1),
        errors=of_call[:, 1],
        correct=of_truth[:, 2],
        incorrect=of_truth[:, 1],
        undefined=of_truth[:, 0],
        classes=classes,
        confusion=confusion,
        durations=Tallied.of(called, predictions.bucket.astype(np.int64), predictions.n, _BUCKETS),
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
    columns, n = [column.codes for column in (predicted, actual)], outcomes.n
    if not judged.all():
        row, n, columns = row[judged], n[judged], [column[judged] for column in columns]
    held = {
        text
        for column, codes in zip((predicted, actual), columns, strict=True)
        for text in _held(column.values, codes)
    }
    names = tuple(sorted(held))
    place = {name: number for number, name in enumerate(names)}
    width = max(1, len(names))
    said, true = (
        np.array([place.get(text, 0) for text in column.values], np.int64)[codes]
        for column, codes in zip((predicted, actual), columns, strict=True)
    )
    return names, Tallied.of(row, said * width + true, n, width * width)


def _held(values: Sequence[str], codes: Int32) -> list[str]:
    """The values that some codes stand for."""
    there = np.zeros(len(values), np.bool_)
    there[codes] = True
    return [value for value, held in zip(values, there.tolist(), strict=True) if held]


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
    said = [
        (row, cells.groups.codes, [group[at] for group in cells.groups.distinct])
        for row, cells, at in parts
    ]
    texts = sorted({text for _, _, mine in said for text in mine if text is not None})
    places = {text: place for place, text in enumerate([None, *texts])}
    held = np.zeros((rows, len(places)), np.bool_)
    for row, codes, mine in said:
        held[row, np.array([places[text] for text in mine], np.int64)[codes]] = True
    held[:, 0] &= absent
    # Few are different, and one object for each is enough.
    distinct, which = np.unique(held, axis=0, return_inverse=True)
    sets = [
        frozenset(text for text, there in zip(places, row, strict=True) if there)
        for row in distinct.tolist()
    ]
    return tuple(map(sets.__getitem__, which.reshape(-1).tolist()))


def _columns(rows: Sequence[tuple[int, int, int]]) -> tuple[Int64, Int64, Int64]:
    row, what, n = np.array(rows, np.int64).reshape(-1, 3).T
    return row, what, n


def _numbered(numbers: NDArray[Any]) -> tuple[Int64, Int64]:
    """The distinct ones of some integers, sorted, and the place of each among them."""
    if len(numbers) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    least = int(numbers.min())
    span = int(numbers.max()) - least + 1
    if span > max(_DENSE_MAX, 8 * len(numbers)):
        distinct, place = np.unique(numbers, return_inverse=True)
        return distinct.astype(np.int64), place.astype(np.int64)
    offset = numbers - least if least else numbers
    held = np.zeros(span, np.bool_)
    held[offset] = True
    if held.all():
        return np.arange(least, least + span), offset.astype(np.int64, copy=False)
    return np.flatnonzero(held) + least, (np.cumsum(held) - 1)[offset]


def _added(place: Int64, n: Int64, places: int) -> Int64:
    """Σ n by place; exact up to 2**53."""
    added: Int64 = np.bincount(place, n, places).astype(np.int64)
    return added
