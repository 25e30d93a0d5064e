"""Protobuf's frames, and OTLP's attributes and their values: walked, and held to be well-formed.

What these functions call bad is not said to be wrong: its spelling is one that no encoder of our
days writes (padded lengths, fields of an unknown number, two values in one), or is wrong indeed.
The protobuf library decides, on the same bytes.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.compilation import inlined, part
from inferspan_collector.decode.compiled.memory import byte_at, is_utf8

BAD: Final = -1
VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
"""Wire types."""
TEXT, BOOLEAN, INTEGER, DOUBLE, ARRAY, MAP, BYTES = 0x0A, 0x10, 0x18, 0x21, 0x2A, 0x32, 0x3A
"""The tag of an attribute's value by its type, each its only field."""
_FIRST, _SECOND = 0x0A, 0x12
"""Tags of sized fields 1 and 2."""


@part
def content(place: int, end: int) -> tuple[int, int]:
    """Where the content of a sized field begins and ends; `place` is behind its tag.

    (0, BAD) where it does not end by `end`, or its length is padded or takes more than 4 bytes.
    """
    length = 0
    for number in range(4):
        if place >= end:
            return 0, BAD
        byte = byte_at(place)
        place += 1
        length |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            if (byte == 0 and number > 0) or place + length > end:
                return 0, BAD
            return place, place + length
    return 0, BAD


content_in_place = inlined(content)


@part
def varint(place: int, end: int) -> tuple[int, int]:
    """A number and where it ends; (0, BAD) where that is not by `end`, or is more than 64 bits."""
    number = 0
    for count in range(10):
        if place >= end:
            return 0, BAD
        byte = byte_at(place)
        place += 1
        if count == 9 and byte > 1:
            return 0, BAD
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, place
    return 0, BAD


@part
def after(tag: int, place: int, end: int) -> int:
    """Where a field ends; `place` is behind its tag of one byte. BAD for groups, and as above."""
    wire_type = tag & 7
    if tag >= 0x80 or tag < 8:
        return BAD
    if wire_type == SIZED:
        return content(place, end)[1]
    if wire_type == VARINT:
        return varint(place, end)[1]
    if wire_type == FIXED64 and place + 8 <= end:
        return place + 8
    if wire_type == FIXED32 and place + 4 <= end:
        return place + 4
    return BAD


@part
def is_scalar(start: int, end: int) -> bool:
    """Whether bytes are one value of an attribute, neither array nor map nor none at all."""
    if start >= end:
        return False
    tag = byte_at(start)
    if tag == TEXT:
        first, last = content_in_place(start + 1, end)
        return last == end and is_utf8(first, last)
    if tag == DOUBLE:
        return start + 9 == end
    if tag == INTEGER or tag == BOOLEAN:
        return varint(start + 1, end)[1] == end
    if tag == BYTES:
        return content_in_place(start + 1, end)[1] == end
    return False


_is_scalar_in_place = inlined(is_scalar)


@part
def is_value(start: int, end: int) -> bool:
    """The same, or an array or map of such: what is nested deeper is left to the library."""
    if start >= end:
        return False
    tag = byte_at(start)
    if tag != ARRAY and tag != MAP:
        return _is_scalar_in_place(start, end)
    place, last = content(start + 1, end)
    if last != end:
        return False
    while place < last:
        if byte_at(place) != _FIRST:
            return False
        first, place = content(place + 1, last)
        if place == BAD:
            return False
        if tag == MAP:
            key_end, first = key_and_value(first, place)
            if key_end == BAD:
                return False
        if not is_scalar(first, place):
            return False
    return True


@part
def key_and_value(start: int, end: int) -> tuple[int, int]:
    """Of a key and its value: where the key ends and the value begins; the value ends at `end`.

    (BAD, 0) unless it is exactly the two, in this order. The key begins where `content` says.
    """
    if start >= end or byte_at(start) != _FIRST:
        return BAD, 0
    first, last = content(start + 1, end)
    if last == BAD or last >= end or byte_at(last) != _SECOND or not is_utf8(first, last):
        return BAD, 0
    value, value_end = content(last + 1, end)
    if value_end != end:
        return BAD, 0
    return last, value


@part
def is_attribute(start: int, end: int) -> bool:
    """Whether bytes are one attribute."""
    key_end, value = key_and_value(start, end)
    return key_end != BAD and is_value(value, end)


@part
def is_event(start: int, end: int) -> bool:
    """Whether bytes are an event of a span."""
    place = start
    while place < end:
        tag = byte_at(place)
        first, last = place + 1, after(tag, place + 1, end)
        if last == BAD:
            return False
        if tag == 0x12 or tag == 0x1A:
            first, last = content(place + 1, end)
        if tag == 0x12:
            if not is_utf8(first, last):
                return False
        elif tag == 0x1A:
            if not is_attribute(first, last):
                return False
        elif tag != 0x09 and not (tag == 0x20 and last - first <= 5):
            return False
        place = last
    return True
