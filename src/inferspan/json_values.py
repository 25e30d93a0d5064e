"""Python values → one JSON object for people: always valid, within its limit, in bounded time.

The work is bounded by what is shown: every element that is looked at has room for its text, and
where the room ends, `…` stands for the rest. What foreign objects raise is contained here: such a
value is shown by its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from inferspan import foreign
from inferspan.attributes import ITEMS_MAX, TEXT_LENGTH_MAX, shape_of, shape_text, type_name
from inferspan.containment import from_outside
from inferspan.json_leaves import (
    CUT,
    CUT_BYTES,
    KEY_LENGTH_MAX,
    LEAF_BASES,
    LEAVES,
    Leaf,
    json_text,
    size_of,
    write_decimal,
    write_image,
    write_text,
    write_type,
)
from inferspan.plain_json import plain_object

if TYPE_CHECKING:
    # Importing inferspan need not wait for it.
    from numpy.typing import NDArray

DEPTH_MAX: Final = 4
"""Lists and mappings inside each other that are shown."""
_REST_BYTES: Final = 24
"""Room for `,"…":"{count} more"`, which says how much is not shown."""
_MEMBER_MIN: Final = len('"":,') + CUT_BYTES
_SHARE_MIN: Final = 32
"""Bytes of a member that are not kept for those after it: any number fits in."""
_STRING_ARRAY_BYTES_MAX: Final = 1 << 18
_NO_ALIASES: Final[Mapping[Any, tuple[str, ...]]] = {}

Judge = Callable[[tuple[str, ...], object], object]
"""Names and value of a member → what may be shown of it."""
Writer = Callable[[Any, int, int, Judge | None], str]
"""Value, room in bytes (at least those of `"…"`), depth → JSON that takes no more."""


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
    whole = plain_object(members, bytes_max) if len(members) <= ITEMS_MAX else None
    if whole is not None:
        return whole, 0
    parts: list[str] = []
    room = bytes_max - 2
    left_out = 0
    for position, (name, value) in enumerate(members):
        if room < _MEMBER_MIN:
            left_out += len(members) - position
            break
        key = json_text(name, KEY_LENGTH_MAX)
        own = size_of(key) + 2  # the colon, and the comma after it
        share = max(room // (len(members) - position), min(room, own + _SHARE_MIN)) - own
        if share < CUT_BYTES:
            left_out += 1
            continue
        written = _write(value, share, 0, judge)
        parts.append(f"{key}:{written}")
        room -= own + size_of(written)
    return "{" + ",".join(parts) + "}", left_out


def _write(value: object, room: int, depth: int, judge: Judge | None) -> str:
    kind = type(value)
    try:
        leaf = LEAVES.get(kind)
        if leaf is not None:
            written = leaf(value, room)
        else:
            written = (_WRITERS.get(kind) or _writer_of(kind))(value, room, depth, judge)
    except Exception as error:  # of a foreign object
        if from_outside(error):
            raise
        written = json_text(f"<{type_name(kind)}>", TEXT_LENGTH_MAX)
    return written if size_of(written) <= room else CUT


def _write_sequence(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    """A list or tuple, subclasses included, whose own methods are not called."""
    kind = list if issubclass(type(value), list) else tuple
    count = kind.__len__(value)
    if 0 < count <= ITEMS_MAX:
        # Most vectors are floats, whose joined repr is the JSON unless one is NaN or infinite.
        kinds = set(map(type, value)) if type(value) is kind else ()
        if kinds == {float} or (kinds == {int} and max(map(int.bit_length, value)) < 64):
            written = f"[{','.join(map(repr, value))}]"
            if "n" not in written and len(written) <= room:
                return written
    if depth >= DEPTH_MAX:
        return write_type(value, room)
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
        if available < CUT_BYTES:
            break
        if judge is not None and (own_name := foreign.name_of(item)) is not None:
            item = judge(names_of(own_name), item)
        written = _write(item, available, depth + 1, judge)
        room -= size_of(written) + 1
        parts.append(written)
    if (left := count - len(parts)) > 0:
        parts.append(f'"… {left} more"')
    return f"[{','.join(parts)}]"


def _write_set(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    """A set, in the order of what is written, for it has none of its own."""
    kind = set if issubclass(type(value), set) else frozenset
    count = kind.__len__(value)
    shown = f"<{type_name(type(value))} {count}>"
    if depth < DEPTH_MAX and count <= ITEMS_MAX:
        items = sorted(
            _write(item, TEXT_LENGTH_MAX, depth + 1, judge) for item in kind.__iter__(value)
        )
        written = f"[{','.join(items)}]"
        if size_of(written) <= room:
            return written
    return write_text(shown, room)


def _write_mapping(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    if depth >= DEPTH_MAX:
        return write_type(value, room)
    return _write_members(dict.items(value), dict.__len__(value), room, depth, judge)


def _write_members(
    members: Iterable[tuple[object, object]],
    count: int,
    room: int,
    depth: int,
    judge: Judge | None,
    aliases: Mapping[Any, tuple[str, ...]] = _NO_ALIASES,
) -> str:
    parts: list[str] = []
    room -= 2
    for key, value in islice(members, ITEMS_MAX):
        named = _key(key)
        name = json_text(named, KEY_LENGTH_MAX)
        left = count - len(parts) - 1
        available = room - size_of(name) - 2 - (_REST_BYTES if left else 0)
        if available < CUT_BYTES:
            break
        if judge is not None:
            names = names_of(key) if not aliases else (*names_of(key), *aliases.get(key, ()))
            value = judge(names, value)
        written = _write(value, available, depth + 1, judge)
        room -= size_of(name) + size_of(written) + 2
        parts.append(f"{name}:{written}")
    if (left := count - len(parts)) > 0:
        parts.append(f'"…":"{left} more"')
    return "{" + ",".join(parts) + "}"


def names_of(key: Any, levels: int = DEPTH_MAX) -> tuple[str, ...]:
    """What a key is called: as it is shown, each of its levels, and as the member of an enum."""
    kind = type(key)
    if kind is str:
        return (key,)
    names: tuple[str, ...] = (_key(key),)
    if issubclass(kind, Enum):
        names += (key._name_,)
    elif issubclass(kind, tuple) and levels:
        for level in islice(tuple.__iter__(key), ITEMS_MAX):
            names += names_of(level, levels - 1)
    return names


def _key(key: Any, levels: int = DEPTH_MAX) -> str:
    """A key as text; none of its own methods is called."""
    kind = type(key)
    if kind is str:
        return key  # type: ignore[no-any-return]
    if issubclass(kind, str):
        return str.__str__(key)
    if issubclass(kind, bytes):
        return bytes.decode(key, errors="replace")
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
        return write_type(value, room)
    names = foreign.field_names(type(value)) or ()
    members = ((name, getattr(value, name)) for name in names)
    aliases = _NO_ALIASES if judge is None else foreign.field_aliases(type(value))
    return _write_members(members, len(names), room, depth, judge, aliases)


def _write_named_tuple(value: Any, room: int, depth: int, judge: Judge | None) -> str:
    if depth >= DEPTH_MAX:
        return write_type(value, room)
    members = zip(type(value)._fields, tuple.__iter__(value), strict=False)
    return _write_members(members, tuple.__len__(value), room, depth, judge)


def _write_array(value: NDArray[Any], room: int, depth: int, judge: Judge | None) -> str:
    kind = value.dtype.kind
    if value.size > ITEMS_MAX or kind not in "biufUMO" or value.nbytes > _STRING_ARRAY_BYTES_MAX:
        return write_type(value, room)
    elements = np.datetime_as_string(value) if kind == "M" else value
    return _write(elements.tolist(), room, depth, judge)


def _write_scalar(value: np.generic[Any], room: int, depth: int, judge: Judge | None) -> str:
    item = value.item()
    if type(item) is type(value) or not isinstance(item, (str, bool, int, float, datetime, date)):
        return write_type(value, room)
    return _write(item, room, depth, judge)


def _write_table(value: object, room: int, depth: int, judge: Judge | None) -> str:
    lengths = shape_of(value)
    if lengths is None or math.prod(lengths) > ITEMS_MAX or lengths[-1] > ITEMS_MAX:
        return write_type(value, room)
    columns = foreign.columns_of(value)
    return _write_members(columns.items(), len(columns), room, depth, judge)


def _write_column(value: object, room: int, depth: int, judge: Judge | None) -> str:
    """A series, tensor or Arrow array: its elements where they are few, else type and shape."""
    length = foreign.length_of(value)
    lengths = shape_of(value) if length is None else (length,)
    if lengths is None or math.prod(lengths) > ITEMS_MAX:
        shape = "" if lengths is None else " " + shape_text(lengths)
        return write_text(f"<{type_name(type(value))}{shape}>", room)
    return _write(foreign.plain_of(value), room, depth, judge)


def _write_enum(value: Enum, room: int, depth: int, judge: Judge | None) -> str:
    return _write(value.value, room, depth, judge)


def _leaf(write: Leaf) -> Writer:
    return lambda value, room, depth, judge: write(value, room)


_WRITERS: Final[dict[type, Writer]] = {
    list: _write_sequence,
    tuple: _write_sequence,
    dict: _write_mapping,
    set: _write_set,
    frozenset: _write_set,
    np.ndarray: _write_array,
}
_BASES: Final[tuple[tuple[type, Writer], ...]] = (
    (Enum, _write_enum),
    (np.generic, _write_scalar),
    *((base, _leaf(write)) for base, write in LEAF_BASES),
    (dict, _write_mapping),
    (list, _write_sequence),
    (tuple, _write_sequence),
    (set, _write_set),
    (frozenset, _write_set),
)
"""What instances of subclasses are written as, in this order; their own methods are not asked."""


def _writer_of(kind: type) -> Writer:
    if kind.__name__ in foreign.MISSING_TYPES:
        return _leaf(LEAVES[type(None)])
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _write_named_tuple
    for base, writer in _BASES:
        if issubclass(kind, base):
            return writer
    if foreign.is_decimal(kind):
        return _leaf(write_decimal)
    library = foreign.library_of(kind)
    if library == "PIL":
        return _leaf(write_image)
    if library and library != "scipy":
        return _write_table if foreign.is_table_type(kind) else _write_column
    return _leaf(write_type) if foreign.field_names(kind) is None else _write_fields
