"""Arrays and tensors → packed bytes, and the statistics of an intermediate state."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferspan import foreign, semconv
from inferspan.attributes import (
    ITEMS_MAX,
    Attributes,
    Extent,
    array_extent,
    array_extents,
    dtype_name,
    extent_of,
    is_table,
    shape_of,
    text,
)
from inferspan.containment import from_outside

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

STATISTICS_ELEMENTS_MAX: Final = 1_000_000
"""Elements of an array up to which statistics are computed (some milliseconds at most)."""
STATISTICS_OBJECTS_MAX: Final = 65_536
"""The same for lists and frames, whose elements must be converted first."""

_FEW: Final = 64
"""Elements up to which Python's own numbers are faster than arrays."""
_NUMERIC: Final = "biuf"
"""Kinds of types whose elements are numbers."""

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


def tensor(prefix: str, name: str, value: object, bytes_max: int) -> Attributes:
    """Pack a numeric array of more than `ITEMS_MAX` elements (KServe datatypes, little-endian).

    Args:
        prefix: `inferspan.input.`, `inferspan.output.` or `inferspan.state.`.
        name: what the array is called.
        value: anything; what is no numeric array, tensor or series is not packed.
        bytes_max: what its data may take; a tensor on an accelerator is copied only within it.

    Returns:
        The attributes; empty where it does not qualify or fit.
    """
    if type(value) is np.ndarray:
        array = value
    else:
        # The columns of a table have names, by which they may be redacted.
        lengths = None if is_table(value) else shape_of(value)
        # An element has a byte at least, so nothing larger is converted only to be thrown away.
        if lengths is None or not ITEMS_MAX < math.prod(lengths) <= bytes_max:
            return {}
        converted = _array_of(value)
        if converted is None:
            return {}
        array = converted
    if not array.size > ITEMS_MAX or array.nbytes > bytes_max:
        return {}
    datatype = KSERVE_DATATYPES.get(dtype_name(array))
    if datatype is None:
        return {}
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        prefix + semconv.TENSOR_NAME: text(name, 128),
        prefix + semconv.TENSOR_DATATYPE: datatype,
        prefix + semconv.TENSOR_SHAPE: [int(length) for length in array.shape],
        prefix + semconv.TENSOR_DATA: little.tobytes(),
    }


def statistics(value: object, *, redacted: bool = False) -> Attributes:
    """Statistics of an intermediate state. Never raises.

    Args:
        value: a number, a numeric array or tensor, a list of numbers, or a data frame of numbers.
        redacted: whether names decide what is recorded. Then nothing is said of the numbers of a
            data frame, for its columns have names.

    Returns:
        Shape, type, and mean, population standard deviation, least and greatest of the finite
        elements, as far as there are any; of one number its mean alone, from which the others
        follow. NaN count where it is not 0, or nothing is finite. Only shape and type for other
        values, for tensors on an accelerator, which is not waited for, and for more than
        `STATISTICS_ELEMENTS_MAX` elements (`STATISTICS_OBJECTS_MAX` of a list or frame).
    """
    extent: Extent | None
    if type(value) is np.ndarray:
        dtype = value.dtype
        numbers = value if dtype.kind in _NUMERIC else None
        extent = array_extents.get((value.shape, dtype)) or array_extent(value)
    else:
        numbers = None if redacted and is_table(value) else _numbers(value)
        extent = extent_of(value)
    found: Attributes = {}
    if extent is not None:
        found[semconv.STATE_SHAPE], found[semconv.STATE_DTYPE] = extent
    if numbers is None or (size := numbers.size) > STATISTICS_ELEMENTS_MAX:
        return found
    if not 0 < size <= _FEW or not _add_of_few(numbers.ravel().tolist(), found):
        _add_of_many(numbers.astype(np.float64, copy=False), found)
    return found


def _add_of_few(numbers: list[float], found: Attributes) -> bool:
    """Add the statistics of few numbers; answers whether they could be.

    Sums are exact to the last rounding (Shewchuk's, by `math.fsum`), and take a fraction of what
    numpy's dozen calls take. So does sorting, beside the least and the greatest.
    """
    count = len(numbers)
    try:
        mean = math.fsum(numbers) / count
    except (OverflowError, ValueError):  # sums beyond float64; infinities of both signs
        return False
    if not math.isfinite(mean):  # as one of the numbers
        return False
    found[semconv.STATE_MEAN] = mean
    if count > 1:
        numbers.sort()
        found[semconv.STATE_STD] = math.dist(numbers, [mean] * count) / math.sqrt(count)
        found[semconv.STATE_MIN] = float(numbers[0])
        found[semconv.STATE_MAX] = float(numbers[-1])
    return True


def _add_of_many(floats: NDArray[np.float64], found: Attributes) -> None:
    known = np.isfinite(floats)
    finite, missing = floats, 0
    if not known.all():
        finite, missing = floats[known], int(np.count_nonzero(np.isnan(floats)))
    if missing or not finite.size:
        found[semconv.STATE_NAN_COUNT] = missing
    if finite.size:
        with np.errstate(all="ignore"):  # sums near the limit of float64 overflow to infinity
            found[semconv.STATE_MEAN] = float(finite.mean())
            found[semconv.STATE_STD] = float(finite.std())
        found[semconv.STATE_MIN] = float(finite.min())
        found[semconv.STATE_MAX] = float(finite.max())


def _numbers(value: object) -> NDArray[Any] | None:
    """The value as a numeric array, None where it is none or too large to look at."""
    kind = type(value)
    array: NDArray[Any] | None
    if kind in (bool, int, float) or issubclass(kind, np.generic):
        array = np.asarray(value)
    elif kind in (list, tuple):
        items: list[Any] = value  # type: ignore[assignment]
        if len(items) > STATISTICS_OBJECTS_MAX or not set(map(type, items)) <= {bool, int, float}:
            return None
        array = np.asarray(items)
    else:
        array = _converted(value)
    return array if type(array) is np.ndarray and array.dtype.kind in _NUMERIC else None


def _converted(value: object) -> NDArray[Any] | None:
    lengths = shape_of(value)
    if lengths is None or math.prod(lengths) > STATISTICS_ELEMENTS_MAX:
        return None
    if foreign.is_tensor(value):
        return None if _on_accelerator(value) else _array_of(value)
    return _array_of(value) if math.prod(lengths) <= STATISTICS_OBJECTS_MAX else None


def _on_accelerator(value: object) -> bool:
    try:
        return foreign.on_accelerator(value) is not None
    except Exception as error:  # of a foreign object
        if from_outside(error):
            raise
        return True


def _array_of(value: object) -> NDArray[Any] | None:
    try:
        array = foreign.as_array(value)
    except Exception as error:  # of a foreign object; a tensor that has no numpy form
        if from_outside(error):
            raise
        return None
    return array if type(array) is np.ndarray else None
