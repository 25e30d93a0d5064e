"""The usual answers of one prediction, read without the detours of `output_forms`.

Each reader says what `read_columns` would say of the same answer, or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from inferspan import semconv
from inferspan.attributes import CLASS_LENGTH_MAX
from inferspan.output_columns import OutputRule

_ONE: Final = (1,)
Found = tuple[str | None, float | None, float | None, list[float] | None]
"""Class, score, value, and the probabilities of all classes."""


def _read_text(value: str, rule: OutputRule) -> Found | None:
    if rule.form != "class" or not value.isascii() or len(value) > CLASS_LENGTH_MAX:
        return None
    return value, None, None, None


def _read_float(value: float, rule: OutputRule) -> Found | None:
    if rule.form == "number" or (rule.undeclared and not rule.floats_are_classes):
        return (None, None, value, None) if math.isfinite(value) else None
    if rule.form != "class" or rule.task != semconv.BINARY or rule.floats_are_classes:
        return None
    if not 0.0 <= value <= 1.0:
        return None
    if rule.answers is None:
        return None, value, None, None
    return rule.answers[value >= (rule.threshold or 0.0)], value, None, None


def _read_int(value: int, rule: OutputRule) -> Found | None:
    if rule.form != "class" or rule.undeclared:
        return None
    label = semconv.class_text(value)
    return None if label is None else (label, None, None, None)


def read_mapping(value: dict[Any, Any], rule: OutputRule) -> Found | None:
    """Read a class and its score, if the answer is no more than that."""
    if rule.form != "class" or "probabilities" in value:
        return None
    label = value.get("label")
    score = value.get("score")
    # Most answers, without a further call.
    if (
        type(label) is str
        and type(score) is float
        and 0.0 <= score <= 1.0
        and label.isascii()
        and len(label) <= CLASS_LENGTH_MAX
    ):
        return label, score, None, None
    return _read_pair(label, score, rule)


def _read_tuple(value: tuple[Any, ...], rule: OutputRule) -> Found | None:
    if rule.form != "class" or len(value) != 2 or type(value[1]) is not float:
        return None
    return _read_pair(value[0], value[1], rule)


def _read_pair(label: Any, score: Any, rule: OutputRule) -> Found | None:
    kind = type(label)
    if kind is int or kind is bool:
        label = semconv.class_text(label)
        if label is None:
            return None
    elif kind is not str or not label.isascii() or len(label) > CLASS_LENGTH_MAX:
        return None
    if score is None:
        return label, None, None, None
    if type(score) is not float:
        return None
    if 0.0 <= score <= 1.0 or (rule.task != semconv.BINARY and math.isfinite(score)):
        return label, score, None, None
    return None


def _read_row(value: Any, rule: OutputRule) -> Found | None:
    """Read a batch of one row, as models answer that take batches only."""
    shape = value.shape
    if shape == rule.row:
        return _read_probabilities(value, rule)
    if shape != _ONE:
        return None
    if rule.operation == "predict_proba":
        return None
    kind = value.dtype.kind
    if kind in "iu" and rule.form == "class":
        return None if rule.undeclared else (str(value.item()), None, None, None)
    if kind == "U":
        return _read_text(value.item(), rule)
    if kind != "f" or rule.form != "number":
        return None
    number = float(value[0])
    return (None, None, number, None) if math.isfinite(number) else None


def _read_probabilities(value: Any, rule: OutputRule) -> Found | None:
    if value.dtype.char not in "efd":
        return None
    row: list[float]
    (row,) = value.tolist()
    if len(row) == 2:  # of most models: at a quarter of the cost
        first, second = row
        if not (0.0 <= first <= 1.0 and 0.0 <= second <= 1.0):
            return None
        if (at := rule.halves_at) is not None:  # as `decided`, without its frame
            label = rule.classes[1 if second > first else 0]
            return label, second if at else first, None, row
    # The sum of what holds a NaN is one.
    elif not (min(row) >= 0.0 and max(row) <= 1.0 and sum(row) >= 0.0):
        return None
    label, score = rule.decided(row)
    return label, score, None, row


USUAL: Final[dict[type, Callable[[Any, OutputRule], Found | None]]] = {
    str: _read_text,
    float: _read_float,
    int: _read_int,
    bool: _read_int,
    dict: read_mapping,
    tuple: _read_tuple,
    np.ndarray: _read_row,
    np.float64: lambda value, rule: _read_float(value.item(), rule),
    np.float32: lambda value, rule: _read_float(value.item(), rule),
}
"""By exact type; None = not one of the usual ones after all. For an input of one row, or of who
knows how many: who calls them has seen to that."""
