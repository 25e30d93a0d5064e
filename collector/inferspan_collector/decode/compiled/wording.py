"""The distinct values of a request in one order and as one text: requests that say the same of
their predictions then say it with the same bytes, and what it means is known already.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.compilation import part
from inferspan_collector.decode.compiled.memory import (
    byte_at,
    copy,
    half_at,
    integer_at,
    put_byte,
    put_half,
    put_integer,
)
from inferspan_collector.decode.compiled.records import ENTRY_WORDS

VALUES_MAX: Final = 64
"""Of more distinct values there is no text: they do not often come again."""
TEXT_BYTES_MAX: Final = 4096
NO_TEXT: Final = -1
HEAD_BYTES: Final = 3
"""Before each value: its slot, and its length in two bytes, little-endian."""
_WORD: Final = 8
_ENTRY: Final = ENTRY_WORDS * _WORD
_SLOT, _START, _LENGTH, _CODE = range(0, _ENTRY, _WORD)


@part
def sort(entries: int, count: int) -> None:
    """Order distinct values by slot, length and bytes; their codes stay as they are."""
    for number in range(1, count):
        place = entries + number * _ENTRY
        while place > entries and _before(place, place - _ENTRY):
            for word in range(0, _ENTRY, _WORD):
                kept = integer_at(place + word)
                put_integer(place + word, integer_at(place - _ENTRY + word))
                put_integer(place - _ENTRY + word, kept)
            place -= _ENTRY


@part
def _before(one: int, other: int) -> bool:
    for word in (_SLOT, _LENGTH):
        if integer_at(one + word) != integer_at(other + word):
            return integer_at(one + word) < integer_at(other + word)
    first, second = integer_at(one + _START), integer_at(other + _START)
    for place in range(integer_at(one + _LENGTH)):
        if byte_at(first + place) != byte_at(second + place):
            return byte_at(first + place) < byte_at(second + place)
    return False


@part
def of_slot(entries: int, first: int, count: int) -> int:
    """Of sorted values, the one behind the last of the slot that `first` has."""
    slot = integer_at(entries + first * _ENTRY)
    number = first + 1
    while number < count and integer_at(entries + number * _ENTRY) == slot:
        number += 1
    return number


@part
def is_in_order(entries: int, first: int, last: int) -> bool:
    """Whether the codes of a slot's values are their places among them already."""
    for number in range(first, last):
        if integer_at(entries + number * _ENTRY + _CODE) != number - first:
            return False
    return True


@part
def recode(entries: int, first: int, last: int, codes: int, rows: int, scratch: int) -> None:
    """Give rows the codes that a slot's values have by their order.

    Args:
        entries: the sorted values, whose codes are still those of the rows.
        first: the slot's first value.
        last: the one behind its last.
        codes: where the column stands, 4 bytes a row.
        rows: how many.
        scratch: room for 8 bytes a value.
    """
    for number in range(first, last):
        old = integer_at(entries + number * _ENTRY + _CODE)
        put_integer(scratch + old * _WORD, number - first)
    for row in range(rows):
        code = half_at(codes + row * 4)
        if code < last - first:  # the absent are far above
            put_half(codes + row * 4, integer_at(scratch + code * _WORD))


@part
def write(entries: int, count: int, out: int) -> int:
    """Write sorted values as one text, and their new codes into them.

    Args:
        entries: the values.
        count: how many.
        out: room for `TEXT_BYTES_MAX`.

    Returns:
        The length of the text, or `NO_TEXT` where it would be too long, or of too many values.
    """
    if count > VALUES_MAX:
        return NO_TEXT
    place, code, before = out, 0, -1
    for number in range(count):
        entry = entries + number * _ENTRY
        slot, length = integer_at(entry), integer_at(entry + _LENGTH)
        code = code + 1 if slot == before else 0
        before = slot
        put_integer(entry + _CODE, code)
        if place - out + HEAD_BYTES + length > TEXT_BYTES_MAX:
            return NO_TEXT
        put_byte(place, slot)
        put_byte(place + 1, length & 0xFF)
        put_byte(place + 2, length >> 8)
        copy(integer_at(entry + _START), place + HEAD_BYTES, length)
        place += HEAD_BYTES + length
    return place - out
