"""Spans of others that no mapping can take, told by the keys of their attributes."""

from __future__ import annotations

from typing import Final

from inferspan_collector.batches import Int32, Int64, UInt8
from inferspan_collector.compilation import entry, part
from inferspan_collector.decode.compiled.fields import FLAGS
from inferspan_collector.decode.compiled.framing import BAD, after, content
from inferspan_collector.decode.compiled.memory import address_of, byte_at, integer_at, same
from inferspan_collector.decode.compiled.scan import WAITING

_ATTRIBUTE: Final = 0x4A
"""The tag of a span's attributes."""


@entry
def pass_by(
    body: UInt8,
    places: Int64,
    scopes: Int32,
    keys: UInt8,
    offsets: Int64,
    wanted: Int64,
    taken: UInt8,
) -> int:
    """Decide about the records that a scan has marked `WAITING`.

    Args:
        body: the request.
        places: where its records start and end, [2, records].
        scopes: the number of the scope of each.
        keys: the keys that mappings look for, one behind the other.
        offsets: where each begins in it, and where the last ends, [keys + 1].
        wanted: of each scope, its first key and the one behind its last, [2, scopes]; a first one
            below 0: its spans are left whatever they carry.
        taken: of each record; 1 is written for those that no mapping can take, 0 for the others.

    Returns:
        How many no mapping can take.
    """
    base, known, ends = address_of(body), address_of(keys), address_of(offsets)
    passed = 0
    for record in range(len(taken)):
        if taken[record] != WAITING:
            continue
        first, last = wanted[0, scopes[record]], wanted[1, scopes[record]]
        if first < 0 or _carries(
            base + places[0, record], base + places[1, record], known, ends, first, last
        ):
            taken[record] = 0
        else:
            taken[record] = 1
            passed += 1
    return passed


@part
def _carries(start: int, end: int, keys: int, offsets: int, first: int, last: int) -> bool:
    """Whether a span, well-formed as the scanner found it, has an attribute with such a key."""
    place = start
    while place < end:
        tag = byte_at(place)
        if tag == _ATTRIBUTE:
            pair, place = content(place + 1, end)
            key, key_end = content(pair + 1, place)
            for number in range(first, last):
                begin = integer_at(offsets + number * 8)
                length = integer_at(offsets + number * 8 + 8) - begin
                if key_end - key == length and same(key, keys + begin, length):
                    return True
        else:
            # Of the flags the tag has two bytes.
            place = place + 6 if tag == FLAGS else after(tag, place + 1, end)
            if place == BAD:
                return True
    return False
