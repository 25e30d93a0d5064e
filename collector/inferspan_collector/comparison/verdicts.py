"""Two versions, or variants, figure by figure: which test says whether the difference is real.

Where both answered the same requests, as champion and shadow do, only the shared rows are
compared, for they are alike in everything but the answer: McNemar for accuracy, the paired DeLong
test for the area, the paired t-test for mean errors. Otherwise the rows are different ones:
Newcombe, DeLong, Welch. Every other figure is compared by its interval, which takes the rows as
different ones; of the same rows that is the careful side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Float64 as Float64
from inferspan_collector.comparison import areas, means
from inferspan_collector.comparison.corrections import benjamini_hochberg
from inferspan_collector.comparison.difference import Difference
from inferspan_collector.comparison.figures import any_figures, shares
from inferspan_collector.comparison.paired import Agreement, mcnemar
from inferspan_collector.quality.figure import BINARY, Figure, Question
from inferspan_collector.store.row_columns import RowColumns

SHARED_MIN: Final = 0.5
"""Of the judged rows of the side that has fewer: from this share on the shared rows decide."""
LEVEL: Final = 0.05
"""The share of differences called real that may be chance."""
SHARES: Final = frozenset(
    ("accuracy", "precision", "recall", "specificity", "negative_predictive_value", "coverage")
)
"""Figures that are a share of rows, where one class is asked for."""
LOSSES: Final[Mapping[str, Callable[[Float64], Float64]]] = {
    "mean_absolute_error": np.abs,
    "mean_squared_error": np.square,
}
"""Figures that are a mean over rows of a function of truth - value."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure of a and of b, and their difference, None where one of them has no value."""

    a: Figure
    b: Figure
    difference: Difference | None
    adjusted_p_value: float | None = None

    @property
    def significant(self) -> bool | None:
        """Whether the difference is called real; None where there is no p-value."""
        return None if self.adjusted_p_value is None else self.adjusted_p_value < LEVEL


@dataclass(frozen=True, slots=True)
class Sides:
    """Judged rows of a and of b; `shared` says that row i of both is one request."""

    a: RowColumns
    b: RowColumns
    shared: bool


def verdicts(
    figures_a: Mapping[str, Figure],
    figures_b: Mapping[str, Figure],
    sides: Sides,
    question: Question,
    *,
    weighs: bool = False,
) -> dict[str, Verdict]:
    """Compare every figure that both have; p-values are adjusted for all of them together.

    Where rows weigh more or less than one (`weighs`), figures are compared by their intervals: the
    tests of rows count each of them once.
    """
    table = {
        name: Verdict(
            figures_a[name],
            figures_b[name],
            any_figures(figures_a[name], figures_b[name])
            if weighs
            else _difference(name, figures_a[name], figures_b[name], sides, question),
        )
        for name in figures_a
        if name in figures_b
    }
    p_values = [each.difference.p_value if each.difference else None for each in table.values()]
    return {
        name: replace(verdict, adjusted_p_value=adjusted)
        for (name, verdict), adjusted in zip(
            table.items(), benjamini_hochberg(p_values), strict=True
        )
    }


def sides_of(a: RowColumns, b: RowColumns) -> Sides:
    """The rows to compare: the shared ones if they are most of what the smaller side has."""
    a, b = a.take(a.correct >= -1), b.take(b.correct >= -1)
    first, second = _shared(a, b)
    if len(first) and len(first) >= SHARED_MIN * min(len(a), len(b)):
        return Sides(a.take(first), b.take(second), shared=True)
    return Sides(a, b, shared=False)


def _shared(a: RowColumns, b: RowColumns) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a and of b about the same request, in one order."""
    names = ("key_high", "key_low", "position")
    keys = [np.rec.fromarrays([getattr(side, name) for name in names]) for side in (a, b)]
    _, first, second = np.intersect1d(keys[0], keys[1], return_indices=True)
    return first, second


def _difference(
    name: str, a: Figure, b: Figure, sides: Sides, question: Question
) -> Difference | None:
    if a.value is None or b.value is None:
        return None
    found = _by_rows(name, sides, question)
    if found is not None:
        return found
    if name in SHARES and (question.average == BINARY or name in ("accuracy", "coverage")):
        return shares(a, b)
    return any_figures(a, b)


def _by_rows(name: str, sides: Sides, question: Question) -> Difference | None:
    if name == "accuracy" and sides.shared:
        return mcnemar(agreement(sides))
    if name == "roc_auc" and question.positive_class is not None:
        return _areas(sides, question.positive_class)
    if name in LOSSES:
        loss = LOSSES[name]
        a, b = (loss(side.truth - side.value) for side in (sides.a, sides.b))
        if sides.shared:
            both = np.isfinite(a) & np.isfinite(b)
            return means.paired(a[both], b[both])
        return means.independent(a[np.isfinite(a)], b[np.isfinite(b)])
    return None


def agreement(sides: Sides) -> Agreement:
    """Who of both was right, over shared rows that are right or wrong for both."""
    a, b = sides.a.correct, sides.b.correct
    judged = (a >= 0) & (b >= 0)
    right_a, right_b = a[judged] == 1, b[judged] == 1
    return Agreement(
        both=int((right_a & right_b).sum()),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((~right_a & right_b).sum()),
        neither=int((~right_a & ~right_b).sum()),
    )


def _areas(sides: Sides, positive: str) -> Difference | None:
    scored = [~np.isnan(side.score) & (side.correct >= 0) for side in (sides.a, sides.b)]
    truth_a, truth_b = sides.a.actual == positive, sides.b.actual == positive
    if sides.shared:
        # A label that names its version may mean another truth for each.
        both = scored[0] & scored[1] & (truth_a == truth_b)
        return areas.paired(sides.a.score[both], sides.b.score[both], truth_a[both])
    ours, theirs = scored
    return areas.independent(
        sides.a.score[ours], truth_a[ours], sides.b.score[theirs], truth_b[theirs]
    )
