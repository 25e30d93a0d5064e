"""What each form of answer holds: scalars, parts, lists, arrays, tables → outputs by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferspan import foreign, semconv
from inferspan.attributes import is_table, shape_of, type_name
from inferspan.foreign import is_missing
from inferspan.output_columns import (
    CLASS_TASKS,
    MAPPER,
    ROWS_MAX,
    SUM_ROUNDING,
    Columns,
    Misfit,
    OutputRule,
    array_of,
    class_of,
    classes_of,
    floats_of,
    is_column,
    is_float,
    listed,
    number_of,
    plain_of,
    probability_of,
    scores_of,
    wanted,
)
from inferspan.output_probabilities import (
    add_probabilities,
    listed_matrix,
    read_probabilities,
    with_class_by_threshold,
)
from inferspan.output_sets import joined, read_indicators, read_named_scores, read_set, read_sets
from inferspan.output_usual import USUAL

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

_PARTS: Final = ("label", "score", "value", "probabilities")
_COLUMNS_MAX: Final = 4096
"""Columns of a table that is looked at."""


def read_columns(returned: Any, rule: OutputRule, input_rows: int | None) -> Columns:
    """Read an answer of any form.

    Args:
        returned: as `read_output` takes it.
        rule: what is declared.
        input_rows: rows of the input, where evident.

    Raises:
        Misfit: it does not fit the declaration; says why, and what to return.
    """
    kind = type(returned)
    if issubclass(kind, (str, int, float, np.generic)):
        return _scalar(returned, rule)
    if kind is np.ndarray:
        return _array(returned, rule, input_rows)
    if issubclass(kind, Mapping):
        return _mapping(returned, rule)
    if issubclass(kind, (tuple, list, set, frozenset)) and not hasattr(kind, "label"):
        return _sequence(returned, rule, input_rows)
    if foreign.is_decimal(kind):
        return _scalar(returned, rule)
    if is_table(returned):
        return _table(returned, rule, input_rows)
    if foreign.is_array(returned):
        return _array(array_of(returned), rule, input_rows)
    if returned is not None and any(hasattr(returned, part) for part in _PARTS):
        return _parts(lambda name: getattr(returned, name, None), rule)
    raise Misfit(
        f"{type_name(kind)} holds no class, score or number that is known; return "
        f"{wanted(rule)}, {MAPPER}"
    )


def _scalar(value: object, rule: OutputRule) -> Columns:
    plain = plain_of(value)
    if rule.ragged:
        raise Misfit(f"one {type_name(type(value))} for {rule.task}; return {wanted(rule)}")
    if rule.numeric:
        return Columns(True, values=[number_of(plain)])
    if isinstance(plain, float) and not rule.floats_are_classes:
        if rule.task == semconv.BINARY:
            scored = Columns(True, scores=[probability_of(plain)])
            return with_class_by_threshold(scored, rule)
        if rule.undeclared:
            return Columns(True, values=[number_of(plain)])
        if not plain.is_integer():
            raise Misfit(f"a float with a fraction is no class; return {wanted(rule)}, {MAPPER}")
    if rule.undeclared and type(plain) is int:
        return Columns(True, values=[number_of(plain)])
    return Columns(True, classes=[class_of(plain)])


def _mapping(returned: Mapping[Any, Any], rule: OutputRule) -> Columns:
    if rule.ragged and len(returned) <= ROWS_MAX and not any(p in returned for p in _PARTS):
        return read_named_scores(returned, rule)
    return _parts(returned.get, rule)


def _parts(get: Callable[[str], Any], rule: OutputRule) -> Columns:
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
        columns.classes = (
            [class_of(plain_of(label))] if columns.single else classes_of(listed(label))
        )
    if score is not None:
        columns.scores = _scores(score, rule)
    if probabilities is not None:
        add_probabilities(columns, probabilities, rule)
    _check_lengths(columns)
    return with_class_by_threshold(columns, rule)


def _scores(score: object, rule: OutputRule) -> list[float]:
    if is_column(score):
        return scores_of(listed(score), rule)
    number = number_of(plain_of(score))
    return [probability_of(number) if rule.task == semconv.BINARY else number]


def _sequence(items: Any, rule: OutputRule, input_rows: int | None) -> Columns:
    kind = type(items)
    if issubclass(kind, tuple) and len(items) == 2 and not rule.numeric and not rule.ragged:
        label, score = items
        pair = type(plain_of(score)) is float and type(plain_of(label)) is not float
        if pair or (is_column(label) and is_column(score)):
            return _parts({"label": label, "score": score}.get, rule)
    if rule.ragged:
        rows = listed(items)
        nested = all(is_column(row) and not isinstance(row, tuple) for row in rows)
        if issubclass(kind, list) and rows and nested:
            return read_sets(rows, rule)
        if issubclass(kind, list) and rows and all(isinstance(row, Mapping) for row in rows):
            return joined([_mapping(row, rule) for row in rows])
        return read_set(rows, None, rule)
    if not issubclass(kind, list):
        raise Misfit(f"a {type_name(kind)} of {len(items)}; return {wanted(rule)}, {MAPPER}")
    rows = listed(items)
    kinds = set(map(type, rows))
    if any(issubclass(kind, list) for kind in kinds):
        return read_probabilities(listed_matrix(rows, rule), rule)
    if all(map(is_float, kinds)) and _is_one_row(rows, rule, input_rows):
        return _array(np.array(rows), rule, input_rows)
    if len(kinds) == 1 and (code := _KIND_CODES.get(next(iter(kinds)))) is not None:
        return _vector(rows, code, rule)
    return _usual_rows(rows, rule) or _stacked(
        [None if is_missing(row) else read_columns(row, rule, None) for row in rows]
    )


_KIND_CODES: Final = {str: "U", bool: "b", int: "i", float: "f"}
"""numpy's letters for lists of one type."""


