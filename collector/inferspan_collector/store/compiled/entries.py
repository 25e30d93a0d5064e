"""Entries of recent keys, compiled: find, insert, drop, and the way back after a failed commit.

One entry of 64 bytes, a cache line, per (model, prediction id, index), in a ring: the oldest leave.
A table of 8-byte words with open addressing and linear probing finds them: the upper half of a
word is the key's tag, whose upper bits are its home, the lower half is 1 + the entry's place.
Removal shifts the followers back (Knuth, TAOCP 3, 6.4, algorithm R), so nothing degrades with use.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.compilation import entry, part
from inferspan_collector.store.compiled.prefetch import AHEAD, prefetch

ENTRY: Final = np.dtype(
    [
        ("low", np.uint64),
        ("high", np.uint32),
        ("state", np.uint32),  # the flags below, and above them the minute of receipt
        ("span", np.uint64),  # hash of trace, span and row of the prediction
        ("label", np.uint64),  # hash of id, revision and content of the label
        ("value", np.float64),
        ("series", np.int32),
        ("slices", np.int32),
        ("predicted", np.int32),  # code of the class, -1 = none
        ("minute", np.int32),
        ("prediction", np.uint32),  # the key's first row of each kind, modulo 2**32
        ("label_row", np.uint32),
    ]
)
ENTRY_BYTES: Final = 64

HAS_PREDICTION: Final = 1
HAS_LABEL: Final = 2
SQL_ONLY: Final = 4
"""More is known of the key than an entry holds: whatever comes for it is joined in SQL."""
FAILED: Final = 8
_AHEAD: Final = (1 << 32) - (1 << 28)
"""What is so far behind, modulo 2**32, is ahead: a row of the transaction itself."""
RECEIVED_SHIFT: Final = 4
"""Of the prediction, in Unix minutes: 28 bits last until the year 2480."""

HEAD: Final = 0
"""In `ring`: the place of the oldest entry."""
COUNT: Final = 1
"""In `ring`: how many entries there are."""


def new_entries(capacity: int) -> NDArray[Any]:
    """Room for entries, aligned to cache lines; the memory is taken as it is used."""
    room = np.zeros((capacity + 1) * ENTRY_BYTES, np.uint8)
    shift = -room.ctypes.data % ENTRY_BYTES
    return room[shift : shift + capacity * ENTRY_BYTES].view(ENTRY)


@part
def _home(word: Any, bits: Any) -> Any:
    return np.int64(word >> np.uint64(64 - bits))


@part
def ask_for(table: Any, bits: Any, lows: Any, row: Any) -> Any:
    """Let the word that `find` looks at first be near when it comes to a row some rows later."""
    if row + AHEAD < len(lows):
        prefetch(table, _home(lows[row + AHEAD], bits))


@part
def find(entries: Any, table: Any, bits: Any, low: Any, high: Any) -> Any:
    """The place of a key's entry, or -1."""
    mask = len(table) - 1
    tag = low >> np.uint64(32)
    at = _home(low, bits)
    while True:
        word = table[at]
        if word == np.uint64(0):
            return np.int64(-1)
        if (word >> np.uint64(32)) == tag:
            place = np.int64(word & np.uint64(0xFFFFFFFF)) - 1
            if entries[place].low == low and entries[place].high == high:
                return place
        at = (at + 1) & mask


@part
def link_in(table: Any, bits: Any, low: Any, place: Any) -> Any:
    """Let an entry be found."""
    mask = len(table) - 1
    at = _home(low, bits)
    while table[at] != np.uint64(0):
        at = (at + 1) & mask
    table[at] = ((low >> np.uint64(32)) << np.uint64(32)) | np.uint64(place + 1)


@part
def take_out(table: Any, bits: Any, low: Any, place: Any) -> Any:
    """Let an entry be found no more."""
    mask = len(table) - 1
    wanted = ((low >> np.uint64(32)) << np.uint64(32)) | np.uint64(place + 1)
    hole = _home(low, bits)
    while table[hole] != wanted:
        hole = (hole + 1) & mask
    at = hole
    while True:
        at = (at + 1) & mask
        word = table[at]
        if word == np.uint64(0):
            break
        # It may fill the hole unless its home lies behind the hole, cyclically.
        if ((at - _home(word, bits)) & mask) >= ((at - hole) & mask):
            table[hole] = word
            hole = at
    table[hole] = np.uint64(0)


