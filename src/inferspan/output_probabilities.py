"""Answers that are probabilities: class and score from a matrix, by the declared classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan.output_columns import (
    MAPPER,
    ROUNDING,
    ROWS_MAX,
    Columns,
    Misfit,
    OutputRule,
    class_of,
    plain_of,
)

PROBABILITIES_MAX: Final = 65_536
"""Entries of the matrix that are recorded; class and score always are."""


def read_probabilities(matrix: NDArray[Any], rule: OutputRule) -> Columns:
    """Read one row of probabilities per prediction.

    Args:
        matrix: float[rows, classes].
        rule: declares the classes, in the order of the columns.

    Raises:
        Misfit: unknown classes, too many rows, or numbers outside [0, 1].
    """
    rows, width = matrix.shape
    if not width or width != len(rule.classes):
        known = f"{len(rule.classes)} classes are known" if rule.classes else "no class is known"
        raise Misfit(
            f"{width} columns of probabilities, but {known}; declare classes=[…] in the order of "
            "the columns"
        )
    if rows > ROWS_MAX:
        raise Misfit(f"{rows} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
    floats = matrix.astype(np.float64)
    if not np.all((floats >= 0.0) & (floats <= 1.0 + ROUNDING)):
        raise Misfit(f"numbers outside [0, 1] are no probabilities; return probabilities, {MAPPER}")
    best = np.argmax(floats, axis=1)
    floats = np.minimum(floats, 1.0)
    if rule.threshold is not None and width == 2 and rule.positive in rule.classes:
        column = rule.classes.index(rule.positive)
        best = np.where(floats[:, column] >= rule.threshold, column, 1 - column)
    columns = Columns(False, classes=[rule.classes[column] for column in best])
    if rule.task != semconv.BINARY:
        columns.scores = floats[np.arange(rows), best].tolist()
    elif rule.positive in rule.classes:
        columns.scores = floats[:, rule.classes.index(rule.positive)].tolist()
    if floats.size <= PROBABILITIES_MAX:
        columns.probabilities, columns.names = floats.ravel().tolist(), rule.classes
    return columns


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
        names = tuple(class_of(plain_of(name)) for name in given)
        given, rule = list(given.values()), _renamed(rule, names)
    matrix = _matrix(given)
    found = read_probabilities(np.atleast_2d(matrix), rule)
    columns.single = columns.single and matrix.ndim == 1
    if len(columns.classes or columns.scores or found.classes or ()) != found.rows:
        raise Misfit(f"{found.rows} rows of probabilities for {columns.rows}; return as many")
    columns.probabilities, columns.names = found.probabilities, found.names
    if columns.classes is None:
        columns.classes = found.classes
        columns.scores = columns.scores or found.scores
    elif columns.scores is None:
        columns.scores = _scores_of(np.atleast_2d(matrix), columns.classes, rule)


def _matrix(given: object) -> NDArray[np.float64]:
    try:
        matrix = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise Misfit("'probabilities' are no numbers; return a number per class") from None
    if matrix.ndim not in (1, 2):
        raise Misfit("'probabilities' need one number per class, or a row of them per prediction")
    return matrix


def _renamed(rule: OutputRule, names: tuple[str, ...]) -> OutputRule:
    return OutputRule(rule.task, rule.operation, rule.positive, names, rule.threshold)


def _scores_of(matrix: NDArray[Any], chosen: list[str], rule: OutputRule) -> list[float] | None:
    """P(positive) of a binary task, else P(the class that was answered)."""
    wanted = [rule.positive] * len(chosen) if rule.task == semconv.BINARY else chosen
    if len(chosen) != len(matrix) or not all(text in rule.classes for text in wanted):
        return None
    return [
        float(row[rule.classes.index(str(text))]) for row, text in zip(matrix, wanted, strict=True)
    ]


def with_class_by_threshold(columns: Columns, rule: OutputRule) -> Columns:
    """Where only scores came, the declared threshold says the class."""
    declared = rule.threshold is not None and len(rule.classes) == 2
    if columns.classes is None and columns.scores and declared and rule.positive in rule.classes:
        negative = rule.classes[1 - rule.classes.index(rule.positive)]
        columns.classes = [
            rule.positive if score >= (rule.threshold or 0.0) else negative
            for score in columns.scores
        ]
    return columns
