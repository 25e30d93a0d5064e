"""Counts for tests: made of plain rows, as a newcomer would count them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import strategies as st

from inferspan.semconv import BINARY, MULTICLASS, MULTILABEL, REGRESSION
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import AVERAGES, Question

Pair = tuple[str, str]
"""(predicted, actual)."""

# numpy drops NULs at the end of a text, so the oracle could not tell "a" from "a\0".
CLASS_NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4
)


@st.composite
def labelled_rows(draw: st.DrawFn) -> list[Pair]:
    """Judged rows over one to five classes, some of which may be absent on one side."""
    names = draw(st.lists(CLASS_NAMES, min_size=1, max_size=5, unique=True))
    return draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=60))


def counts_of(
    rows: Sequence[Pair], task: str | None = MULTICLASS, unlabelled: int = 0, **more: object
) -> Counts:
    """Count judged rows of one task, and predictions without a label beside them."""
    correct = sum(predicted == actual for predicted, actual in rows)
    given: dict[str, object] = {
        "predictions": len(rows) + unlabelled,
        "correct": correct,
        "incorrect": len(rows) - correct,
        "confusion": dict(Counter(rows)),
        "durations": {100: len(rows) + unlabelled} if len(rows) + unlabelled else {},
        "tasks": frozenset([task]) if rows else frozenset(),
    }
    return Counts(**(given | more))  # type: ignore[arg-type]


@st.composite
def any_counts(draw: st.DrawFn) -> Counts:
    """Whatever counts a store could hold, the odd ones included."""
    task = draw(st.sampled_from([None, BINARY, MULTICLASS, MULTILABEL, REGRESSION, "ranking"]))
    rows = draw(labelled_rows())
    confusion = dict(Counter(rows)) if task in (None, BINARY, MULTICLASS) else {}
    small = st.integers(0, 5)
    unlabelled, undefined, errors = draw(small), draw(small), draw(small)
    predictions = len(rows) + undefined + unlabelled + errors
    return counts_of(
        rows,
        task,
        predictions=predictions,
        errors=errors,
        undefined=undefined,
        confusion=confusion,
        durations={draw(st.integers(0, 2183)): predictions} if predictions else {},
        tasks=frozenset([task]) if rows or undefined else frozenset(),
        positive_classes=frozenset(draw(st.lists(CLASS_NAMES, max_size=2))),
    )


def questions() -> st.SearchStrategy[Question]:
    """Any average, any positive class or none."""
    return st.builds(Question, st.sampled_from(AVERAGES), st.none() | CLASS_NAMES)