@part
def insert(entries: Any, table: Any, bits: Any, ring: Any, low: Any, high: Any) -> Any:
    """A new entry's place; the ring has room."""
    place = ring[HEAD] + ring[COUNT]
    if place >= len(entries):
        place -= len(entries)
    ring[COUNT] += 1
    entry = entries[place]
    entry.low = low
    entry.high = high
    entry.state = np.uint32(0)
    entry.predicted = np.int32(-1)
    link_in(table, bits, low, place)
    return place


@entry
def rehashed(entries: Any, ring: Any, bits: Any) -> Any:
    """A table of 2**bits words that finds every entry."""
    table = np.zeros(1 << bits, np.uint64)
    for i in range(ring[COUNT]):
        place = (ring[HEAD] + i) % len(entries)
        if i + AHEAD < ring[COUNT]:
            prefetch(table, _home(entries[(place + AHEAD) % len(entries)].low, bits))
        link_in(table, bits, entries[place].low, place)
    return table


@part
def whole(part: Any, newest: Any) -> Any:
    """The row id whose lower half is known: an older one, or one of this transaction."""
    behind = (newest - np.int64(part)) & 0xFFFFFFFF
    return newest - (behind if behind < _AHEAD else behind - (1 << 32))


@entry
def drop_oldest(entries: Any, table: Any, bits: Any, ring: Any, n: Any, rows: Any) -> Any:
    """Remove the n oldest entries.

    `rows` is int64[6]: the row ids after the newest prediction and label, those up to which rows
    are sealed, and the greatest ids of each that were erased. Returns the keys, uint64[n] and
    uint32[n], and the row ids after the last prediction and label of those that have no sealed
    row, or may have none; 0 = none.
    """
    lows = np.empty(n, np.uint64)
    highs = np.empty(n, np.uint32)
    prediction_end, label_end = np.int64(0), np.int64(0)
    for i in range(n):
        place = ring[HEAD]
        if i + AHEAD < n:
            prefetch(table, _home(entries[(place + AHEAD) % len(entries)].low, bits))
        entry = entries[place]
        lows[i], highs[i] = entry.low, entry.high
        prediction, label = np.int64(-1), np.int64(-1)
        if entry.state & HAS_PREDICTION:
            prediction = whole(entry.prediction, rows[0])
        if entry.state & HAS_LABEL:
            label = whole(entry.label_row, rows[1])
        is_sealed = 0 <= prediction < rows[2] or 0 <= label < rows[3]
        if entry.state & SQL_ONLY:
            # One of the two may be where its rows could begin, and no row of its own (`rows.mark`).
            is_sealed = prediction < rows[2] and label < rows[3]
        if entry.state & SQL_ONLY and (0 <= prediction <= rows[4] or 0 <= label <= rows[5]):
            # What came after an erased row is not known, nor whether any of it is sealed.
            prediction_end, label_end = rows[0], rows[1]
        elif not is_sealed:
            prediction_end = max(prediction_end, prediction + 1)
            label_end = max(label_end, label + 1)
        take_out(table, bits, entries[place].low, place)
        ring[HEAD] = (place + 1) % len(entries)
        ring[COUNT] -= 1
    return lows, highs, prediction_end, label_end


@entry
def restore(
    entries: Any, table: Any, bits: Any, ring: Any, count: Any, places: Any, saved: Any, n: Any
) -> Any:
    """Undo: put back n saved entries, the last change first, and remove all beyond `count`."""
    for i in range(n - 1, -1, -1):
        entries[places[i]] = saved[i]
    while ring[COUNT] > count:
        place = (ring[HEAD] + ring[COUNT] - 1) % len(entries)
        take_out(table, bits, entries[place].low, place)
        ring[COUNT] -= 1
