"""Packed columns of a slim record → arrays, each checked for the length and type it must have.

Nothing here takes more memory than a few times the attribute it reads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Float64, Strings, UInt64
from inferspan_collector.decode.attributes import Attributes, RefusedRecord, shown

CODE_WIDTHS: Final = (1, 2, 4)
FLOAT_WIDTHS: Final = (4, 8)
TIME_WIDTHS: Final = (4, 8)
NAMES_LENGTH_MAX: Final = 131_072
"""Of the names of one prediction's features, as JSON: 256 names of 500 characters. Each combination
of names that differs is kept, and what is kept of many has to fit into memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A text column as it was sent: 0 = absent, k = entry k - 1 of `texts`."""

    codes: NDArray[Any]
    """As wide as they were sent."""
    texts: Sequence[str | None]
    """None where an entry is empty."""

    def strings(self) -> Strings:
        """The column as batches hold it."""
        seen: dict[str, int] = {}
        table = [-1 if text is None else seen.setdefault(text, len(seen)) for text in self.texts]
        return Strings(np.array([-1, *table], np.int32)[self.codes], tuple(seen))


def packed(attributes: Attributes, name: str) -> bytes | None:
    """The bytes of a column; None where it is absent.

    Raises:
        RefusedRecord: the attribute is there, but is no bytes.
    """
    value = attributes.value(name)
    if value is None or isinstance(value, bytes):
        return value
    raise RefusedRecord("bad_type", f"{name} = {shown(value)} is not bytes; send a packed column")


def required(attributes: Attributes, name: str) -> bytes:
    """The bytes of a column that every record has.

    Raises:
        RefusedRecord: it is absent, or no bytes.
    """
    raw = packed(attributes, name)
    if raw is None:
        raise RefusedRecord("missing_column", f"{name} is missing: the columns beside it need it")
    return raw


def width_of(name: str, raw: bytes, count: int, widths: Sequence[int]) -> int:
    """The bytes that each of `count` entries takes.

    Raises:
        RefusedRecord: the column has another length than `count` entries of any of the widths.
    """
    for width in widths:
        if len(raw) == count * width:
            return width
    needed = " or ".join(str(count * width) for width in widths)
    raise RefusedRecord(
        "length_mismatch", f"{name} has {len(raw)} bytes; {count} entries need {needed}"
    )


def unsigned(name: str, raw: bytes, count: int, widths: Sequence[int]) -> NDArray[Any]:
    """Unsigned integers, little-endian: a view, as wide as they were sent."""
    return np.frombuffer(raw, f"<u{width_of(name, raw, count, widths)}")


def flags(attributes: Attributes, name: str, count: int) -> Bool | None:
    """bool[count], sent as one for all or as a bit each, lowest first; None where absent.

    Raises:
        RefusedRecord: it is neither, or has another length.
    """
    value = attributes.value(name)
    if value is None:
        return None
    if isinstance(value, bool):
        return np.full(count, value)
    if not isinstance(value, bytes):
        raise RefusedRecord(
            "bad_type", f"{name} = {shown(value)}: send a boolean for all calls, or bytes of bits"
        )
    needed = -(-count // 8)
    if len(value) != needed:
        raise RefusedRecord(
            "length_mismatch", f"{name} has {len(value)} bytes; {count} bits need {needed}"
        )
    bits = np.frombuffer(value, np.uint8)
    return np.unpackbits(bits, count=count, bitorder="little").astype(np.bool_)


def floats(attributes: Attributes, name: str, count: int) -> Float64 | None:
    """float64[count] as sent, NaN where the column says nothing; None where absent."""
    raw = packed(attributes, name)
    if raw is None:
        return None
    column = np.frombuffer(raw, f"<f{width_of(name, raw, count, FLOAT_WIDTHS)}")
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
        return column.astype(np.float64)


def finite(attributes: Attributes, name: str, count: int) -> Float64 | None:
    """As `floats`, NaN for infinities, too: no answer or score is infinite."""
    numbers = floats(attributes, name, count)
    if numbers is not None:
        numbers[np.isinf(numbers)] = np.nan
    return numbers


def contexts(attributes: Attributes, name: str, count: int, width: int) -> UInt64:
    """uint64[count, width / 8], the big-endian halves of trace ids or span ids.

    Raises:
        RefusedRecord: another length, or an id that is all zero.
    """
    raw = required(attributes, name)
    width_of(name, raw, count, (width,))
    ids = np.frombuffer(raw, ">u8").reshape(count, width // 8).astype(np.uint64)
    invalid = ~ids.any(axis=1)
    if invalid.any():
        raise RefusedRecord(
            "bad_context", f"{name}: entry {int(invalid.argmax())} is all zero; send a valid id"
        )
    return ids


def coded(
    attributes: Attributes,
    codes_name: str,
    count: int,
    name: str,
    texts: Sequence[str | None] | None,
) -> Coded | None:
    """A column of codes and its dictionary.

    Args:
        attributes: the record's.
        codes_name: the attribute that holds the codes.
        count: how many of them there must be.
        name: the attribute that holds the dictionary.
        texts: the dictionary as read, None entries standing for no text; None = absent, which is
            an empty one.

    Returns:
        None where both are absent.

    Raises:
        RefusedRecord: a dictionary without codes, a code past its end, a wrong length or type.
    """
    raw = packed(attributes, codes_name)
    if raw is None:
        if texts is not None:
            raise RefusedRecord(
                "missing_column", f"{codes_name} is missing: {name} has {len(texts)} entries"
            )
        return None
    codes = unsigned(codes_name, raw, count, CODE_WIDTHS)
    texts = texts or ()
    if count and (greatest := int(codes.max())) > len(texts):
        raise RefusedRecord(
            "bad_code", f"{codes_name} holds code {greatest}; {name} has {len(texts)} entries"
        )
    return Coded(codes, texts)


def distinct_rows(matrix: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The distinct rows of a matrix, and which of them each row is."""
    if matrix.shape[1] == 0:
        return matrix[:1], np.zeros(len(matrix), np.intp)
    row = np.dtype((np.void, matrix.shape[1] * matrix.itemsize))
    _, first, inverse = np.unique(
        np.ascontiguousarray(matrix).view(row)[:, 0], return_index=True, return_inverse=True
    )
    return matrix[first], inverse


def names_text(names: Sequence[str]) -> str:
    """Names as batches hold them: one text, however it was spaced.

    Raises:
        RefusedRecord: they are too long together.
    """
    text = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
    _check_length("names of features", text)
    return text


def _check_length(name: str, text: str) -> None:
    if len(text) > NAMES_LENGTH_MAX:
        raise RefusedRecord(
            "names_too_long",
            f"{name}: {len(text)} characters in all; {NAMES_LENGTH_MAX} are kept, name fewer",
        )


def json_names(attributes: Attributes, name: str) -> list[str]:
    """Names that stand in one text, as a JSON array.

    Raises:
        RefusedRecord: they are no such array of texts, or too long.
    """
    text = attributes.value(name)
    if isinstance(text, str):
        _check_length(name, text)
    try:
        names = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        names = None
    if isinstance(names, list) and all(isinstance(entry, str) for entry in names):
        return names
    raise RefusedRecord("bad_names", f"{name} = {shown(text)} is not a JSON array of texts")
