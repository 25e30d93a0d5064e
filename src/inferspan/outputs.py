"""What a predict function returned → class, score, value: pure, by the declared task.

A wrong guess is worse than none: what does not fit the declaration is not recorded; the reason
goes on the span (`inferspan.capture.dropped`) and, once, into the log.
"""

from __future__ import annotations

from collections.abc import Callable
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


class Output:
    """What was recognised: the answer of a single prediction, or columns; nothing where dropped."""

    # Not a dataclass: most answers set one or two of these, and the others cost nothing here.
    label: str | None = None
    """The class of a single prediction."""
    score: float | None = None
    """The score of a single prediction."""
    value: float | None = None
    """The number of a single prediction."""
    classes: list[str] | None = None
    """Of a batch: one class per row; with `offsets`, the entries of sets or rankings."""
    scores: list[float] | None = None
    """Of a batch: one per row (NaN = none); with `offsets`, one per entry of `classes`."""
    values: list[float] | None = None
    """Of a batch: one per row, NaN = none."""
    offsets: list[int] | None = None
    """Where each row's set begins in `classes`, and one more for the end; also of a single set."""
    probabilities: list[float] | None = None
    """Row-major; class and score that follow from them stand above."""
    names: tuple[str, ...] = ()
    """The classes that the columns of `probabilities` stand for."""
    rows: int | None = None
    """Rows of a batch; None = one prediction."""
    dropped: str | None = None
    """Why it was not recognised, with the remedy."""

    @property
    def recognised(self) -> bool:
        """Whether there is anything to record."""
        found = (self.label, self.score, self.value, self.classes, self.scores, self.values)
        return found != (None,) * 6

    def write_to(self, attributes: Attributes) -> None:
        """Add what was recognised to a span's attributes."""
        if self.label is not None:
            attributes[semconv.OUTPUT_CLASS] = self.label
        if self.score is not None:
            attributes[semconv.OUTPUT_SCORE] = self.score
        if self.value is not None:
            attributes[semconv.OUTPUT_VALUE] = self.value
        if self.classes is not None:
            attributes[semconv.OUTPUT_CLASSES_PREDICTED] = self.classes
        if self.scores is not None:
            attributes[semconv.OUTPUT_SCORES] = self.scores
        if self.values is not None:
            attributes[semconv.OUTPUT_VALUES] = self.values
        if self.offsets is not None:
            attributes[semconv.OUTPUT_OFFSETS] = self.offsets
        if self.probabilities is not None:
            attributes[semconv.OUTPUT_CLASSES] = self.names
            attributes[semconv.OUTPUT_PROBABILITIES] = self.probabilities


def read_output(returned: object, rule: OutputRule, input_rows: int | None = None) -> Output:
    """Recognise class, score and value in what a function returned.

    Args:
        returned: str, bool, number, numpy scalar; dict with `label`, `score`, `value`,
            `probabilities`; `(label, score)`; 1-D array, series or list (a batch); 2-D array of
            probabilities where the classes are known; object with `.label` and `.score`.
        rule: what the model declares.
        input_rows: rows of the input, where evident; a batch must have as many.

    Returns:
        What was recognised, or why nothing was. Never raises on input of the types above; what a
        foreign object's own attributes raise passes through.
    """
    output = Output()
    if rule.untyped:
        return output
    try:
        columns = _columns(returned, rule, input_rows)
        rows = columns.rows
        if not columns.single and input_rows is not None and rows != input_rows:
            raise Misfit(f"{rows} outputs for {input_rows} input rows; return one per row")
        if rows > ROWS_MAX:
            raise Misfit(f"{rows} rows, at most {ROWS_MAX} are recorded; call in smaller batches")
        if not rows:
            output.rows = 0
        elif (columns.single or rows == 1) and columns.offsets is None:
            _fill_single(output, columns)
        else:
            _fill_columns(output, columns)
    except Misfit as misfit:
        output = Output()
        output.dropped = str(misfit)
    return output


def _fill_single(output: Output, columns: Columns) -> None:
    output.label = columns.classes[0] if columns.classes else None
    output.score = columns.scores[0] if columns.scores else None
    output.value = columns.values[0] if columns.values else None
    if output.value != output.value or output.score != output.score:
        raise Misfit("NaN and infinities are no outputs; return a finite number")
    output.probabilities, output.names = columns.probabilities, columns.names


def _fill_columns(output: Output, columns: Columns) -> None:
    output.classes, output.scores, output.values = columns.classes, columns.scores, columns.values
    output.offsets = columns.offsets
    output.probabilities, output.names = columns.probabilities, columns.names
    output.rows = None if columns.single or columns.rows == 1 else columns.rows


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


def _check_lengths(columns: Columns) -> None:
    lengths = {len(c) for c in (columns.classes, columns.scores) if c is not None}
    if len(lengths) > 1:
        raise Misfit(f"{' and '.join(map(str, sorted(lengths)))} labels and scores; return as many")


def _score(value: object, rule: OutputRule) -> float:
    number = number_of(plain_of(value))
    return probability_of(number) if rule.task == semconv.BINARY else number


def _scored(single: bool, scores: list[float], rule: OutputRule) -> Columns:
    return with_class_by_threshold(Columns(single, scores=scores), rule)
