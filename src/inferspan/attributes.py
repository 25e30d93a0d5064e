"""Python value → attribute value: pure and bounded.

Nothing here calls a value's `__repr__`, `__str__` or `__iter__` unless its exact type is known to
be harmless, so a hostile or enormous argument costs as little as a small one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from inferspan import semconv

Attribute = str | bool | int | float | bytes | Sequence[str] | Sequence[int] | Sequence[float]
Attributes = dict[str, Attribute]

TEXT_LENGTH_MAX: Final = 512
"""Characters of one text inside a JSON value, and of an error message."""
ITEMS_MAX: Final = 64
"""Elements of a sequence shown in JSON; larger arrays travel as packed bytes."""
DEPTH_MAX: Final = 4
STATISTICS_ELEMENTS_MAX: Final = 1_000_000
"""Elements up to which a snapshot's statistics are computed (some milliseconds at most)."""

_INT_MAX: Final = 2**63 - 1
_SIZED: Final = frozenset((list, tuple, dict, set, frozenset, str, bytes, bytearray))
_SHAPELESS: Final = _SIZED | {int, float, bool, type(None)}
_SCALARS: Final = (str, bool, int, float)
_DTYPE_NAMES_MAX: Final = 256
_dtype_names: dict[Any, str] = {}

KSERVE_DATATYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}


def text(value: str, length_max: int | None = None) -> str:
    """Make text that every exporter can carry: lone surrogates become `?`, the end is cut."""
    if length_max is not None and len(value) > length_max:
        value = value[: length_max - 1] + "…"
    return value.encode("utf-8", "replace").decode("utf-8")


def integer(value: int) -> int | str:
    """OTLP integers have 64 bits with sign; a larger one is written as decimal text."""
    return value if -_INT_MAX - 1 <= value <= _INT_MAX else _huge(value)


def _huge(value: int) -> str:
    # str() of an int of more than 4,300 digits raises, and costs quadratic time before that.
    return str(value) if value.bit_length() <= 4096 else f"int of {value.bit_length()} bits"


def type_name(kind: type) -> str:
    """A type's name with its module, `builtins` left out."""
    module = kind.__module__
    name = kind.__qualname__
    return text(name if module == "builtins" else f"{module}.{name}", TEXT_LENGTH_MAX)


def is_table(value: object) -> bool:
    """Whether a value is a data frame, by what its type offers (no library is imported)."""
    kind = type(value)
    return hasattr(kind, "columns") and hasattr(kind, "shape") and hasattr(kind, "__getitem__")


def shape_of(value: object) -> tuple[int, ...] | None:
    """The shape of an array, tensor, series or data frame; None for anything else."""
    if type(value) is np.ndarray:
        return cast("tuple[int, ...]", value.shape)
    if type(value) in _SHAPELESS or not hasattr(type(value), "shape"):
        return None
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple) or not all(isinstance(length, int) for length in shape):
        return None
    return tuple(int(length) for length in shape)


def dtype_name(value: object) -> str:
    """`float64` for an array, `table` for a data frame, else the type's name."""
    if is_table(value):
        return "table"
    dtype = getattr(value, "dtype", None) if hasattr(type(value), "dtype") else None
    if dtype is None:
        return type_name(type(value))
    name = _dtype_names.get(dtype)
    if name is None:
        found = getattr(dtype, "name", None)
        name = text(found if isinstance(found, str) else type_name(type(dtype)), 64)
        if len(_dtype_names) < _DTYPE_NAMES_MAX:
            _dtype_names[dtype] = name
    return name


def describe(value: object, size: str, shape: str, dtype: str) -> Attributes:
    """Size, shape and dtype of one value, without reading its elements.

    Args:
        value: anything; what has no size (a number, an unknown object) is described by nothing.
        size: attribute name of the number of elements.
        shape: attribute name of the shape, `1000x30`.
        dtype: attribute name of the element type.
    """
    kind = type(value)
    if kind in _SIZED:
        length = len(value)  # type: ignore[arg-type]  # the types in there all have one
        return {size: length, shape: str(length), dtype: kind.__name__}
    lengths = shape_of(value)
    if lengths is None:
        return {}
    return {
        size: integer(math.prod(lengths)),
        shape: "x".join(map(str, lengths)),
        dtype: dtype_name(value),
    }


def row_count(value: object) -> int | None:
    """How many rows a two- or more-dimensional input has; None where rows are not evident."""
    lengths = shape_of(value)
    return lengths[0] if lengths is not None and len(lengths) >= 2 else None


def json_object(members: Iterable[tuple[str, object]], bytes_max: int) -> tuple[str, int]:
    """Write a JSON object that stays valid and within its limit.

    NaN is null, infinities are the texts `Infinity` and `-Infinity`, objects of unknown type are
    the text `<type>`, long texts and sequences are cut with `…`.

    Args:
        members: names and values, the important ones first.
        bytes_max: what the whole may take in UTF-8, at least 2.

    Returns:
        The text, and how many members were left out for lack of room.
    """
    parts: list[str] = []
    room = bytes_max - 2
    left_out = 0
    for name, value in members:
        member = f"{_json_text(name, 128)}:{_json(value, 0)}"
        needed = len(member.encode()) + (1 if parts else 0)
        if needed > room:
            left_out += 1
            continue
        parts.append(member)
        room -= needed
    return "{" + ",".join(parts) + "}", left_out


