"""Python value → attribute value: text, numbers, and how large a value is. Pure and bounded.

Nothing here calls a value's `__repr__`, `__str__`, `__len__` or `__iter__` unless its type is known
to be harmless, so a hostile or enormous argument costs as little as a small one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, cast

import numpy as np

from inferspan import foreign
from inferspan.containment import from_outside

Attribute = (
    str | bool | int | float | bytes | Sequence[str | None] | Sequence[int] | Sequence[float]
)
Attributes = dict[str, Attribute]

NAME_LENGTH_MAX: Final = 128
"""Characters of the name of a model, slice or feature."""
CLASS_LENGTH_MAX: Final = 1024
"""Characters of a class; a longer text is an answer, and none of several classes."""
TEXT_LENGTH_MAX: Final = 512
"""Characters of one text inside a JSON value, and of an error message."""
ITEMS_MAX: Final = 64
"""Elements of a sequence shown in JSON; larger arrays travel as packed bytes."""

_INT_MAX: Final = 2**63 - 1
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_SIZED: Final[dict[type, str]] = {
    kind: kind.__name__ for kind in (list, tuple, dict, set, frozenset, str, bytes, bytearray)
}
_UNSIZED: Final = frozenset((int, float, bool, type(None), complex))
_CONTAINERS: Final[tuple[Any, ...]] = (tuple, list, dict, set, frozenset, str, bytes, bytearray)
_DTYPES_MAX: Final = 256
_dtype_names: dict[Any, str] = {}

Extent = tuple[str, str]
"""Shape as text, name of the element type."""
_ARRAYS_MAX: Final = 256
_FEW_NAMES: Final = 256
_SHORT_NAMES: Final = 4_096
"""Characters of names that are remembered together, and how many names: a model that makes up its
classes in each call must not fill our host's memory."""
array_extents: Final[dict[tuple[tuple[int, ...], Any], Extent]] = {}
"""Shape and type of an array → both as text: what a model is given varies little. See
`array_extent`."""


def text(value: str, length_max: int | None = None) -> str:
    """Make text that every exporter can carry: lone surrogates become `?`, the end is cut."""
    if length_max is not None and len(value) > length_max:
        value = value[: length_max - 1] + "…"
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def one_line(value: str) -> str:
    """Make text that may stand in a list or a log: control characters become `?`."""
    return value if value.isprintable() else _CONTROL.sub("?", value)


def name_fault(name: str, length_max: int = NAME_LENGTH_MAX) -> str | None:
    """What keeps a text from being the name of a model, version, target or environment; None where
    nothing does. Collectors hold to the same rule.
    """
    if len(name) > length_max:
        return f"has {len(name)} characters; give at most {length_max}"
    if not name.isprintable() and _CONTROL.search(name):
        remedy = "strip it" if name != name.strip() else "leave it out"
        return f"holds a control character, such as a line break; {remedy}"
    return None


def names_text(names: tuple[str, ...]) -> str:
    """Names, of features or classes, as JSON text.

    Few and short ones, as of most models, are the same in every call and written once. What is
    remembered is at most some 8 MB; others take 0.1 µs a name, each time.
    """
    few = len(names) <= _FEW_NAMES and sum(map(len, names)) <= _SHORT_NAMES
    return _remembered_text(names) if few else _json_text(names)


def _json_text(names: tuple[str, ...]) -> str:
    return json.dumps(names, ensure_ascii=False, separators=(",", ":"))


_remembered_text = lru_cache(maxsize=256)(_json_text)


def integer(value: int) -> int | str:
    """OTLP integers have 64 bits with sign; a larger one is written as decimal text."""
    return value if -_INT_MAX - 1 <= value <= _INT_MAX else _huge(value)


def _huge(value: int) -> str:
    # str() of an int of more than 4,300 digits raises, and costs quadratic time before that.
    return str(value) if value.bit_length() <= 4096 else f"int of {value.bit_length()} bits"


