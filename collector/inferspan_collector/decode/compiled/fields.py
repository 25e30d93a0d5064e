"""A span's, or a log record's, own fields: walked once, left in the state for who makes a row."""

from __future__ import annotations

from typing import Final

from inferspan_collector.compilation import constant, part
from inferspan_collector.decode.compiled.framing import (
    BAD,
    content,
    content_in_place,
    is_attribute,
    is_event,
    is_value,
    varint,
)
from inferspan_collector.decode.compiled.memory import (
    byte_at,
    integer_at,
    is_utf8,
    put_integer,
)
from inferspan_collector.decode.compiled.records import (
    FIELDS,
    SEEN,
    TWICE,
    read_attribute,
    read_attribute_in_place,
)

(
    TRACE_ID,
    TRACE_ID_LENGTH,
    SPAN_ID,
    SPAN_ID_LENGTH,
    START,
    END,
    KIND,
    STATUS,
    LINKS,
    LINK_TRACE_ID,
    LINK_TRACE_ID_LENGTH,
    LINK_SPAN_ID,
    LINK_SPAN_ID_LENGTH,
    PARENT_ID,
    PARENT_ID_LENGTH,
    EVENT,
    EVENT_LENGTH,
) = map(constant, range(FIELDS, FIELDS + 17 * 8, 8))
TRACE_ID_BYTES, SPAN_ID_BYTES = map(constant, (16, 8))
NONE = constant(0)
"""Their places in the state. Of several links, the last; a log record's event is its name."""
FLAGS: Final = 0x85
"""The first of the two bytes that are the tag of a span's flags."""


@part
def read_span(start: int, end: int, state: int) -> bool:
    """Read a span; False where the library has to."""
    _clear(state)
    place, position = start, NONE
    while place < end:
        tag = byte_at(place)
        place += 1
        if tag == 0x4A:
            first, place = content_in_place(place, end)
            if place == BAD or not read_attribute_in_place(first, place, position, state):
                return False
            position += 1
        elif tag == 0x0A or tag == 0x12:
            first, place = content_in_place(place, end)
            if place == BAD:
                return False
            into = TRACE_ID if tag == 0x0A else SPAN_ID
            put_integer(state + into, first)
            put_integer(state + into + 8, place - first)
        elif tag == 0x39 or tag == 0x41:
            if place + 8 > end:
                return False
            put_integer(state + (START if tag == 0x39 else END), integer_at(place))
            place += 8
        elif tag == 0x30:
            # Of one byte; a larger one is no kind there is.
            if place >= end or byte_at(place) > 5:
                return False
            put_integer(state + KIND, byte_at(place))
            place += 1
        else:
            place = _other_field(tag, place, end, state)
            if place == BAD:
                return False
    return True


@part
def _clear(state: int) -> None:
    put_integer(state + SEEN, 0)
    put_integer(state + TWICE, 0)
    for place in range(FIELDS, EVENT_LENGTH + 8, 8):
        put_integer(state + place, 0)


@part
def _other_field(tag: int, place: int, end: int, state: int) -> int:
    """Where a field ends that few read anything from."""
    if tag == 0x2A or tag == 0x1A or tag == 0x22 or tag == 0x5A or tag == 0x6A or tag == 0x7A:
        first, last = content(place, end)
        if last == BAD:
            return BAD
        good = True
        if tag == 0x2A or tag == 0x1A:  # its name and the trace's state
            good = is_utf8(first, last)
        elif tag == 0x5A:
            good = is_event(first, last)
        elif tag == 0x6A:
            good = _read_link(first, last, state)
        elif tag == 0x7A:
            good = _read_status(first, last, state)
        elif tag == 0x22:
            put_integer(state + PARENT_ID, first)
            put_integer(state + PARENT_ID_LENGTH, last - first)
        return last if good else BAD
    if tag == 0x50 or tag == 0x60 or tag == 0x70:  # what the sender left out
        last = varint(place, end)[1]
        return last if last != BAD and last - place <= 5 else BAD
    # The flags, whose tag takes two bytes.
    if tag == FLAGS and place + 5 <= end and byte_at(place) == 1:
        return place + 5
    return BAD


@part
def _read_status(start: int, end: int, state: int) -> bool:
    place = start
    while place < end:
        tag = byte_at(place)
        if tag == 0x12:
            first, place = content(place + 1, end)
            if place == BAD or not is_utf8(first, place):
                return False
        elif tag == 0x18 and place + 2 <= end and byte_at(place + 1) < 3:
            put_integer(state + STATUS, byte_at(place + 1))
            place += 2
        else:
            return False
    return True


@part
def _read_link(start: int, end: int, state: int) -> bool:
    put_integer(state + LINKS, integer_at(state + LINKS) + 1)
    put_integer(state + LINK_TRACE_ID_LENGTH, 0)
    put_integer(state + LINK_SPAN_ID_LENGTH, 0)
    place = start
    while place < end:
        tag = byte_at(place)
        place += 1
        if tag == 0x0A or tag == 0x12 or tag == 0x1A or tag == 0x22:
            first, place = content(place, end)
            if place == BAD:
                return False
            if tag == 0x0A or tag == 0x12:
                into = LINK_TRACE_ID if tag == 0x0A else LINK_SPAN_ID
                put_integer(state + into, first)
                put_integer(state + into + 8, place - first)
            elif tag == 0x1A:
                if not is_utf8(first, place):
                    return False
            elif not is_attribute(first, place):
                return False
        elif tag == 0x28:
            first, place = place, varint(place, end)[1]
            if place == BAD or place - first > 5:
                return False
        elif tag == 0x35 and place + 4 <= end:
            place += 4
        else:
            return False
    return True


@part
def read_log(start: int, end: int, state: int) -> bool:
    """Read a log record; False where the library has to."""
    _clear(state)
    place, position = start, NONE
    while place < end:
        tag = byte_at(place)
        place += 1
        if tag == 0x32:
            first, place = content(place, end)
            if place == BAD or not read_attribute(first, place, position, state):
                return False
            position += 1
        elif tag == 0x4A or tag == 0x52 or tag == 0x62 or tag == 0x1A or tag == 0x2A:
            first, place = content(place, end)
            if place == BAD or not _read_sized_of_log(tag, first, place, state):
                return False
        elif tag == 0x09 or tag == 0x59:
            place += 8
        elif tag == 0x45:
            place += 4
        elif tag == 0x10 or tag == 0x38:
            first, place = place, varint(place, end)[1]
            if place == BAD or place - first > 5:
                return False
        else:
            return False
        if place > end:
            return False
    return True


@part
def _read_sized_of_log(tag: int, first: int, last: int, state: int) -> bool:
    if tag == 0x4A or tag == 0x52:
        into = TRACE_ID if tag == 0x4A else SPAN_ID
        put_integer(state + into, first)
        put_integer(state + into + 8, last - first)
        return True
    if tag == 0x2A:
        return is_value(first, last)
    if tag == 0x62:
        put_integer(state + EVENT, first)
        put_integer(state + EVENT_LENGTH, last - first)
    return is_utf8(first, last)


@part
def is_context(field: int, length: int, state: int) -> bool:
    """Whether a trace id (16) or span id (8) has its length and is not zero."""
    if integer_at(state + field + 8) != length:
        return False
    start = integer_at(state + field)
    return integer_at(start) != 0 or integer_at(start + length - 8) != 0