def _json(value: object, depth: int) -> str:
    kind = type(value)
    if value is None:
        return "null"
    if kind is str:
        return _json_text(value, TEXT_LENGTH_MAX)  # type: ignore[arg-type]
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        number = integer(value)  # type: ignore[arg-type]
        return str(number) if isinstance(number, int) else json.dumps(number)
    if kind is float:
        return _json_float(value)  # type: ignore[arg-type]
    # isinstance() would ask the value for its `__class__`.
    if issubclass(kind, np.generic):
        item = value.item()  # type: ignore[attr-defined]
        return _json(item, depth) if type(item) in _SCALARS else _json_type(value)
    if depth >= DEPTH_MAX:
        return _json_type(value)
    if kind is np.ndarray:
        return _json_array(value, depth)  # type: ignore[arg-type]
    if kind in (list, tuple):
        return _json_sequence(value, depth)  # type: ignore[arg-type]
    if kind is dict:
        return _json_mapping(value, depth)  # type: ignore[arg-type]
    return _json_type(value)


def _json_text(value: str, length_max: int) -> str:
    return json.dumps(text(value, length_max), ensure_ascii=False)


def _json_float(value: float) -> str:
    if math.isnan(value):
        return "null"
    if math.isinf(value):
        return '"Infinity"' if value > 0 else '"-Infinity"'
    return repr(value)


def _json_type(value: object) -> str:
    lengths = shape_of(value)
    shape = "" if lengths is None else " " + "x".join(map(str, lengths))
    return _json_text(f"<{type_name(type(value))}{shape}>", TEXT_LENGTH_MAX)


def _json_array(value: NDArray[Any], depth: int) -> str:
    if value.size > ITEMS_MAX or value.dtype.kind not in "biufU":
        return _json_type(value)
    return _json(value.tolist(), depth)


def _json_sequence(value: Sequence[object], depth: int) -> str:
    items = [_json(item, depth + 1) for item in value[:ITEMS_MAX]]
    if len(value) > ITEMS_MAX:
        items.append(json.dumps(f"… {len(value) - ITEMS_MAX} more", ensure_ascii=False))
    return "[" + ",".join(items) + "]"


def _json_mapping(value: Mapping[object, object], depth: int) -> str:
    members: list[str] = []
    for position, (key, member) in enumerate(value.items()):
        if position >= ITEMS_MAX:
            members.append(f'"…":"{len(value) - ITEMS_MAX} more"')
            break
        name = key if type(key) is str else semconv.class_text(key) or type_name(type(key))
        members.append(f"{_json_text(name, 128)}:{_json(member, depth + 1)}")
    return "{" + ",".join(members) + "}"


def tensor(prefix: str, name: str, value: object, bytes_max: int) -> Attributes:
    """Pack a numeric array of more than `ITEMS_MAX` elements (KServe datatypes, little-endian).

    Args:
        prefix: `inferspan.input.`, `inferspan.output.` or `inferspan.state.`.
        name: what the array is called.
        value: anything; what is no numeric array is not packed.
        bytes_max: what its data may take.

    Returns:
        The attributes; empty where it does not qualify or fit.
    """
    if type(value) is not np.ndarray or not value.size > ITEMS_MAX or value.nbytes > bytes_max:
        return {}
    datatype = KSERVE_DATATYPES.get(dtype_name(value))
    if datatype is None:
        return {}
    little = value.astype(value.dtype.newbyteorder("<"), copy=False)
    return {
        prefix + semconv.TENSOR_NAME: text(name, 128),
        prefix + semconv.TENSOR_DATATYPE: datatype,
        prefix + semconv.TENSOR_SHAPE: [int(length) for length in value.shape],
        prefix + semconv.TENSOR_DATA: little.tobytes(),
    }


def statistics(value: object) -> Attributes:
    """Statistics of an intermediate state.

    Args:
        value: a number, a numeric array, a list of numbers, or a data frame of numbers.

    Returns:
        Count, NaN count, mean, population standard deviation, least and greatest of the finite
        elements, as far as there are any; only size and shape for other values, and for more than
        `STATISTICS_ELEMENTS_MAX` elements.
    """
    found = describe(value, semconv.STATE_COUNT, semconv.STATE_SHAPE, semconv.STATE_DTYPE)
    numbers = _numbers(value)
    if numbers is None or numbers.size > STATISTICS_ELEMENTS_MAX:
        return found
    floats = numbers.astype(np.float64, copy=False)
    finite = floats[np.isfinite(floats)]
    found[semconv.STATE_COUNT] = int(floats.size)
    found[semconv.STATE_NAN_COUNT] = int(np.count_nonzero(np.isnan(floats)))
    if finite.size:
        with np.errstate(all="ignore"):  # sums near the limit of float64 overflow to infinity
            found[semconv.STATE_MEAN] = float(finite.mean())
            found[semconv.STATE_STD] = float(finite.std())
        found[semconv.STATE_MIN] = float(finite.min())
        found[semconv.STATE_MAX] = float(finite.max())
    return found


def _numbers(value: object) -> NDArray[Any] | None:
    """The value as a numeric array, None where it is none or too large to look at."""
    kind = type(value)
    if kind in (bool, int, float) or issubclass(kind, np.generic):
        array = np.asarray(value)
    elif kind is np.ndarray:
        array = value  # type: ignore[assignment]
    elif kind in (list, tuple):
        items: Sequence[object] = value  # type: ignore[assignment]
        if len(items) > STATISTICS_ELEMENTS_MAX:
            return None
        if not all(type(item) in (bool, int, float) for item in items):
            return None
        array = np.asarray(items)
    else:
        lengths = shape_of(value)
        convert = getattr(value, "to_numpy", None)
        if lengths is None or math.prod(lengths) > STATISTICS_ELEMENTS_MAX or convert is None:
            return None
        array = convert()
    return array if type(array) is np.ndarray and array.dtype.kind in "biuf" else None
