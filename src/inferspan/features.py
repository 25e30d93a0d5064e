"""The declared features of a call → attributes: numbers packed, categories as text."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from inferspan import foreign, semconv
from inferspan.attributes import Attributes, names_text
from inferspan.foreign import is_missing

FEATURES_MAX: Final = 256
"""Declared features of one model."""
FEATURE_VALUES_MAX: Final = 65_536
"""Values of all features of one call: ten features of 6,553 rows."""
FEATURE_BYTES_MAX: Final = 8 * FEATURE_VALUES_MAX
"""What they may take together, numbers and texts."""
TEXT_BYTES_MAX: Final = 3 * 1024
"""Of one text; a category is shorter."""
_NUMBERS: Final = (bool, int, float)
_SINGLE: Final = frozenset((str, bool, int, float, type(None)))


class ColumnTooLong(ValueError):
    """A column of more rows than are recorded."""


def as_column(value: object, rows_max: int) -> list[object] | None:
    """A column's values as a list of Python objects; None where `value` is a single value.

    Args:
        value: list, tuple, array or tensor on the CPU of shape (n,) or (n, 1), series or Arrow
            array.
        rows_max: a longer one is refused.

    Raises:
        ColumnTooLong: longer than `rows_max`.
    """
    kind = type(value)
    if kind in _SINGLE:
        return None
    if issubclass(kind, (list, tuple)):
        _check_length(len(value), rows_max)  # type: ignore[arg-type]
        return list(value)  # type: ignore[call-overload,no-any-return]
    if not foreign.is_array(value) or foreign.is_table_type(kind):
        return None
    lengths = foreign.shape_of(value)
    if lengths is None:
        lengths = (len(value),)  # type: ignore[arg-type]  # an Arrow array
    is_column = len(lengths) == 1 or (len(lengths) == 2 and lengths[1] == 1)
    if not is_column or foreign.on_accelerator(value) is not None:
        return None
    _check_length(lengths[0], rows_max)
    elements = foreign.elements_of(value)
    return list(elements) if len(lengths) == 1 else [one for (one,) in elements]


def as_single(value: object) -> object:
    """A single value as the call cannot change it: the element of an array or tensor on the CPU
    that has no dimensions; of anything else itself.
    """
    if type(value) in _SINGLE or not foreign.is_array(value) or foreign.shape_of(value) != ():
        return value
    return value if foreign.on_accelerator(value) is not None else foreign.elements_of(value)


def _check_length(length: int, rows_max: int) -> None:
    if length > rows_max:
        raise ColumnTooLong(f"{length} rows, at most {rows_max} are recorded; use smaller batches")


def feature_columns(
    features: Mapping[str, object], rows: int | None, bytes_max: int = FEATURE_BYTES_MAX
) -> tuple[dict[str, list[float]], dict[str, list[str]], list[str]]:
    """Tell declared features that are numbers now from those that are text.

    Args:
        features: name → value, or a list of one value per row; of a single prediction of one.
        rows: rows of a batch; None = a single prediction. Batches are row-major.
        bytes_max: what numbers and texts may take together.

    Returns:
        The numbers by name (NaN = missing), the texts by name (empty = missing), and what was left
        out with the reason and the remedy. Every column has one value per row.
    """
    numeric: dict[str, list[float]] = {}
    texts: dict[str, list[str]] = {}
    dropped: list[str] = []
    if rows == 0:
        return numeric, texts, dropped
    text_bytes_max = min(bytes_max, TEXT_BYTES_MAX)
    for name, value in features.items():
        kind = type(value)
        if rows is None and kind is float:
            numeric[name] = [value]  # type: ignore[list-item]
            continue
        # Models are given their one row as a table, too: then the column is a list of one.
        column = value if isinstance(value, list) else [value]
        if rows is not None and len(column) == 1 != rows:
            column = column * rows
        if rows is None and len(column) != 1:
            dropped.append(
                f"feature {name}:{len(column)} values of a call that is one prediction; give one"
            )
        elif len(column) != (rows or 1):
            dropped.append(f"feature {name}:{len(column)} values for {rows} rows; give one per row")
        elif (length := _too_long(column, text_bytes_max)) is not None:
            said = f"{length:,} characters, at most {text_bytes_max:,} bytes are recorded"
            dropped.append(f"feature {name}:{said}; give a category")
        elif (numbers := _numbers(column)) is not None:
            numeric[name] = numbers
        elif (words := _texts(column)) is not None:
            texts[name] = words
        else:
            dropped.append(f"feature {name}:neither number nor text; give one of them")
    size = 8 * sum(map(len, numeric.values()))
    size += sum(len(word.encode()) for words in texts.values() for word in words)
    if size > bytes_max:
        said = f"{size:,} bytes, at most {bytes_max:,} are recorded"
        return {}, {}, [*dropped, f"features:{said}; name fewer, or call in smaller batches"]
    return numeric, texts, dropped


def _too_long(column: Sequence[object], bytes_max: int) -> int | None:
    """Characters of the first text that is too long for a category; None where none is."""
    for value in column:
        # A character has four bytes at most, and half a surrogate pair none of its own.
        if type(value) is str and (
            4 * len(value) > bytes_max and len(value.encode(errors="replace")) > bytes_max
        ):
            return len(value)
    return None


def pack_features(
    features: Mapping[str, object], rows: int | None, bytes_max: int = FEATURE_BYTES_MAX
) -> tuple[Attributes, list[str]]:
    """Pack declared features for a span: numbers as float64, row by row, the others as text.

    Arguments as of `feature_columns`.

    Returns:
        The attributes, and what was left out with the reason.
    """
    numeric, texts, dropped = feature_columns(features, rows, bytes_max)
    packed: Attributes = {}
    if numeric:
        packed[semconv.FEATURE_NAMES] = names_text(tuple(numeric))
        if rows is None:
            numbers = [column[0] for column in numeric.values()]
            packed[semconv.FEATURE_DATA] = struct.pack(f"<{len(numbers)}d", *numbers)
        else:
            rows_first = np.array(list(numeric.values()), dtype="<f8").T
            packed[semconv.FEATURE_DATA] = rows_first.tobytes()
    if texts:
        packed[semconv.FEATURE_CATEGORY_NAMES] = names_text(tuple(texts))
        packed[semconv.FEATURE_CATEGORY_VALUES] = [
            word for row in zip(*texts.values(), strict=True) for word in row
        ]
    return packed, dropped


def _numbers(column: Sequence[object]) -> list[float] | None:
    """Numbers, with NaN for what is missing; None where a value is something else."""
    # Most batches, at a tenth of the cost. By id: a user's type may refuse to hash.
    if set(map(id, map(type, column))) == {id(float)}:
        return list(column)  # type: ignore[arg-type]
    numbers = []
    for value in column:
        plain = value.item() if isinstance(value, np.generic) else value
        if is_missing(plain):
            numbers.append(math.nan)
        elif type(plain) in _NUMBERS and _fits(plain):
            numbers.append(float(plain))  # type: ignore[arg-type]
        elif type(element := as_single(plain)) in _NUMBERS and _fits(element):
            numbers.append(float(element))  # type: ignore[arg-type]
        else:
            return None
    return numbers


def _fits(number: object) -> bool:
    return not isinstance(number, int) or number.bit_length() <= 1023


def _texts(column: Sequence[object]) -> list[str] | None:
    """Texts, empty for what is missing; None where a value is something else."""
    words = ["" if is_missing(value) else semconv.class_text(value) for value in column]
    return None if any(word is None for word in words) else [word or "" for word in words]
