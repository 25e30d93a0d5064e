"""The leaves of a JSON value: what holds nothing that is shown for itself."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from json.encoder import encode_basestring
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from inferspan.attributes import (
    TEXT_LENGTH_MAX,
    integer,
    shape_of,
    shape_text,
    text,
    type_name,
)

CUT: Final = '"…"'
"""What stands for a value that finds no room."""
CUT_BYTES: Final = len(CUT.encode())
KEY_LENGTH_MAX: Final = 128
"""Characters of a member's name."""
_DECIMAL_BYTES_MAX: Final = 1024

Leaf = Callable[[Any, int], str]
"""Value and room in bytes, at least `CUT_BYTES` → JSON; what is too long is replaced by `CUT`."""

quoted: Final[Callable[[str], str]] = encode_basestring
"""A text as JSON, whatever its length; letters beyond ASCII stay as they are."""


def size_of(written: str) -> int:
    """Bytes in UTF-8."""
    return len(written) if written.isascii() else len(written.encode())


def json_text(value: str, length_max: int) -> str:
    """A JSON text of at most so many characters of `value`."""
    if len(value) <= length_max and value.isascii():
        return quoted(value)
    return quoted(text(value, length_max))


def write_text(value: str, room: int) -> str:
    """A JSON text, cut to the room with `…`."""
    written = json_text(value, TEXT_LENGTH_MAX)
    if (size := size_of(written)) <= room:
        return written
    # Escapes and letters beyond ASCII take up to six bytes; what is kept shrinks until it fits.
    length = min(len(value), TEXT_LENGTH_MAX)
    while size > room and length > 1:
        length = min(length - 1, length * (room - CUT_BYTES) // size)
        written = json_text(value, max(length, 1))
        size = size_of(written)
    return written


def _write_float(value: float, room: int) -> str:
    if math.isfinite(value):
        return repr(value)
    if value != value:
        return "null"
    return '"Infinity"' if value > 0 else '"-Infinity"'


def _write_int(value: int, room: int) -> str:
    number = integer(value)
    return str(number) if type(number) is int else f'"{number}"'


def _write_bool(value: bool, room: int) -> str:
    return "true" if value else "false"


def _write_none(value: object, room: int) -> str:
    return "null"


def write_type(value: object, room: int) -> str:
    """`<type shape>`, for what is not shown itself."""
    lengths = shape_of(value)
    shape = "" if lengths is None else " " + shape_text(lengths)
    return write_text(f"<{type_name(type(value))}{shape}>", room)


def _write_bytes(value: bytes | bytearray, room: int) -> str:
    return f'"<{type(value).__name__} {len(value)}>"'


def write_image(value: Any, room: int) -> str:
    """`<type mode widthxheight>` of a PIL image; never its pixels."""
    width, height = value.size
    return write_text(f"<{type_name(type(value))} {value.mode} {width}x{height}>", room)


def _write_iso(value: Any, room: int) -> str:
    return write_text(value.isoformat(), room)


def _write_str(value: object, room: int) -> str:
    return write_text(str(value), room)


def write_decimal(value: Any, room: int) -> str:
    """The digits of a `decimal.Decimal`, whatever its class says; of very many the type."""
    if sys.getsizeof(value) > _DECIMAL_BYTES_MAX:
        return write_type(value, room)
    return write_text(sys.modules["decimal"].Decimal.__str__(value), room)


LEAVES: Final[dict[type, Leaf]] = {
    str: write_text,
    float: _write_float,
    int: _write_int,
    bool: _write_bool,
    type(None): _write_none,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: _write_str,
    datetime: _write_iso,
    date: _write_iso,
    time: _write_iso,
    timedelta: _write_str,
    UUID: _write_str,
}
"""By exact type."""
LEAF_BASES: Final[tuple[tuple[type, Leaf], ...]] = (
    (str, lambda value, room: write_text(str.__str__(value), room)),
    (int, lambda value, room: _write_int(int.__index__(value), room)),
    (float, lambda value, room: _write_float(float.__float__(value), room)),
    (PurePath, _write_str),
    (datetime, _write_iso),
    (date, _write_iso),
)
"""What instances of subclasses are written as, in this order; their own methods are not asked."""
