"""Python values → one JSON object for people: always valid, within its limit, in bounded time.

The work is bounded by what is shown: every element that is looked at has room for its text, and
where the room ends, `…` stands for the rest. What foreign objects raise is contained here: such a
value is shown by its type.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from inferspan import foreign
from inferspan.attributes import (
    ITEMS_MAX,
    TEXT_LENGTH_MAX,
    integer,
    shape_of,
    shape_text,
    text,
    type_name,
)

DEPTH_MAX: Final = 4
"""Lists and mappings inside each other that are shown."""
NAME_LENGTH_MAX: Final = 128
"""Characters of a member's name."""
_CUT: Final = '"…"'
_CUT_BYTES: Final = len(_CUT.encode())
_REST_BYTES: Final = 24
"""Room for `,"…":"{count} more"`, which says how much is not shown."""
_MEMBER_MIN: Final = len('"":,') + _CUT_BYTES
_SHARE_MIN: Final = 32
"""Bytes of a member that are not kept for those after it: any number fits in."""
_DECIMAL_BYTES_MAX: Final = 1024
_STRING_ARRAY_BYTES_MAX: Final = 1 << 18
_MISSING: Final = frozenset(("NaTType", "NAType"))

Judge = Callable[[str, object], object]
"""Name and value of a member → what may be shown of it."""
Writer = Callable[[Any, int, int, Judge | None], str]
"""Value, room in bytes (at least those of `"…"`), depth → JSON that takes no more."""

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def json_object(
    members: Sequence[tuple[str, object]], bytes_max: int, judge: Judge | None = None
) -> tuple[str, int]:
    """Write a JSON object that stays valid and within its limit. Never raises.

    NaN is null, infinities are the texts `Infinity` and `-Infinity`, objects of unknown type and
    large arrays are the text `<type shape>`, data classes and pydantic models objects of the
    fields that their `repr` shows. Long texts, sequences and mappings are cut with `…`.

    Args:
        members: names and values, the important ones first. What one does not use of its share
            of the room is left to those after it.
        bytes_max: what the whole may take in UTF-8, at least 2.
        judge: sees the native value of every member inside of `members`, before it is shown; what
            it raises passes through to where the value is then shown by its type.

    Returns:
        The text, and how many members were left out for lack of room.
    """
    parts: list[str] = []
    room = bytes_max - 2
    left_out = 0
    for position, (name, value) in enumerate(members):
        if room < _MEMBER_MIN:
            left_out += len(members) - position
            break
        key = _text(name, NAME_LENGTH_MAX)
        own = _size(key) + 2  # the colon, and the comma after it
        share = max(room // (len(members) - position), min(room, own + _SHARE_MIN)) - own
        if share < _CUT_BYTES:
            left_out += 1
            continue
        written = _write(value, share, 0, judge)
        parts.append(f"{key}:{written}")
        room -= own + _size(written)
    return "{" + ",".join(parts) + "}", left_out


def _size(written: str) -> int:
    return len(written) if written.isascii() else len(written.encode())


def _text(value: str, length_max: int) -> str:
    if len(value) <= length_max and value.isascii():
        return _encode(value)
    return _encode(text(value, length_max))


def _write(value: object, room: int, depth: int, judge: Judge | None) -> str:
    kind = type(value)
    writer = _WRITERS.get(kind)
    try:
        if writer is None:
            writer = _writer_of(kind)
        written = writer(value, room, depth, judge)
    except Exception:  # of a foreign object
        written = _text(f"<{type_name(kind)}>", TEXT_LENGTH_MAX)
    return written if _size(written) <= room else _CUT


def _write_text(value: str, room: int, depth: int, judge: Judge | None) -> str:
    written = _text(value, TEXT_LENGTH_MAX)
    if (size := _size(written)) <= room:
        return written
    # Escapes and letters beyond ASCII take up to six bytes; what is kept shrinks until it fits.
    length = min(len(value), TEXT_LENGTH_MAX)
    while size > room and length > 1:
        length = min(length - 1, length * (room - _CUT_BYTES) // size)
        written = _text(value, max(length, 1))
        size = _size(written)
    return written


def _write_float(value: float, room: int, depth: int, judge: Judge | None) -> str:
    if math.isfinite(value):
        return repr(value)
    if value != value:
        return "null"
    return '"Infinity"' if value > 0 else '"-Infinity"'


def _write_int(value: int, room: int, depth: int, judge: Judge | None) -> str:
    number = integer(value)
    return str(number) if type(number) is int else f'"{number}"'


def _write_bool(value: bool, room: int, depth: int, judge: Judge | None) -> str:
    return "true" if value else "false"


def _write_none(value: object, room: int, depth: int, judge: Judge | None) -> str:
    return "null"


def _write_type(value: object, room: int, depth: int, judge: Judge | None) -> str:
    lengths = shape_of(value)
    shape = "" if lengths is None else " " + shape_text(lengths)
    return _write_text(f"<{type_name(type(value))}{shape}>", room, depth, judge)


def _write_bytes(value: bytes | bytearray, room: int, depth: int, judge: Judge | None) -> str:
    return f'"<{type(value).__name__} {len(value)}>"'


def _write_sequence(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    """A list or tuple, subclasses included, whose own methods are not called."""
    kind = list if issubclass(type(value), list) else tuple
    count = kind.__len__(value)
    if 0 < count <= ITEMS_MAX:
        # Most vectors are floats, whose joined repr is the JSON unless one is NaN or infinite.
        kinds = set(map(type, value)) if type(value) is kind else ()
        if kinds == {float}:
            written = f"[{','.join(map(repr, value))}]"
            if "n" not in written:
                return written
        elif kinds == {int} and max(map(int.bit_length, value)) < 64:
            return f"[{','.join(map(repr, value))}]"
    if depth >= DEPTH_MAX:
        return _write_type(value, room, depth, judge)
    items = islice(kind.__iter__(value), ITEMS_MAX)
    return _write_items(items, count, room, depth, judge)


def _write_items(
    items: Iterable[object], count: int, room: int, depth: int, judge: Judge | None
) -> str:
    parts: list[str] = []
    room -= 2
    for item in items:
        left = count - len(parts) - 1
        available = room - (_REST_BYTES if left else 0)
        if available < _CUT_BYTES:
            break
        written = _write(item, available, depth + 1, judge)
        room -= _size(written) + 1
        parts.append(written)
    if (left := count - len(parts)) > 0:
        parts.append(f'"… {left} more"')
    written = f"[{','.join(parts)}]"
    return written


def _write_set(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    """A set, in the order of what is written, for it has none of its own."""
    kind = set if issubclass(type(value), set) else frozenset
    count = kind.__len__(value)
    if depth >= DEPTH_MAX or count > ITEMS_MAX:
        return _write_text(f"<{type_name(type(value))} {count}>", room, depth, judge)
    written = sorted(
        _write(item, TEXT_LENGTH_MAX, depth + 1, judge) for item in kind.__iter__(value)
    )
    return _write_items(map(_Written, written), count, room, depth, judge)


class _Written(str):
    """JSON that is written already."""

    __slots__ = ()


def _write_written(value: _Written, room: int, depth: int, judge: Judge | None) -> str:
    return str.__str__(value)


def _write_mapping(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    if depth >= DEPTH_MAX:
        return _write_type(value, room, depth, judge)
    return _write_members(dict.items(value), dict.__len__(value), room, depth, judge)


def _write_members(
    members: Iterable[tuple[object, object]],
    count: int,
    room: int,
    depth: int,
    judge: Judge | None,
) -> str:
    parts: list[str] = []
    room -= 2
    for key, value in islice(members, ITEMS_MAX):
        named = _key(key)
        name = _text(named, NAME_LENGTH_MAX)
        left = count - len(parts) - 1
        available = room - _size(name) - 2 - (_REST_BYTES if left else 0)
        if available < _CUT_BYTES:
            break
        if judge is not None:
            value = judge(named, value)
        written = _write(value, available, depth + 1, judge)
        room -= _size(name) + _size(written) + 2
        parts.append(f"{name}:{written}")
    if (left := count - len(parts)) > 0:
        parts.append(f'"…":"{left} more"')
    return "{" + ",".join(parts) + "}"


def _key(key: Any, levels: int = DEPTH_MAX) -> str:
    """A key as text; none of its own methods is called."""
    kind = type(key)
    if kind is str:
        return key  # type: ignore[no-any-return]
    if issubclass(kind, str):
        return str.__str__(key)
    if issubclass(kind, np.generic):
        key, kind = key.item(), type(key.item())
    if issubclass(kind, tuple) and levels:  # of columns with several levels
        return ".".join(_key(level, 0) for level in islice(tuple.__iter__(key), levels))
    if issubclass(kind, Enum):
        return _key(key.value, levels)
    if kind in (int, bool, float, type(None)):
        return _write(key, TEXT_LENGTH_MAX, 0, None).strip('"')
    return type_name(kind)


def _write_fields(value: object, room: int, depth: int, judge: Judge | None) -> str:
    if depth >= DEPTH_MAX:
        return _write_type(value, room, depth, judge)
    names = foreign.field_names(type(value)) or ()
    members = ((name, getattr(value, name)) for name in names)
    return _write_members(members, len(names), room, depth, judge)


def _write_named_tuple(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    if depth >= DEPTH_MAX:
        return _write_type(value, room, depth, judge)
    members = zip(type(value)._fields, tuple.__iter__(value), strict=False)
    return _write_members(members, tuple.__len__(value), room, depth, judge)


def _write_array(value: NDArray[Any], room: int, depth: int, judge: Judge | None) -> str:
    kind = value.dtype.kind
    if value.size > ITEMS_MAX or kind not in "biufUMO" or value.nbytes > _STRING_ARRAY_BYTES_MAX:
        return _write_type(value, room, depth, judge)
    elements = np.datetime_as_string(value) if kind == "M" else value
    return _write(elements.tolist(), room, depth, judge)


def _write_scalar(value: np.generic[Any], room: int, depth: int, judge: Judge | None) -> str:
    item = value.item()
    if type(item) is type(value) or not isinstance(item, (str, bool, int, float, datetime, date)):
        return _write_type(value, room, depth, judge)
    return _write(item, room, depth, judge)


def _write_table(value: object, room: int, depth: int, judge: Judge | None) -> str:
    lengths = shape_of(value)
    if lengths is None or math.prod(lengths) > ITEMS_MAX or lengths[-1] > ITEMS_MAX:
        return _write_type(value, room, depth, judge)
    columns = foreign.columns_of(value)
    return _write_members(columns.items(), len(columns), room, depth, judge)


def _write_column(value: object, room: int, depth: int, judge: Judge | None) -> str:
    """A series, tensor or Arrow array: its elements where they are few, else type and shape."""
    length = foreign.length_of(value)
    lengths = shape_of(value) if length is None else (length,)
    if lengths is None or math.prod(lengths) > ITEMS_MAX:
        shape = "" if lengths is None else " " + shape_text(lengths)
        return _write_text(f"<{type_name(type(value))}{shape}>", room, depth, judge)
    return _write(foreign.plain_of(value), room, depth, judge)


def _write_image(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    width, height = value.size
    return _write_text(
        f"<{type_name(type(value))} {value.mode} {width}x{height}>", room, depth, judge
    )


def _write_iso(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    return _write_text(value.isoformat(), room, depth, judge)


def _write_str(value: object, room: int, depth: int, judge: Judge | None) -> str:
    return _write_text(str(value), room, depth, judge)


def _write_decimal(value: Decimal, room: int, depth: int, judge: Judge | None) -> str:
    # Its digits may be any number; to write them costs time.
    if sys.getsizeof(value) > _DECIMAL_BYTES_MAX:
        return _write_type(value, room, depth, judge)
    return _write_text(Decimal.__str__(value), room, depth, judge)


def _write_enum(value: Enum, room: int, depth: int, judge: Judge | None) -> str:
    return _write(value.value, room, depth, judge)


def _plainly(convert: Callable[[Any], object]) -> Writer:
    return lambda value, room, depth, judge: _write(convert(value), room, depth, judge)


_WRITERS: Final[dict[type, Writer]] = {
    type(None): _write_none,
    str: _write_text,
    bool: _write_bool,
    int: _write_int,
    float: _write_float,
    list: _write_sequence,
    tuple: _write_sequence,
    dict: _write_mapping,
    set: _write_set,
    frozenset: _write_set,
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: _write_str,
    np.ndarray: _write_array,
    datetime: _write_iso,
    date: _write_iso,
    time: _write_iso,
    timedelta: _write_str,
    UUID: _write_str,
    _Written: _write_written,
}
_BASES: Final[tuple[tuple[type, Writer], ...]] = (
    (Enum, _write_enum),
    (np.generic, _write_scalar),
    (str, _plainly(str.__str__)),
    (bool, _write_bool),
    (int, _plainly(int.__index__)),
    (float, _plainly(float.__float__)),
    (dict, _write_mapping),
    (list, _write_sequence),
    (tuple, _write_sequence),
    (set, _write_set),
    (frozenset, _write_set),
    (PurePath, _write_str),
    (Decimal, _write_decimal),
    (datetime, _write_iso),
    (date, _write_iso),
)
"""What instances of subclasses are written as, in this order; their own methods are not asked."""


def _writer_of(kind: type) -> Writer:
    if kind.__name__ in _MISSING:
        return _write_none
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _write_named_tuple
    for base, writer in _BASES:
        if issubclass(kind, base):
            return writer
    library = foreign.library_of(kind)
    if library == "PIL":
        return _write_image
    if library and library != "scipy":
        return _write_table if foreign.is_table_type(kind) else _write_column
    return _write_type if foreign.field_names(kind) is None else _write_fields
