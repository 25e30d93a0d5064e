"""Answers that are probabilities: class and score from a matrix, by the declared classes.

What the collector would derive from the probabilities alone is derived here, so that a record
without them says the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferspan import foreign, semconv
from inferspan.output_columns import (
    ELEMENTS_MAX,
    FEW_CLASSES,
    MAPPER,
    ROUNDING,
    ROWS_MAX,
    Columns,
    Misfit,
    OutputRule,
    array_of,
    class_of,
    is_float,
    plain_of,
)

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

LISTED_MAX: Final = 1 << 18
"""Numbers in lists of lists that are looked at (some 10 milliseconds)."""
PROBABILITIES_MAX: Final = 65_536
"""Entries of the matrix that are recorded; class and score always are."""
_NO_ROW: Final = "NaN is no probability, and no row is without; return probabilities"
_OUTSIDE: Final = f"numbers outside [0, 1] are no probabilities; return probabilities, {MAPPER}"


def read_probabilities(matrix: NDArray[Any], rule: OutputRule) -> Columns:
    """Read one row of probabilities per prediction; a row with a NaN is one without answer.

    Args:
        matrix: float[rows, classes].
        rule: declares the classes, in the order of the columns.

    Raises:
        Misfit: unknown classes, too many numbers, numbers outside [0, 1], or no complete row.
    """
    _check_shape(matrix, rule)
    if len(matrix) == 1 and matrix.shape[1] <= FEW_CLASSES:
        return _one_row(matrix[0].astype(np.float64).tolist(), rule)
    matrix, complete = _checked(matrix)
    rows, width = matrix.shape
    columns = Columns(False)
    best = np.argmax(matrix, axis=1)
    binary = rule.task == semconv.BINARY
    positive = rule.positive_at
    if rule.answers is not None and positive is not None:
        reached = matrix[:, positive].astype(np.float64) >= (rule.threshold or 0.0)
        best = np.where(reached, positive, 1 - positive)
    # One column cannot say what the other answer would have been.
    if width > 1:
        columns.classes = [
            rule.classes[column] if known else None
            for column, known in zip(best.tolist(), complete.tolist(), strict=True)
        ]
    scored = positive if binary else best if width > 1 else None
    if scored is not None:
        chosen = matrix[np.arange(rows), scored].astype(np.float64)
        columns.scores = np.where(complete, chosen, math.nan).tolist()
    if matrix.size <= PROBABILITIES_MAX:
        columns.probabilities = matrix.astype(np.float64).ravel().tolist()
        columns.names = rule.classes
    return columns


def _one_row(row: list[float], rule: OutputRule) -> Columns:
    """The same of one row, for which arrays are a detour."""
    if any(p != p for p in row):
        raise Misfit(_NO_ROW)
    if min(row) < 0.0 or max(row) > 1.0 + ROUNDING:
        raise Misfit(_OUTSIDE)
    row = [min(p, 1.0) for p in row]
    columns = Columns(False, probabilities=row, names=rule.classes)
    if len(row) > 1:
        label, score = rule.decided(row)
        columns.classes = [label]
        columns.scores = None if score is None else [score]
    elif rule.task == semconv.BINARY and rule.positive_at is not None:
        columns.scores = [row[0]]
    return columns


def listed_matrix(rows: list[Any], rule: OutputRule) -> NDArray[np.float64]:
    """Lists of floats, one per prediction, as a matrix; None is a row without answer.

    Args:
        rows: at least one is a list; nothing is looked at that lies deeper.
        rule: declares the classes, in the order of the columns.

    Raises:
        Misfit: the task has no probabilities, too many numbers, or a row that is no such list.
    """
    width = len(rule.classes)
    if rule.numeric or not width:
        raise Misfit(f"a list of lists; return one answer per row, {MAPPER}")
    if len(rows) * width > LISTED_MAX:
        raise Misfit(
            f"{len(rows)} lists of {width} probabilities, at most {LISTED_MAX:,} numbers are "
            "looked at; return an array, or call in smaller batches"
        )
    known = [row for row in rows if row is not None]
    fit = all(type(row) is list and len(row) == width for row in known)
    kinds = {kind for row in known for kind in map(type, row)} if fit else set()
    if not any(map(is_float, kinds)) or not all(k is int or is_float(k) for k in kinds):
        raise Misfit(
            f"a list of lists that are not {width} floats each, one per declared class; return "
            f"one answer per row, {MAPPER}"
        )
    absent = [math.nan] * width
    return np.array([absent if row is None else row for row in rows], np.float64)


def _check_shape(matrix: NDArray[Any], rule: OutputRule) -> None:
    rows, width = matrix.shape
    if not width or width != len(rule.classes):
        known = f"{len(rule.classes)} classes are known" if rule.classes else "no class is known"
        raise Misfit(
            f"{width} columns of probabilities, but {known}; declare classes=[…] in the order of "
            "the columns"
        )
    if rows > ROWS_MAX or matrix.size > ELEMENTS_MAX:
        raise Misfit(
            f"{rows} rows of {width} probabilities, at most {ROWS_MAX} rows and {ELEMENTS_MAX:,} "
            "numbers are looked at; call in smaller batches"
        )


def _checked(matrix: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The probabilities, at most 1, NaN in rows without answer; and which rows have one."""
    complete = ~np.isnan(matrix).any(axis=1)
    if not complete.all():
        matrix = np.where(complete[:, None], matrix, math.nan)
        if not complete.any():
            raise Misfit(_NO_ROW)
    least, most = np.nanmin(matrix, initial=0.0), np.nanmax(matrix, initial=0.0)
    if least < 0.0 or most > 1.0 + ROUNDING:
        raise Misfit(_OUTSIDE)
    return np.minimum(matrix, 1.0) if most > 1.0 else matrix, complete


