"""Declared features of one prediction ↔ a row of bytes, the same bit for bit: numbers, then texts.

How many there are of each, their names say. Compiled, some 5 ns a number to write and to read.

    number  a head, of whose bits the low four say how many bytes follow, the high four what:
            0 … 6   an integer, which stands for its 10^n-th part, n even: zigzag, little-endian,
                    without the zero bytes at its end
            7       a float64, little-endian, without the zero bytes at its begin
    text    its length as a varint, and its UTF-8; without bytes it is missing

Most numbers were measured, counted or rounded: they have few digits, and are float64 by chance. An
integer below 2^53 and a power of ten are float64 exactly and division rounds correctly, so a
quotient that is the number once is so always. Which of the two ways is taken follows from the
number alone: equal rows are equal bytes.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan_collector.batches import Float64, Int64, UInt8
from inferspan_collector.compilation import entry, part
from inferspan_collector.decode.compiled.framing import BAD, content, varint
from inferspan_collector.decode.compiled.memory import (
    address_of,
    byte_at,
    copy,
    double_at,
    leading_zeros,
    put_byte,
    put_double,
    put_word,
    trailing_zeros,
    word_at,
)

FEW_DIGITS: Final = 2
DIGITS_MAX: Final = 6
"""Behind the decimal point."""
FLOAT: Final = 7
PADDING: Final = 8
"""Bytes behind rows that are read: a number's are read as eight, however few it has."""
_POWERS: Final = 10.0 ** np.arange(DIGITS_MAX + 1)
_SCALED_MAX: Final = 2.0**50
"""Below it, what scaling rounds away is less than a half."""
_DOUBLE: Final = 8
_HEAD_BITS: Final = 4
_ONE: Final = np.uint64(1)
_HUNDRED: Final = np.uint64(100)


@entry
def encode(
    body: UInt8,
    starts: Int64,
    lengths: Int64,
    text_body: UInt8,
    text_starts: Int64,
    text_lengths: Int64,
) -> tuple[UInt8, Int64]:
    """Write the features of N predictions as rows, one behind the other.

    Args:
        body: where the numbers stand.
        starts: where those of each prediction start in it, float64 each, [N].
        lengths: how many bytes they have, [N].
        text_body: where the texts stand.
        text_starts: where those of each prediction start in it, as the entries of an OTLP
            `ArrayValue`, [N].
        text_lengths: how many bytes these have, [N].

    Returns:
        The rows, and where each begins in them and the last ends, [N + 1].
    """
    rows = len(starts)
    room = PADDING
    for row in range(rows):
        room += lengths[row] + lengths[row] // _DOUBLE + text_lengths[row]
    data, offsets = np.empty(room, np.uint8), np.empty(rows + 1, np.int64)
    numbers, texts, first = address_of(body), address_of(text_body), address_of(data)
    out = first
    for row in range(rows):
        offsets[row] = out - first
        start = numbers + starts[row]
        for place in range(start, start + lengths[row] // _DOUBLE * _DOUBLE, _DOUBLE):
            out = _put_number(place, out)
        start = texts + text_starts[row]
        out = _put_texts(start, start + text_lengths[row], out)
    offsets[rows] = out - first
    return data[: out - first], offsets


@part
def _put_number(source: int, out: int) -> int:
    """Write a number; returns where it ends. Eight bytes behind its head are written over."""
    bits, value = word_at(source), double_at(source)
    for power in (FEW_DIGITS, DIGITS_MAX):
        scaled = value * _POWERS[power]
        if abs(scaled) < _SCALED_MAX:
            whole = np.rint(scaled)
            # A zero with a sign is none of the integers.
            if whole / _POWERS[power] == value and (whole != 0.0 or bits == np.uint64(0)):
                return _put_integer(whole, power, out)
    zeros = trailing_zeros(bits) >> 3
    put_byte(out, (FLOAT << _HEAD_BITS) | (_DOUBLE - zeros))
    put_word(out + 1, bits >> np.uint64(8 * zeros))
    return out + 1 + _DOUBLE - zeros


@part
def _put_integer(whole: float, power: int, out: int) -> int:
    digits = np.uint64(int(abs(whole)))
    if digits % _HUNDRED == np.uint64(0):
        digits //= _HUNDRED
        power -= 2
    word = (digits << _ONE) - np.uint64(whole < 0.0)
    length = (71 - leading_zeros(word)) >> 3
    put_byte(out, (power << _HEAD_BITS) | length)
    put_word(out + 1, word)
    return out + 1 + length


@part
def _put_texts(place: int, end: int, out: int) -> int:
    """Write the texts of an array; returns where they end. What is none of them ends it."""
    while place < end:
        first, place = content(place + 1, end)
        if place == BAD:
            return out
        last = first
        if first < place:
            first, last = content(first + 1, place)
            if last == BAD:
                return out
        left = last - first
        while left >= 0x80:
            put_byte(out, left & 0x7F | 0x80)
            left >>= 7
            out += 1
        put_byte(out, left)
        copy(first, out + 1, last - first)
        out += 1 + last - first
    return out


@entry
def decode(data: UInt8, rows: int, numbers: int, texts: int) -> tuple[Float64, Int64, Int64, Int64]:
    """Read rows that stand one behind the other.

    Args:
        data: the rows, and `PADDING` bytes behind them.
        rows: how many.
        numbers: of each.
        texts: of each.

    Returns:
        The numbers, [rows, numbers]; where each text begins and where it ends in `data`, both
        [rows, texts]; and where each row ends, [rows]: -1 where the data ends before it does.
    """
    values = np.empty((rows, numbers), np.float64)
    begins, ends = np.empty((rows, texts), np.int64), np.empty((rows, texts), np.int64)
    row_ends = np.full(rows, BAD, np.int64)
    base, out = address_of(data), address_of(values)
    place, end = base, base + len(data) - PADDING
    for row in range(rows):
        for _ in range(numbers):
            head = byte_at(place)
            length, kind = head & 0xF, head >> _HEAD_BITS
            if kind > FLOAT or length > _DOUBLE or place + 1 + length > end:
                return values, begins, ends, row_ends
            _put_value(word_at(place + 1), length, kind, out)
            place += 1 + length
            out += _DOUBLE
        for text in range(texts):
            size, first = varint(place, end)
            if first == BAD or size < 0 or size > end - first:
                return values, begins, ends, row_ends
            place = first + size
            begins[row, text], ends[row, text] = first - base, place - base
        row_ends[row] = place - base
    return values, begins, ends, row_ends


@part
def _put_value(word: np.uint64, length: int, kind: int, out: int) -> None:
    """Write as a float64 what a head says of the eight bytes behind it."""
    if length == 0:
        put_double(out, 0.0)
        return
    unused = np.uint64(8 * (_DOUBLE - length))
    word <<= unused
    if kind == FLOAT:
        put_word(out, word)
        return
    word >>= unused
    size = float(np.int64((word + _ONE) >> _ONE)) / _POWERS[kind]
    put_double(out, -size if word & _ONE else size)
