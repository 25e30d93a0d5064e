"""One record's attributes → its slots; texts that recur → codes.

Senders write the attributes of their spans in one order and repeat most values. So an attribute is
first compared, whole, with the one at the same place of the record before: what is equal needs no
look inside, and what has only the same name needs no search for it.

All that is known while a request is read stands in one array, `State`; addresses of places in it
are `state` plus a constant.
"""

from __future__ import annotations

from typing import Final

from inferspan_collector.compilation import inlined, part
from inferspan_collector.decode.compiled.framing import BAD, content_in_place, is_value
from inferspan_collector.decode.compiled.memory import (
    byte_at,
    half_at,
    hash_of,
    integer_at,
    is_utf8,
    put_half,
    put_integer,
    same,
    same_in_place,
)
from inferspan_collector.decode.compiled.names import (
    CODED_SLOTS,
    ODD_PREDICTION,
    SLICE,
    SLICE_PREFIX_LENGTH,
    SLICE_SLOT,
    SLICES_MAX,
    SLOTS,
    find,
    is_slice_key,
)

_POSITIONS: Final = 48
"""Attributes of a record that are compared with those of the record before."""
_WORD: Final = 8
# What is remembered of the attribute at a position; the value's place comes with its length.
_ATTRIBUTE, _LENGTH, _KEY, _KEY_LENGTH, _SLOT, _VALUE, _VALUE_LENGTH = range(0, 7 * _WORD, _WORD)
_MEMO: Final = 7 * _WORD

# The places of `state`, in bytes. First what every record sets anew.
SEEN, TWICE = 0, 8
"""Bits of the slots that a record has, and that it has more than once."""
_VALUES: Final = 16
_LAST: Final = _VALUES + SLOTS * 2 * _WORD
_COUNTS: Final = _LAST + CODED_SLOTS * 3 * _WORD
_SLICES: Final = _COUNTS + CODED_SLOTS * _WORD
SLICE_COUNT: Final = _SLICES + SLICES_MAX * 2 * _WORD
_MEMOS: Final = SLICE_COUNT + _WORD
ENTRY_COUNT: Final = _MEMOS + _POSITIONS * _MEMO
"""How many distinct values there are."""
# Addresses of tables, set by `prepare`.
_NAMES, _NAME_TABLE, _ENTRIES, _ENTRIES_MAX, _TABLE, _TABLE_MASK = range(
    ENTRY_COUNT + _WORD, ENTRY_COUNT + 7 * _WORD, _WORD
)
_FREE: Final = _TABLE_MASK + _WORD
TIME_MIN, LATEST, RECEIVED, ID_LENGTH, TEXT_LENGTH, LABEL_TEXT_LENGTH, SLICE_KEYS = range(
    _FREE, _FREE + 7 * _WORD, _WORD
)
"""What a record is held to; the entry sets them. Times in Unix ns, lengths in bytes at most."""
SLICES_WRITTEN: Final = SLICE_KEYS + _WORD
"""How many slices have a column in the rows so far."""
BASE: Final = SLICES_WRITTEN + _WORD
"""Where the body starts: rows say where in it their texts stand."""
FIELDS: Final = BASE + _WORD
"""From here on, what a kind of record has beside its attributes."""
STATE_WORDS: Final = FIELDS // _WORD + 32
NO_ROOM: Final = -2
"""The code of a value for which there is no room."""
_PROBES_MAX: Final = 64
"""Who sends values that share one hash gets no more of our time than this for each."""
ENTRY_WORDS: Final = 4
"""A distinct value: its slot, where it starts, its length, its code."""


@part
def prepare(state: int, names: int, name_table: int) -> None:
    """Begin with records: `state` has `STATE_WORDS` words, the others are those of `names`."""
    for place in range(0, STATE_WORDS * _WORD, _WORD):
        put_integer(state + place, 0)
    for position in range(_POSITIONS):
        put_integer(state + _MEMOS + position * _MEMO + _LENGTH, BAD)
        put_integer(state + _MEMOS + position * _MEMO + _KEY_LENGTH, BAD)
    for slot in range(CODED_SLOTS):
        put_integer(state + _LAST + slot * 3 * _WORD + _WORD, BAD)
    put_integer(state + _NAMES, names)
    put_integer(state + _NAME_TABLE, name_table)


