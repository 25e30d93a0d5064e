"""Answers that are sets or rankings: several classes for one prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferspan.output_columns import (
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


def read_indicators(array: NDArray[Any], rule: OutputRule) -> Columns:
    """Read a matrix of 0 and 1, one column per declared class.

    Raises:
        Misfit: other columns than declared classes.
    """
    if array.shape[1] != len(rule.classes):
        raise Misfit(
            f"{array.shape[1]} indicator columns for {len(rule.classes)} known classes; declare "
            "classes=[…] in the order of the columns"
        )
    sets = [[rule.classes[column] for column in np.flatnonzero(row)] for row in array]
    return read_sets([Columns(True, classes=row, offsets=[0, len(row)]) for row in sets])


def read_set(label: object, score: object, rule: OutputRule) -> Columns:
    """Read the classes of one prediction, in order, with a score each where there are.

    Args:
        label: list of classes, or of (class, score).
        score: list of scores, or None.
        rule: what is declared.

    Raises:
        Misfit: no list, no classes, or another number of scores.
    """
    if isinstance(label, (str, bytes)) or not is_column(label):
        raise Misfit(f"{rule.task or rule.operation} needs a list; return {wanted(rule)}")
    items = listed(label)
    scores = None if score is None else floats_of(listed(score))
    if items and all(isinstance(item, tuple) and len(item) == 2 for item in items):
        scores = floats_of([item[1] for item in items])
        items = [item[0] for item in items]
    if scores is not None and len(scores) != len(items):
        raise Misfit(f"{len(items)} classes with {len(scores)} scores; return as many")
    classes = [class_of(plain_of(item)) for item in items]
    return Columns(True, classes=classes, scores=scores, offsets=[0, len(classes)])


def read_sets(rows: list[Columns]) -> Columns:
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
