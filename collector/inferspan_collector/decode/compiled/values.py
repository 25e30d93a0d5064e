"""An attribute's value, by its type. What has another type than it should is not read here."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.compilation import part
from inferspan_collector.decode.compiled.framing import (
    ARRAY,
    BAD,
    BYTES,
    DOUBLE,
    INTEGER,
    TEXT,
    content,
    varint,
)
from inferspan_collector.decode.compiled.memory import byte_at, double_at
from inferspan_collector.decode.compiled.records import value_of

_PROBABILITY: Final = 11
"""Bytes of an entry of an array of doubles, with its frame."""


@part
def text(slot: int, state: int, length_max: int) -> tuple[int, int]:
    """Where a text starts, and its length; the length is `BAD` where it is none, or too long."""
    start, end = value_of(slot, state)
    if byte_at(start) != TEXT:
        return 0, BAD
    first, last = content(start + 1, end)
    return first, last - first if last - first <= length_max else BAD


@part
def number(slot: int, state: int) -> tuple[float, bool]:
    """A number, NaN where it is not finite; and whether it is one."""
    start, end = value_of(slot, state)
    tag = byte_at(start)
    if tag == DOUBLE:
        value = double_at(start + 1)
        return value if np.isfinite(value) else np.nan, True
    if tag == INTEGER:
        return float(varint(start + 1, end)[0]), True
    return np.nan, False


@part
def integer(slot: int, state: int) -> tuple[int, bool]:
    """An integer; and whether it is one."""
    start, end = value_of(slot, state)
    if byte_at(start) != INTEGER:
        return 0, False
    return varint(start + 1, end)[0], True


@part
def octets(slot: int, state: int) -> tuple[int, int]:
    """Where bytes start, and their length, which is `BAD` for another type."""
    start, end = value_of(slot, state)
    if byte_at(start) != BYTES:
        return 0, BAD
    first, last = content(start + 1, end)
    return first, last - first


@part
def array(slot: int, state: int) -> tuple[int, int]:
    """Where an array's entries start, and how many bytes they have; see that it is one first."""
    start, end = value_of(slot, state)
    first, last = content(start + 1, end)
    return first, last - first


@part
def doubles_count(slot: int, state: int) -> int:
    """The entries of an array of doubles; `BAD` for another type."""
    start, end = value_of(slot, state)
    if byte_at(start) != ARRAY:
        return BAD
    place, last = content(start + 1, end)
    count = (last - place) // _PROBABILITY
    if count * _PROBABILITY != last - place:
        return BAD
    for _ in range(count):
        if byte_at(place + 1) != _PROBABILITY - 2 or byte_at(place + 2) != DOUBLE:
            return BAD
        place += _PROBABILITY
    return count


@part
def entries_start(slot: int, state: int) -> int:
    """Where the entries of an array begin."""
    start, end = value_of(slot, state)
    place, _ = content(start + 1, end)
    return place


@part
def texts_count(slot: int, state: int, length_max: int) -> int:
    """The entries of an array of texts; `BAD` for another type, or where one is too long."""
    start, end = value_of(slot, state)
    if byte_at(start) != ARRAY:
        return BAD
    place, last = content(start + 1, end)
    count = 0
    while place < last:
        first, place = content(place + 1, last)
        if byte_at(first) != TEXT:
            return BAD
        first, text_end = content(first + 1, place)
        if text_end - first > length_max:
            return BAD
        count += 1
    return count