def add_probabilities(columns: Columns, given: object, rule: OutputRule) -> None:
    """Add the `probabilities` of an answer that names its parts.

    Args:
        columns: what the other parts gave; completed in place.
        given: class → probability, or probabilities in the order of the declared classes.
        rule: declares the classes.

    Raises:
        Misfit: as `read_probabilities`.
    """
    if isinstance(given, Mapping):
        rule = rule.of_classes(tuple(class_of(plain_of(name)) for name in given))
        given = [plain_of(value) for value in given.values()]
    matrix = _matrix(given)
    found = read_probabilities(np.atleast_2d(matrix), rule)
    alone = columns.classes is None and columns.scores is None
    columns.single = matrix.ndim == 1 and (alone or columns.single)
    rows = len(np.atleast_2d(matrix))
    if not alone and columns.rows != rows:
        raise Misfit(f"{rows} rows of probabilities for {columns.rows}; return as many")
    columns.probabilities, columns.names = found.probabilities, found.names
    if columns.classes is None:
        columns.classes = found.classes
        columns.scores = columns.scores or found.scores
    elif columns.scores is None:
        columns.scores = _scores_of(np.atleast_2d(matrix), columns.classes, rule)


def _matrix(given: Any) -> NDArray[np.float64]:
    if foreign.is_array(given):
        given = array_of(given)
    elif isinstance(given, (list, tuple)):
        width = max((len(row) for row in given if isinstance(row, (list, tuple))), default=1)
        if len(given) * width > ELEMENTS_MAX:
            raise Misfit(f"more than {ELEMENTS_MAX:,} probabilities; call in smaller batches")
    try:
        matrix = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise Misfit("'probabilities' are no numbers; return a number per class") from None
    if matrix.ndim not in (1, 2):
        raise Misfit(
            "'probabilities' need one number per class; return a list of them, or a row each"
        )
    return matrix


def _scores_of(
    matrix: NDArray[Any], chosen: list[str | None], rule: OutputRule
) -> list[float] | None:
    """P(positive) of a binary task, else P(the class that was answered); NaN where not known."""
    columns = {text: column for column, text in enumerate(rule.classes)}
    wanted = [rule.positive] * len(chosen) if rule.task == semconv.BINARY else chosen
    scores = [
        min(float(row[columns[text]]), 1.0) if text in columns else math.nan
        for row, text in zip(matrix, wanted, strict=True)
    ]
    return scores if any(score == score for score in scores) else None


def with_class_by_threshold(columns: Columns, rule: OutputRule) -> Columns:
    """Where only scores came, the declared threshold says the class."""
    if columns.classes is None and columns.scores and rule.answers is not None:
        negative, positive = rule.answers
        threshold = rule.threshold or 0.0
        columns.classes = [
            None if score != score else positive if score >= threshold else negative
            for score in columns.scores
        ]
    return columns
