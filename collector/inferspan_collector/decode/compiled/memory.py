"""Bytes at addresses: read, written, compared, hashed, and held to be UTF-8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic
from numpy.typing import NDArray

from inferspan_collector.compilation import inlined, part

_HIGH_BITS: Final = np.uint64(0x8080808080808080)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)
_WORD: Final = 8


def _reading(
    kind: types.Type, width: ir.Type, result: ir.Type | None = None, *, swapped: bool = False
) -> Any:
    """A compiled function that reads at an address, aligned or not."""

    def read(typing_context: Any, address: Any) -> tuple[Signature, Callable[..., Any]]:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            value = builder.load(pointer, align=1)
            if swapped:
                value = builder.bswap(value)
            return value if result is None else builder.zext(value, result)

        return kind(types.int64), code

    return intrinsic(read)


def _writing(kind: types.Type, width: ir.Type, *, narrow: bool = False) -> Any:
    """A compiled function that writes at an address, aligned or not."""

    def write(
        typing_context: Any, address: Any, value: Any
    ) -> tuple[Signature, Callable[..., Any]]:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer = builder.inttoptr(arguments[0], width.as_pointer())
            value = builder.trunc(arguments[1], width) if narrow else arguments[1]
            builder.store(value, pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.int64, kind), code

    return intrinsic(write)


def _counting(instruction: str) -> Any:
    """A compiled function that counts bits of a word."""

    def count(typing_context: Any, word: Any) -> tuple[Signature, Callable[..., Any]]:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(arguments[0], ir.Constant(ir.IntType(1), 0))

        return types.int64(types.uint64), code

    return intrinsic(count)


_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))

byte_at: Callable[[int], int] = _reading(types.int64, _I8, _I64)
half_at: Callable[[int], int] = _reading(types.int64, _I32, _I64)
"""Four bytes, as they stand in memory."""
word_at: Callable[[int], np.uint64] = _reading(types.uint64, _I64)
"""Eight bytes, as they stand in memory."""
integer_at: Callable[[int], int] = _reading(types.int64, _I64)
big_endian: Callable[[int], int] = _reading(types.int64, _I64, swapped=True)
"""Eight bytes of an id as an integer, in two's complement."""
double_at: Callable[[int], float] = _reading(types.float64, ir.DoubleType())
put_byte: Callable[[int, int], None] = _writing(types.int64, _I8, narrow=True)
put_half: Callable[[int, int], None] = _writing(types.int64, _I32, narrow=True)
put_integer: Callable[[int, int], None] = _writing(types.int64, _I64)
put_word: Callable[[int, np.uint64], None] = _writing(types.uint64, _I64)
put_double: Callable[[int, float], None] = _writing(types.float64, ir.DoubleType())
leading_zeros: Callable[[np.uint64], int] = _counting("ctlz")
"""Of its 64 bits, from the highest on."""
trailing_zeros: Callable[[np.uint64], int] = _counting("cttz")


@part
def same(one: int, other: int, length: int) -> bool:
    """Whether two ranges of bytes are equal."""
    if length >= _WORD:
        place = 0
        while place + _WORD <= length:
            if word_at(one + place) != word_at(other + place):
                return False
            place += _WORD
        # The last word overlaps the one before, so that no tail is left.
        return bool(word_at(one + length - _WORD) == word_at(other + length - _WORD))
    if length >= 4:
        return half_at(one) == half_at(other) and half_at(one + length - 4) == half_at(
            other + length - 4
        )
    for place in range(length):
        if byte_at(one + place) != byte_at(other + place):
            return False
    return True


same_in_place = inlined(same)


@part
def copy(source: int, target: int, length: int) -> None:
    """Copy bytes from one address to another."""
    place = 0
    while place + _WORD <= length:
        put_integer(target + place, integer_at(source + place))
        place += _WORD
    while place < length:
        put_byte(target + place, byte_at(source + place))
        place += 1


@part
def hash_of(start: int, length: int) -> int:
    """A number below 2^32 that depends on every byte; who wants many bytes to share one can."""
    mixed = np.uint64(length) * _MIX
    place = 0
    while place + _WORD <= length:
        mixed = (mixed ^ word_at(start + place)) * _MIX
        mixed ^= mixed >> _SHIFT
        place += _WORD
    tail = np.uint64(0)
    while place < length:
        tail = (tail << np.uint64(8)) | np.uint64(byte_at(start + place))
        place += 1
    mixed = (mixed ^ tail) * _MIX
    return int(np.int64(mixed >> np.uint64(32)))


@part
def is_utf8(start: int, end: int) -> bool:
    """Whether bytes are valid UTF-8, by Unicode's table 3-7: shortest forms, no surrogates."""
    place = start
    while place + _WORD <= end:
        if word_at(place) & _HIGH_BITS:
            return _is_utf8_bytewise(place, end)
        place += _WORD
    return _is_utf8_bytewise(place, end)


@part
def _is_utf8_bytewise(start: int, end: int) -> bool:
    place = start
    while place < end:
        first = byte_at(place)
        place += 1
        if first < 0x80:
            continue
        low, high = 0x80, 0xBF
        if first < 0xC2 or first > 0xF4:
            return False
        if first < 0xE0:
            more = 1
        elif first < 0xF0:
            more = 2
            if first == 0xE0:
                low = 0xA0
            elif first == 0xED:
                high = 0x9F
        else:
            more = 3
            if first == 0xF0:
                low = 0x90
            elif first == 0xF4:
                high = 0x8F
        if place + more > end:
            return False
        second = byte_at(place)
        if second < low or second > high:
            return False
        for further in range(1, more):
            if byte_at(place + further) & 0xC0 != 0x80:
                return False
        place += more
    return True


@part
def is_plain(start: int, end: int) -> bool:
    """Whether bytes are printable ASCII: a name that needs no further look."""
    for place in range(start, end):
        if byte_at(place) < 0x20 or byte_at(place) > 0x7E:
            return False
    return True


@part
def address_of(array: NDArray[Any]) -> int:
    """Where an array's first entry stands.

    An address keeps nothing alive: of an array that a compiled function makes itself, the memory is
    given back after its last mention, and threads that run beside it get it. So take addresses of
    arguments, and of what is returned.
    """
    return int(np.int64(array.ctypes.data))
