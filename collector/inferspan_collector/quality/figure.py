"""What a family of figures is asked and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from inferspan_collector.quality.counts import Counts

BINARY: Final = "binary"
MACRO: Final = "macro"
MICRO: Final = "micro"
WEIGHTED: Final = "weighted"
AVERAGES: Final = (BINARY, MACRO, MICRO, WEIGHTED)
"""scikit-learn's names of the ways to make one figure of many classes."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, never without what it rests on.

    `value` is None exactly when `reason` says why. `n` is the number of predictions the figure
    rests on: of a proportion its denominator. `low` and `high` bound the 95 % interval, None
    where no closed form is known to hold what it promises.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str | None = None

    @classmethod
    def missing(cls, reason: str, n: int = 0) -> Figure:
        """A figure that cannot be computed, and why."""
        return cls(None, n, reason=reason)


@dataclass(frozen=True, slots=True)
class Question:
    """What a figure needs to know beside the counts.

    `average` is one of `AVERAGES`; `positive_class` is None where it is not known. `passes_from`
    is the score from which an evaluation passes, None where only its class says so.
    """

    average: str
    positive_class: str | None = None
    passes_from: float | None = None


class Family(Protocol):
    """Figures that belong together: a module of this package with this one function."""

    def figures(self, counts: Counts, question: Question) -> Mapping[str, Figure]:
        """All figures of the family by name, the same names for every question.

        Pure; defined for every `Counts`, the empty one included: what cannot be computed is a
        `Figure.missing`, never an exception and never NaN.
        """


def positive_class(counts: Counts, configured: str | None) -> str | None:
    """The positive class: the configured one, else the only one that predictions declare."""
    if configured is not None:
        return configured
    return next(iter(counts.positive_classes)) if len(counts.positive_classes) == 1 else None


def nothing_to_judge(counts: Counts) -> str:
    """Why there is no figure of right and wrong, for counts without a judged prediction."""
    if counts.predictions == 0 and counts.labelled == 0:
        return "no predictions in this window and group"
    if counts.labelled == 0:
        return "no label has joined yet; see coverage"
    return (
        f"{counts.labelled} label{'' if counts.labelled == 1 else 's'} joined, but right or wrong "
        "is not defined for their task; "
        "a regression needs models.<name>.tolerance, a class needs a recorded output"
    )
