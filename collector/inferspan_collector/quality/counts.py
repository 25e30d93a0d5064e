"""The counts that every figure is made of. They merge by addition; no ratio lives here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from inferspan.semconv import BINARY, MULTICLASS
from inferspan_collector.store.cells import Group

CLASS_TASKS: Final = frozenset((BINARY, MULTICLASS, None))
"""Tasks whose output is one class of a few; None = undeclared, where equality is all we know.
Sets, numbers and texts are no classes: a matrix of them would have no meaning and no bound."""

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