def type_name(kind: type) -> str:
    """A type's name with its module, `builtins` left out; `object` for one that hides its name.

    On one line, as collectors refuse others: whoever makes classes may name them as they like.
    """
    try:
        module, name = kind.__module__, kind.__qualname__
        full = name if module == "builtins" else f"{module}.{name}"
        return one_line(text(full, TEXT_LENGTH_MAX))
    except Exception as error:  # of a metaclass
        if from_outside(error):
            raise
        return "object"


def is_table(value: object) -> bool:
    """Whether a value is a data frame, by what its type offers (no library is imported)."""
    return foreign.is_table_type(type(value))


def shape_of(value: object) -> tuple[int, ...] | None:
    """The shape of an array, tensor, series, data frame or image; None for anything else."""
    kind = type(value)
    if kind is np.ndarray:
        return cast("tuple[int, ...]", value.shape)  # type: ignore[attr-defined]
    if kind in _SIZED or kind in _UNSIZED:
        return None
    try:
        return foreign.shape_of(value)
    except Exception as error:  # of a property of a foreign object
        if from_outside(error):
            raise
        return None


def dtype_name(value: object) -> str:
    """`float64` for an array, `table` for a data frame, else the type's name."""
    if type(value) is not np.ndarray and is_table(value):
        return "table"
    dtype = foreign.dtype_of(value)
    if dtype is None:
        return type_name(type(value))
    name = _dtype_names.get(dtype)
    if name is None:
        name = text(foreign.dtype_text(dtype) or type_name(type(dtype)), 64)
        if len(_dtype_names) < _DTYPES_MAX:
            _dtype_names[dtype] = name
    return name


def extent_of(value: object) -> Extent | None:
    """In which shape a value has elements and of which type, without reading them.

    Returns:
        Shape as text (of an object with declared fields, such as a data class, how many these are)
        and name of the element type; None for what has no size: a number, an unknown object. Never
        raises.
    """
    kind = type(value)
    name = _SIZED.get(kind)
    if name is not None:
        return str(len(value)), name  # type: ignore[arg-type]  # the types in there all have one
    if kind is np.ndarray:
        array = cast("np.ndarray[Any, Any]", value)
        return array_extents.get((array.shape, array.dtype)) or array_extent(array)
    if kind in _UNSIZED:
        return None
    try:
        found = _foreign_extent(value)
    except Exception as error:  # of a property of a foreign object, or of a metaclass
        if from_outside(error):
            raise
        return None
    if found is None:
        return None
    lengths, name = found
    return shape_text(lengths), name


def array_extent(array: np.ndarray[Any, Any]) -> Extent:
    """The extent of an array that is not in `array_extents`; it is then, as long as there is room.

    A frame costs as much as an attribute, so look there first.
    """
    extent = shape_text(array.shape), dtype_name(array)
    if len(array_extents) < _ARRAYS_MAX:
        array_extents[array.shape, array.dtype] = extent
    return extent


def shape_text(lengths: tuple[int, ...]) -> str:
    """A shape as `1000x30`."""
    if len(lengths) == 2:
        return f"{lengths[0]}x{lengths[1]}"
    return "x".join(map(str, lengths))


def _foreign_extent(value: object) -> tuple[tuple[int, ...], str] | None:
    kind = type(value)
    if issubclass(kind, np.generic):
        return None
    if (lengths := foreign.shape_of(value)) is not None:
        return lengths, dtype_name(value)
    for container in _CONTAINERS:
        if issubclass(kind, container):
            # Not `len`: a subclass's own method may do anything.
            return (container.__len__(value),), type_name(kind)
    if (length := foreign.length_of(value)) is not None:
        return (length,), dtype_name(value)
    names = foreign.field_names(kind)
    return None if names is None else ((len(names),), type_name(kind))


def row_count(value: object) -> int | None:
    """How many rows a two- or more-dimensional input has; None where rows are not evident."""
    lengths = shape_of(value)
    return lengths[0] if lengths is not None and len(lengths) >= 2 else None
