"""Ids → keys, compiled: about 10 ns an id."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from inferspan_collector.compilation import entry, part
from inferspan_collector.store.compiled import sip

_EACH: Final = np.uint64(0x0101010101010101)
"""1 in each of the eight bytes of a word: times a byte, that byte in each."""


@part
def _digits(data: Any, at: Any) -> Any:
    """Eight lowercase hexadecimal digits as 32 bits, and 0; else anything, and not 0.

    All eight at once, a byte each, none of which ever carries into the next.
    """
    word = sip.word_of(data, at)
    # Of digits the upper half of a byte is 3, of letters 6, and the lower half is 1 for `a`.
    letters = (word >> np.uint64(6)) & _EACH
    wrong = (word & (_EACH * np.uint64(0xF0))) ^ (letters + _EACH) * np.uint64(0x30)
    values = (word & (_EACH * np.uint64(0x0F))) + letters * np.uint64(9)
    wrong |= values & (_EACH * np.uint64(0xF0))
    wrong |= (((values + _EACH * np.uint64(6)) >> np.uint64(4)) & _EACH) ^ letters
    # The first digit stands in the lowest byte, and is the highest of the number.
    pairs = (values << np.uint64(4) | values >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    fours = (pairs << np.uint64(8) | pairs >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return (fours << np.uint64(16) | fours >> np.uint64(32)) & np.uint64(0xFFFFFFFF), wrong


@entry
def keys(data: Any, offsets: Any, secret_high: Any, secret_low: Any) -> Any:
    """The halves of each id's key, and whether it is a hash of the text; without bytes it is 0."""
    rows = len(offsets) - 1
    high = np.zeros(rows, np.uint64)
    low = np.zeros(rows, np.uint64)
    hashed = np.zeros(rows, np.bool_)
    for row in range(rows):
        start, end = offsets[row], offsets[row + 1]
        if end == start:
            continue
        first, second, wrong = np.uint64(0), np.uint64(0), np.uint64(1)
        if end - start == 32:
            one, wrong_one = _digits(data, start)
            two, wrong_two = _digits(data, start + 8)
            three, wrong_three = _digits(data, start + 16)
            four, wrong_four = _digits(data, start + 24)
            first = one << np.uint64(32) | two
            second = three << np.uint64(32) | four
            wrong = wrong_one | wrong_two | wrong_three | wrong_four
        if wrong != np.uint64(0) or (first | second) == np.uint64(0):
            first, second = sip.of_bytes(secret_high, secret_low, data, start, end)
            hashed[row] = True
        high[row], low[row] = first, second
    return high, low, hashed