def _usual_rows(rows: list[Any], rule: OutputRule) -> Columns | None:
    """Rows that are all (label, score) or a dict of them; None where one is anything else."""
    classes: list[str | None] = []
    scores: list[float] = []
    for row in rows:
        reader = USUAL.get(type(row))
        found = None if reader is None else reader(row, rule)
        if found is None or found[0] is None or found[1] is None or found[3] is not None:
            return None
        classes.append(found[0])
        scores.append(found[1])
    return Columns(False, classes=classes, scores=scores) if rows else None


def _stacked(rows: list[Columns | None]) -> Columns:
    """Answers of one prediction each → columns; None is a row without answer."""
    known = [row for row in rows if row is not None]
    if not known:
        if rows:
            raise Misfit("all rows are None; return one answer per row")
        return Columns(False)
    if not all(row.single for row in known):
        raise Misfit(f"a list of lists; return one answer per row, {MAPPER}")
    stacked = Columns(False)
    for part, absent in (("classes", None), ("scores", math.nan), ("values", math.nan)):
        present = [getattr(row, part) for row in known]
        if all(column is not None for column in present):
            column = [absent if row is None else getattr(row, part)[0] for row in rows]
            setattr(stacked, part, column)
        elif any(column is not None for column in present):
            raise Misfit(f"only some rows have {part}; return the same parts for every row")
    return stacked


def _array(array: NDArray[Any], rule: OutputRule, input_rows: int | None) -> Columns:
    if array.ndim == 0:
        return _scalar(array[()], rule)
    if array.ndim == 2 and array.shape[1] == 1 and len(rule.classes) != 1:
        array = array[:, 0]
    if array.ndim == 1:
        if array.dtype.kind == "f" and _is_one_row(array, rule, input_rows):
            columns = read_probabilities(array.reshape(1, -1), rule)
            columns.single = True
            return columns
        return _vector(listed(array), array.dtype.kind, rule)
    if array.ndim == 2 and rule.task == semconv.MULTILABEL and array.dtype.kind in "biu":
        return read_indicators(array, rule)
    if array.ndim == 2 and not rule.numeric and not rule.ragged and array.dtype.kind == "f":
        return read_probabilities(array, rule)
    if array.ndim == 2 and rule.numeric:
        raise Misfit(
            f"{array.shape[1]} numbers per row, and a prediction has one; give one of them: "
            "output=lambda returned: returned[:, 0]"
        )
    raise Misfit(
        f"an array of shape {'x'.join(map(str, array.shape))} and type {array.dtype.kind!r}; "
        f"return one answer per row, {MAPPER}"
    )


