"""What a predict function returned → class, score, value: pure, by the declared task.

A wrong guess is worse than none: what does not fit the declaration is not recorded; the reason
goes on the span (`inferspan.capture.dropped`) and, once, into the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv
from inferspan.attributes import Attributes, type_name
from inferspan.output_columns import (
    CLASS_TASKS,
    MAPPER,
    ROWS_MAX,
    Columns,
    Misfit,
    OutputRule,
    class_of,
    floats_of,
    is_column,
    listed,
    number_of,
    plain_of,
    probability_of,
    wanted,
)
from inferspan.output_probabilities import (
    add_probabilities,
    read_probabilities,
    with_class_by_threshold,
)
from inferspan.output_sets import read_indicators, read_set, read_sets


@dataclass(frozen=True, slots=True)
class Output:
    """What was recognised."""

    attributes: Attributes
    rows: int | None = None
    """Rows of a batch; None = one prediction."""
    dropped: str | None = None
    """Why it was not recognised, with the remedy."""


def read_output(returned: object, rule: OutputRule, input_rows: int | None = None) -> Output:
    """Recognise class, score and value in what a function returned.

    Args:
        returned: str, bool, number, numpy scalar; dict with `label`, `score`, `value`,
            `probabilities`; `(label, score)`; 1-D array, series or list (a batch); 2-D array of
            probabilities where the classes are known; object with `.label` and `.score`.
        rule: what the model declares.
        input_rows: rows of the input, where evident; a batch must have as many.

    Returns:
        The attributes, or why there are none. Never raises on input of the types above; what a
        foreign object's own attributes raise passes through.
    """
    if rule.untyped:
        return Output({})
    try:
        columns = _columns(returned, rule, input_rows)
        rows = columns.rows
        if not columns.single and input_rows is not None and rows != input_rows:
            raise Misfit(f"{rows} outputs for {input_rows} input rows; return one per row")
        if rows > ROWS_MAX:
            raise Misfit(f"{rows} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
        if not rows:
            return Output({}, rows=0)
        return Output(_attributes(columns), None if columns.single or rows == 1 else rows)
    except Misfit as misfit:
        return Output({}, dropped=str(misfit))


def _columns(returned: object, rule: OutputRule, input_rows: int | None) -> Columns:
    if isinstance(returned, (str, bool, int, float, np.generic)):
        return _scalar(returned, rule)
    if isinstance(returned, np.ndarray):
        return _array(returned, rule, input_rows)
    if isinstance(returned, dict):
        return _parts(returned.get, rule)
    if isinstance(returned, (tuple, list, set, frozenset)) and not hasattr(returned, "label"):
        return _sequence(returned, rule, input_rows)
    if hasattr(type(returned), "to_numpy") and len(getattr(returned, "shape", ())) in (1, 2):
        return _array(returned.to_numpy(), rule, input_rows)  # type: ignore[attr-defined]
    if returned is not None and (hasattr(returned, "label") or hasattr(returned, "value")):
        return _parts(lambda name: getattr(returned, name, None), rule)
    raise Misfit(
        f"{type_name(type(returned))} holds no class, score or number that is known; return "
        f"{wanted(rule)}, {MAPPER}"
    )


def _scalar(value: object, rule: OutputRule) -> Columns:
    number = plain_of(value)
    if rule.ragged:
        raise Misfit(f"one {type_name(type(value))} for {rule.task}; return {wanted(rule)}")
    if rule.numeric:
        return Columns(True, values=[number_of(number)])
    if isinstance(number, float) and not rule.floats_are_classes:
        if rule.task == semconv.BINARY:
            return _scored(True, [probability_of(number)], rule)
        if rule.task is None and not rule.classes:
            return Columns(True, values=[number_of(number)])
        if not number.is_integer():
            raise Misfit(f"a float with a fraction is no class; return {wanted(rule)}, {MAPPER}")
    if rule.task is None and not rule.classes and type(number) is int:
        return Columns(True, values=[number_of(number)])
    return Columns(True, classes=[class_of(number)])


def _parts(get: Callable[[str], object], rule: OutputRule) -> Columns:
    """Read an answer that names its parts."""
    label, score, value = get("label"), get("score"), get("value")
    probabilities = get("probabilities")
    if rule.numeric or (label is None and probabilities is None and score is None):
        if value is None or rule.task in CLASS_TASKS:
            missing = "value" if rule.numeric else "label"
            raise Misfit(f"no {missing!r} among what was returned; return {wanted(rule)}, {MAPPER}")
        if is_column(value):
            return Columns(False, values=floats_of(listed(value)))
        return Columns(True, values=[number_of(plain_of(value))])
    if rule.ragged:
        return read_set(label, score, rule)
    columns = Columns(not is_column(label if label is not None else score))
    if label is not None:
        columns.classes = [class_of(plain_of(item)) for item in listed(label)]
    if score is not None:
        columns.scores = [_score(item, rule) for item in listed(score)]
    if probabilities is not None:
        add_probabilities(columns, probabilities, rule)
    _check_lengths(columns)
    return with_class_by_threshold(columns, rule)


def _sequence(
    items: tuple[object, ...] | list[object] | set[object] | frozenset[object],
    rule: OutputRule,
    input_rows: int | None,
) -> Columns:
    if isinstance(items, tuple) and len(items) == 2 and not rule.numeric and not rule.ragged:
        label, score = items
        pair = isinstance(score, (float, np.floating)) and not isinstance(label, float)
        if pair or (is_column(label) and is_column(score)):
            return _parts({"label": label, "score": score}.get, rule)
    if rule.ragged:
        rows = listed(items)
        nested = all(is_column(row) and not isinstance(row, tuple) for row in rows)
        if isinstance(items, list) and rows and nested:
            return read_sets([read_set(row, None, rule) for row in rows])
        return read_set(rows, None, rule)
    if not isinstance(items, list):
        raise Misfit(f"a {type_name(type(items))} of {len(items)}; return {wanted(rule)}, {MAPPER}")
    if len(items) > ROWS_MAX:
        raise Misfit(f"{len(items)} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
    if items and all(type(item) is float for item in items):
        return _array(np.array(items, np.float64), rule, input_rows)
    return _stacked([_columns(item, rule, None) for item in items])


def _stacked(rows: list[Columns]) -> Columns:
    if not rows:
        return Columns(False)
    if not all(row.single for row in rows):
        raise Misfit(f"a list of lists; return one answer per row, {MAPPER}")
    stacked = Columns(False)
    for part in ("classes", "scores", "values"):
        present = [getattr(row, part) for row in rows]
        if all(column is not None for column in present):
            setattr(stacked, part, [column[0] for column in present])
        elif any(column is not None for column in present):
            raise Misfit(f"only some rows have {part}; return the same parts for every row")
    return stacked


def _array(array: NDArray[Any], rule: OutputRule, input_rows: int | None) -> Columns:
    if array.ndim == 0:
        return _scalar(array[()], rule)
    if array.ndim == 2 and array.shape[1] == 1 and len(rule.classes) != 1:
        array = array[:, 0]
    if array.ndim == 1:
        one_row = len(rule.classes) == len(array) and input_rows in (None, 1)
        if rule.operation == "predict_proba" and one_row and array.dtype.kind == "f":
            columns = read_probabilities(array.reshape(1, -1), rule)
            columns.single = True
            return columns
        return _vector(array, rule)
    if array.ndim == 2 and rule.task == semconv.MULTILABEL and array.dtype.kind in "biu":
        return read_indicators(array, rule)
    if array.ndim == 2 and not rule.numeric and not rule.ragged and array.dtype.kind == "f":
        return read_probabilities(array, rule)
    raise Misfit(
        f"an array of shape {'x'.join(map(str, array.shape))} and type {array.dtype.kind!r}; "
        f"return one answer per row, {MAPPER}"
    )


def _vector(array: NDArray[Any], rule: OutputRule) -> Columns:
    if len(array) > ROWS_MAX:
        raise Misfit(f"{len(array)} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
    if array.dtype.kind not in "biufUO":
        raise Misfit(f"an array of type {array.dtype.kind!r}; return {wanted(rule)}, {MAPPER}")
    items = array.tolist()
    if rule.ragged:
        return read_set(items, None, rule)
    if rule.numeric:
        return Columns(False, values=floats_of(items))
    undeclared = rule.task is None and not rule.classes
    if array.dtype.kind == "f" and not rule.floats_are_classes:
        if rule.task == semconv.BINARY:
            return _scored(False, [probability_of(item) for item in items], rule)
        if not undeclared and not all(item.is_integer() for item in items):
            raise Misfit(f"floats are no classes; return {wanted(rule)}, or declare classes=[…]")
    if undeclared and array.dtype.kind in "iuf":
        return Columns(False, values=floats_of(items))
    return Columns(False, classes=[class_of(item) for item in items])


def _attributes(columns: Columns) -> Attributes:
    found: Attributes = {}
    scalar = (columns.single or columns.rows == 1) and columns.offsets is None
    parts: tuple[tuple[Sequence[Any] | None, str, str], ...] = (
        (columns.classes, semconv.OUTPUT_CLASS, semconv.OUTPUT_CLASSES_PREDICTED),
        (columns.scores, semconv.OUTPUT_SCORE, semconv.OUTPUT_SCORES),
        (columns.values, semconv.OUTPUT_VALUE, semconv.OUTPUT_VALUES),
    )
    for column, one, many in parts:
        if column is None:
            continue
        if scalar and column[0] != column[0]:
            raise Misfit("NaN and infinities are no outputs; return a finite number")
        found[one if scalar else many] = column[0] if scalar else column
    if columns.offsets is not None:
        found[semconv.OUTPUT_OFFSETS] = columns.offsets
    if columns.probabilities is not None:
        found[semconv.OUTPUT_CLASSES] = list(columns.names)
        found[semconv.OUTPUT_PROBABILITIES] = columns.probabilities
    return found


def _check_lengths(columns: Columns) -> None:
    lengths = {len(c) for c in (columns.classes, columns.scores) if c is not None}
    if len(lengths) > 1:
        raise Misfit(f"{' and '.join(map(str, sorted(lengths)))} labels and scores; return as many")


def _score(value: object, rule: OutputRule) -> float:
    number = number_of(plain_of(value))
    return probability_of(number) if rule.task == semconv.BINARY else number


def _scored(single: bool, scores: list[float], rule: OutputRule) -> Columns:
    return with_class_by_threshold(Columns(single, scores=scores), rule)
