"""The counts that every figure is made of. They merge by addition; no ratio lives here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from inferspan.semconv import BINARY, MULTICLASS
from inferspan_collector.store.cells import CellQuery, OutcomeCells, PredictionCells
from inferspan_collector.store.reader import Reader

CLASS_TASKS: Final = frozenset((BINARY, MULTICLASS, None))
"""Tasks whose output is one class of a few; None = undeclared, where equality is all we know.
Sets, numbers and texts are no classes: a matrix of them would have no meaning and no bound."""

Group = tuple[str | None, ...]
Key = tuple[int, Group]
"""(first minute of the window, texts of the query's `by`)."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Predictions of one window and group, counted.

    `errors` are calls that raised; they count as predictions. `correct`, `incorrect` and
    `undefined` are the labelled ones, undefined where a label joined but right or wrong has no
    meaning. `confusion` maps (predicted, actual) to n over the judged rows of `CLASS_TASKS`.
    `durations` maps a bucket of `latency_sketch` to n, over all calls.
    `tasks` are those of the labelled predictions, None = undeclared.
    """

    predictions: int = 0
    errors: int = 0
    correct: int = 0
    incorrect: int = 0
    undefined: int = 0
    confusion: Mapping[tuple[str, str], int] = field(default_factory=dict)
    durations: Mapping[int, int] = field(default_factory=dict)
    tasks: frozenset[str | None] = frozenset()
    positive_classes: frozenset[str] = frozenset()

    @property
    def judged(self) -> int:
        """Labelled predictions that are right or wrong."""
        return self.correct + self.incorrect

    @property
    def labelled(self) -> int:
        """Predictions with a joined label."""
        return self.judged + self.undefined

    def __add__(self, other: Counts) -> Counts:
        return merged((self, other))


def merged(parts: Iterable[Counts]) -> Counts:
    """Add counts up; of none, the empty `Counts`."""
    total = _Tally()
    for part in parts:
        total.predictions += part.predictions
        total.errors += part.errors
        total.correct += part.correct
        total.incorrect += part.incorrect
        total.undefined += part.undefined
        total.confusion.update(part.confusion)
        total.durations.update(part.durations)
        total.tasks |= part.tasks
        total.positive_classes |= part.positive_classes
    return total.counts()


def declared(parts: Iterable[Counts]) -> Counts:
    """The positive classes that any of some counts declare, without their numbers."""
    return Counts(positive_classes=frozenset().union(*(part.positive_classes for part in parts)))


def grouped_counts(reader: Reader, query: CellQuery) -> dict[Key, Counts]:
    """Ask the store and count, per window and group of the query.

    Returns:
        Windows and groups that hold a prediction, ordered by window, then group.

    Raises:
        QueryError: the store cannot answer this question.
    """
    # Whether a figure is defined depends on these two, so they are always asked for.
    hidden = tuple(key for key in ("task", "positive_class") if key not in query.by)
    wide = replace(query, by=query.by + hidden)
    # Outcomes first: what is committed between the two questions may only add predictions.
    outcomes = reader.outcome_cells(wide)
    return tally(query.by, reader.prediction_cells(wide), outcomes)


def tally(
    by: tuple[str, ...], predictions: PredictionCells, outcomes: OutcomeCells
) -> dict[Key, Counts]:
    """Add cells up per window and group.

    Args:
        by: what to group by; both cells' own `by` start with it and hold `task` and
            `positive_class`.
        predictions: cells of predictions.
        outcomes: cells of labelled predictions, of the same query.
    """
    tallies: defaultdict[Key, _Tally] = defaultdict(_Tally)
    width = len(by)
    task_at, positive_at = predictions.by.index("task"), predictions.by.index("positive_class")
    for window, group, failed, bucket, n in zip(
        predictions.window.tolist(),
        predictions.groups,
        predictions.failed.tolist(),
        predictions.bucket.tolist(),
        predictions.n.tolist(),
        strict=True,
    ):
        mine = tallies[window, group[:width]]
        mine.predictions += n
        mine.errors += n if failed else 0
        mine.durations[bucket] += n
        mine.declare(group[positive_at])
    windows, numbers = outcomes.window.tolist(), outcomes.n.tolist()
    for start, end in _runs(windows, outcomes.groups):
        group = outcomes.groups[start]
        mine = tallies[windows[start], group[:width]]
        mine.declare(group[positive_at])
        mine.tasks.add(group[task_at])
        correct, n = outcomes.correct[start:end], outcomes.n[start:end]
        mine.correct += int(n[correct == 1].sum())
        mine.incorrect += int(n[correct == 0].sum())
        mine.undefined += int(n[correct < 0].sum())
        if group[task_at] in CLASS_TASKS:
            rows = range(start, end)
            mine.count_pairs(
                [
                    (outcomes.predicted[row], outcomes.actual[row], numbers[row])
                    for row, right in zip(rows, correct.tolist(), strict=True)
                    if right >= 0
                ]
            )
    ordered = sorted(tallies, key=lambda key: (key[0], [(t is not None, t or "") for t in key[1]]))
    return {key: tallies[key].counts() for key in ordered}


def _runs(windows: Sequence[int], groups: Sequence[Group]) -> Iterator[tuple[int, int]]:
    """Where rows of one window and group begin and end; cells come in that order."""
    start = 0
    for row in range(1, len(windows) + 1):
        if row == len(windows) or windows[row] != windows[start] or groups[row] != groups[start]:
            yield start, row
            start = row


class _Tally:
    """`Counts` in the making."""

    __slots__ = (
        "confusion",
        "correct",
        "durations",
        "errors",
        "incorrect",
        "positive_classes",
        "predictions",
        "tasks",
        "undefined",
    )

    def __init__(self) -> None:
        self.predictions = self.errors = 0
        self.correct = self.incorrect = self.undefined = 0
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.durations: Counter[int] = Counter()
        self.tasks: set[str | None] = set()
        self.positive_classes: set[str] = set()

    def declare(self, positive_class: str | None) -> None:
        if positive_class is not None:
            self.positive_classes.add(positive_class)

    def count_pairs(self, rows: Sequence[tuple[str | None, str | None, int]]) -> None:
        """Count rows of a predicted and an actual class; a number has none."""
        pairs = {(said, true): n for said, true, n in rows if said is not None and true is not None}
        if len(pairs) == len(rows) and not self.confusion:
            self.confusion.update(pairs)
            return
        for said, true, n in rows:
            if said is not None and true is not None:
                self.confusion[said, true] += n

    def counts(self) -> Counts:
        return Counts(
            predictions=self.predictions,
            errors=self.errors,
            correct=self.correct,
            incorrect=self.incorrect,
            undefined=self.undefined,
            confusion=dict(self.confusion),
            durations=dict(self.durations),
            tasks=frozenset(self.tasks),
            positive_classes=frozenset(self.positive_classes),
        )
