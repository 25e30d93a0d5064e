"""Answers that are sets or rankings: several classes for one prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from inferspan import semconv
from inferspan.output_columns import (
    ROWS_MAX,
    Columns,
    Misfit,
    OutputRule,
    class_of,
    floats_of,
    is_column,
    listed,
    plain_of,
    wanted,
)

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray


def read_indicators(array: NDArray[Any], rule: OutputRule) -> Columns:
    """Read a matrix of 0 and 1, one column per declared class.

    Raises:
        Misfit: other columns than declared classes, other numbers, or too many entries.
    """
    rows, width = array.shape
    if width != len(rule.classes):
        raise Misfit(
            f"{width} indicator columns for {len(rule.classes)} known classes; declare "
            "classes=[…] in the order of the columns"
        )
    if rows > ROWS_MAX or rows * width > ROWS_MAX * 64:
        raise Misfit(f"{rows} rows of {width} indicators; call in smaller batches")
    if not np.all((array == 0) | (array == 1)):
        raise Misfit(f"indicators other than 0 and 1; return {wanted(rule)}")
    at_row, at_column = np.nonzero(array)
    offsets = np.searchsorted(at_row, np.arange(rows + 1))
    _check_entries(len(at_column))
    classes: list[str | None] = [rule.classes[column] for column in at_column.tolist()]
    return Columns(False, classes=classes, offsets=offsets.tolist())


def read_named_scores(given: Mapping[Any, Any], rule: OutputRule) -> Columns:
    """Read one prediction that is a mapping: item → score of a ranking, class → bool of a set.

    A ranking is in the order of falling scores.

    Raises:
        Misfit: other values; of probabilities per class nothing says which classes are answered.
    """
    if rule.task == semconv.RANKING or rule.operation == "rank":
        scores = floats_of(list(given.values()))
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        names = list(given)
        ranked: list[str | None] = [class_of(plain_of(names[at])) for at in order]
        return Columns(
            True, classes=ranked, scores=[scores[at] for at in order], offsets=[0, len(order)]
        )
    if all(type(plain_of(answer)) is bool for answer in given.values()):
        return read_set([name for name, answer in given.items() if answer], None, rule)
    raise Misfit(
        "numbers per class do not say which classes are answered; return the classes, as a list or "
        "class → bool"
    )


def read_set(label: object, score: object, rule: OutputRule) -> Columns:
    """Read the classes of one prediction, in order, with a score each where there are.

    Args:
        label: list of classes, or of (class, score).
        score: list of scores, or None.
        rule: what is declared.

    Raises:
        Misfit: no list, no classes, or another number of scores.
    """
    if not is_column(label):
        raise Misfit(f"{rule.task or rule.operation} needs a list; return {wanted(rule)}")
    items = listed(label)
    scores = None if score is None else floats_of(listed(score))
    if items and all(isinstance(item, tuple) and len(item) == 2 for item in items):
        scores = floats_of([item[1] for item in items])
        items = [item[0] for item in items]
    if scores is not None and len(scores) != len(items):
        raise Misfit(f"{len(items)} classes with {len(scores)} scores; return as many")
    classes: list[str | None] = [class_of(plain_of(item)) for item in items]
    return Columns(True, classes=classes, scores=scores, offsets=[0, len(classes)])


def read_sets(rows: list[Any], rule: OutputRule) -> Columns:
    """Read the sets of several predictions.

    Raises:
        Misfit: a row is no set, or there are too many entries in all.
    """
    found: list[Columns] = []
    entries = 0
    for row in rows:
        one = read_set(row, None, rule)
        entries += len(one.classes or ())
        _check_entries(entries)
        found.append(one)
    return joined(found)


def joined(rows: list[Columns]) -> Columns:
    """Join the sets of several predictions to one column with offsets."""
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row.classes or ()))
    scored = all(row.scores is not None for row in rows)
    return Columns(
        False,
        classes=[text for row in rows for text in row.classes or ()],
        scores=[score for row in rows for score in row.scores or ()] if scored else None,
        offsets=offsets,
    )


def _check_entries(entries: int) -> None:
    if entries > ROWS_MAX:
        raise Misfit(
            f"more than {ROWS_MAX} classes in one batch are not recorded; call in smaller batches"
        )