def _is_one_row(numbers: Any, rule: OutputRule, input_rows: int | None) -> bool:
    """Whether floats are the probabilities of one prediction, and not one number per row."""
    if rule.operation != "predict_proba" or len(numbers) != len(rule.classes):
        return False
    if input_rows is None:  # by chance there may be as many rows as classes
        return not abs(float(np.sum(numbers)) - 1.0) > SUM_ROUNDING
    return input_rows == 1


def _vector(items: list[Any], kind: str, rule: OutputRule) -> Columns:
    """Read one scalar per row; `kind` is numpy's letter for their type."""
    if kind not in "biufUO":
        raise Misfit(f"an array of type {kind!r}; return {wanted(rule)}, {MAPPER}")
    if rule.ragged:
        return read_set(items, None, rule)
    if rule.numeric:
        return Columns(False, values=floats_of(items))
    if kind == "f" and not rule.floats_are_classes:
        if rule.task == semconv.BINARY:
            return with_class_by_threshold(Columns(False, scores=scores_of(items, rule)), rule)
        if not rule.undeclared and not all(item.is_integer() or item != item for item in items):
            raise Misfit(f"floats are no classes; return {wanted(rule)}, or declare classes=[…]")
    if rule.undeclared and kind in "iuf":
        return Columns(False, values=floats_of(items))
    return Columns(False, classes=classes_of(items))


def _table(table: Any, rule: OutputRule, input_rows: int | None) -> Columns:
    shape = shape_of(table)
    if shape is None or len(shape) != 2 or shape[0] > ROWS_MAX or shape[1] > _COLUMNS_MAX:
        raise Misfit(
            f"a table of {shape}, at most {ROWS_MAX} rows and {_COLUMNS_MAX} columns are read; "
            "call in smaller batches, or return the columns of the answer"
        )
    columns: dict[Any, Any] = foreign.columns_of(table)
    if len(columns) < shape[1]:
        raise Misfit(
            f"a table of {shape[1]} columns with {len(columns)} names; name each column once"
        )
    if any(part in columns for part in _PARTS):
        if rule.ragged and "label" in columns:
            return read_sets(listed(columns["label"]), rule)
        return _parts(columns.get, rule)
    if len(columns) == 1:
        return _array(array_of(next(iter(columns.values()))), rule, input_rows)
    named = {semconv.class_text(name): column for name, column in columns.items()}
    known = rule.classes
    if not known and rule.operation == "predict_proba" and all(type(n) is str for n in columns):
        known = tuple(class_of(name) for name in columns)
    if known and set(named) == set(known):
        ordered = [array_of(named[name]) for name in known]
    elif all(name == place for place, name in enumerate(columns)):
        ordered = [array_of(column) for column in columns.values()]
    else:
        shown = ", ".join(str(name)[:32] for name in list(columns)[:8])
        raise Misfit(
            f"a table with the columns {shown}; name them label, score, value, or by the declared "
            f"classes, {MAPPER}"
        )
    matrix = np.column_stack(ordered)
    return _array(matrix, rule.of_classes(known), input_rows)


def _check_lengths(columns: Columns) -> None:
    lengths = {len(c) for c in (columns.classes, columns.scores) if c is not None}
    if len(lengths) > 1:
        raise Misfit(f"{' and '.join(map(str, sorted(lengths)))} labels and scores; return as many")