@part
def provide(state: int, entries: int, words: int, table: int, table_size: int) -> None:
    """Say where distinct values are kept.

    Args:
        state: see `prepare`.
        entries: room for them.
        words: how much that is.
        table: zeros, 4 bytes each, to find entries by.
        table_size: how many: a power of two, more than twice the entries.
    """
    put_integer(state + _ENTRIES, entries)
    put_integer(state + _ENTRIES_MAX, words // ENTRY_WORDS)
    put_integer(state + _TABLE, table)
    put_integer(state + _TABLE_MASK, table_size - 1)


@part
def read_attribute(start: int, end: int, position: int, state: int) -> bool:
    """Take an attribute into its slot; False where the library has to look at it."""
    length = end - start
    memo = state + _MEMOS + position * _MEMO
    known = position < _POSITIONS
    if (
        known
        and integer_at(memo + _LENGTH) == length
        and same_in_place(integer_at(memo + _ATTRIBUTE), start, length)
    ):
        slot = integer_at(memo + _SLOT)
        if slot >= 0:
            _take(slot, integer_at(memo + _VALUE), integer_at(memo + _VALUE_LENGTH), state)
        return True
    if length < 2 or byte_at(start) != 0x0A:
        return False
    key, key_end = content_in_place(start + 1, end)
    if key_end == BAD or key_end >= end or byte_at(key_end) != 0x12:
        return False
    value, value_end = content_in_place(key_end + 1, end)
    if value_end != end or not is_value(value, end):
        return False
    key_length = key_end - key
    if (
        known
        and integer_at(memo + _KEY_LENGTH) == key_length
        and same_in_place(integer_at(memo + _KEY), key, key_length)
    ):
        slot = integer_at(memo + _SLOT)
    else:
        if not is_utf8(key, key_end):
            return False
        slot = find(key, key_length, integer_at(state + _NAMES), integer_at(state + _NAME_TABLE))
        if slot == SLICE:
            slot = _slice(key + SLICE_PREFIX_LENGTH, key_end, state)
    if known:
        put_integer(memo + _ATTRIBUTE, start)
        put_integer(memo + _LENGTH, length)
        put_integer(memo + _KEY, key)
        put_integer(memo + _KEY_LENGTH, key_length)
        put_integer(memo + _SLOT, slot)
        put_integer(memo + _VALUE, value)
        put_integer(memo + _VALUE_LENGTH, end - value)
    if slot >= 0:
        _take(slot, value, end - value, state)
    return True


read_attribute_in_place = inlined(read_attribute)


@inlined
def _take(slot: int, start: int, length: int, state: int) -> None:
    seen = integer_at(state + SEEN)
    bit = 1 << slot
    put_integer(state + TWICE, integer_at(state + TWICE) | (seen & bit))
    put_integer(state + SEEN, seen | bit)
    place = state + _VALUES + slot * 2 * _WORD
    put_integer(place, start)
    put_integer(place + _WORD, length)


@part
def _slice(start: int, end: int, state: int) -> int:
    """The slot of a slice by its key, a new one where it is named for the first time."""
    count = integer_at(state + SLICE_COUNT)
    for number in range(count):
        place = state + _SLICES + number * 2 * _WORD
        if integer_at(place + _WORD) == end - start and same(integer_at(place), start, end - start):
            return SLICE_SLOT + number
    if count == SLICES_MAX or not is_slice_key(start, end, integer_at(state + TEXT_LENGTH)):
        return ODD_PREDICTION
    put_integer(state + _SLICES + count * 2 * _WORD, start)
    put_integer(state + _SLICES + count * 2 * _WORD + _WORD, end - start)
    put_integer(state + SLICE_COUNT, count + 1)
    return SLICE_SLOT + count


@part
def slice_key(number: int, state: int) -> tuple[int, int]:
    """Where a slice's key starts, and its length."""
    place = state + _SLICES + number * 2 * _WORD
    return integer_at(place), integer_at(place + _WORD)


@inlined
def has(slot: int, state: int) -> bool:
    """Whether the record has an attribute."""
    return (integer_at(state + SEEN) >> slot) & 1 == 1


@inlined
def value_of(slot: int, state: int) -> tuple[int, int]:
    """Where an attribute's value starts, beginning with its tag, and where it ends."""
    place = state + _VALUES + slot * 2 * _WORD
    start = integer_at(place)
    return start, start + integer_at(place + _WORD)


@inlined
def code_of(slot: int, state: int) -> int:
    """The code of a coded attribute: -1 = absent, or `NO_ROOM`."""
    if not has(slot, state):
        return -1
    start, end = value_of(slot, state)
    length = end - start
    last = state + _LAST + slot * 3 * _WORD
    # What was found equal to the attribute before it stands at that one's place.
    if integer_at(last + _WORD) == length and (
        integer_at(last) == start or same_in_place(integer_at(last), start, length)
    ):
        return integer_at(last + 2 * _WORD)
    code = _entry(slot, start, length, state)
    if code >= 0:
        put_integer(last, start)
        put_integer(last + _WORD, length)
        put_integer(last + 2 * _WORD, code)
    return code


@part
def _entry(slot: int, start: int, length: int, state: int) -> int:
    mask, table = integer_at(state + _TABLE_MASK), integer_at(state + _TABLE)
    entries, count = integer_at(state + _ENTRIES), integer_at(state + ENTRY_COUNT)
    place = (hash_of(start, length) + slot * 0x9E3779B1) & mask
    probes = 0
    while True:
        number = half_at(table + place * 4)
        if number == 0:
            break
        probes += 1
        if probes == _PROBES_MAX:
            return NO_ROOM
        entry = entries + (number - 1) * ENTRY_WORDS * _WORD
        if (
            integer_at(entry) == slot
            and integer_at(entry + 2 * _WORD) == length
            and same(integer_at(entry + _WORD), start, length)
        ):
            return integer_at(entry + 3 * _WORD)
        place = (place + 1) & mask
    if count == integer_at(state + _ENTRIES_MAX):
        return NO_ROOM
    code = integer_at(state + _COUNTS + slot * _WORD)
    put_integer(state + _COUNTS + slot * _WORD, code + 1)
    entry = entries + count * ENTRY_WORDS * _WORD
    put_integer(entry, slot)
    put_integer(entry + _WORD, start)
    put_integer(entry + 2 * _WORD, length)
    put_integer(entry + 3 * _WORD, code)
    put_half(table + place * 4, count + 1)
    put_integer(state + ENTRY_COUNT, count + 1)
    return code
