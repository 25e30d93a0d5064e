"""The attributes that a prediction or a label is read from, numbered: the slots of a record."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Int64, UInt8
from inferspan_collector.compilation import constant, part
from inferspan_collector.decode.compiled.memory import byte_at, integer_at, same, word_at

CODED: Final = (
    semconv.OPERATION_NAME,
    semconv.MODEL_NAME,
    semconv.MODEL_VERSION,
    semconv.MODEL_VARIANT,
    semconv.TASK_TYPE,
    semconv.OUTPUT_POSITIVE_CLASS,
    semconv.ERROR_TYPE,
    semconv.OUTPUT_CLASS,
    semconv.FEATURE_NAMES,
    semconv.FEATURE_CATEGORY_NAMES,
    semconv.OUTPUT_CLASSES,
    semconv.TARGET_NAME,
    semconv.TARGET_KIND,
    semconv.LABEL_CLASS,
    semconv.LABEL_SOURCE,
    semconv.LABEL_ANNOTATOR_KIND,
    semconv.STAGE_NAME,
)
"""Attributes with few distinct values; their slots are their places here. Rows hold codes of them,
and what a value means is asked once per distinct value, of the readers in Python."""
SLICE_SLOT: Final = constant(len(CODED))
"""The slot of the first slice that a request names."""
SLICES_MAX: Final = 19
"""Different slices that are read of one request; spans that name more are left to the library."""
CODED_SLOTS: Final = SLICE_SLOT + SLICES_MAX
_SINGLE: Final = (
    semconv.PREDICTION_ID,
    semconv.EVENT_TIME_UNIX_NANO,
    semconv.OUTPUT_SCORE,
    semconv.OUTPUT_VALUE,
    semconv.SAMPLING_ADJUSTED_COUNT,
    semconv.PREDICTION_COUNT,
    semconv.FEATURE_DATA,
    semconv.FEATURE_CATEGORY_VALUES,
    semconv.OUTPUT_PROBABILITIES,
    semconv.PREDICTION_SPAN_ID,
    semconv.PHASE_QUEUE_DURATION,
    semconv.PHASE_PREPROCESS_DURATION,
    semconv.PHASE_COMPUTE_DURATION,
    semconv.PHASE_POSTPROCESS_DURATION,
    semconv.EVENT_NAME,
    semconv.LABEL_ID,
    semconv.PREDICTION_INDEX,
    semconv.GEN_AI_RESPONSE_ID,
    semconv.ENTITY_ID,
    semconv.LABEL_TEXT,
    semconv.LABEL_VALUE,
    semconv.LABEL_TIME_UNIX_NANO,
    semconv.LABEL_REVISION,
    semconv.LABEL_ACTION,
    semconv.LABEL_WEIGHT,
)
_SLOT_OF: Final = {
    name: constant(slot)
    for slot, name in [*enumerate(CODED), *enumerate(_SINGLE, start=CODED_SLOTS)]
}
ODD_PREDICTION: Final = constant(CODED_SLOTS + len(_SINGLE))
"""The slot of whatever makes a prediction one for the readers in Python: batches, sets, slices that
are not read."""
ODD_LABEL: Final = constant(ODD_PREDICTION + 1)
SLOTS: Final = ODD_LABEL + 1
_SLOT_OF.update(
    dict.fromkeys(
        (
            semconv.PREDICTION_IDS,
            semconv.OUTPUT_CLASSES_PREDICTED,
            semconv.OUTPUT_SCORES,
            semconv.OUTPUT_VALUES,
        ),
        ODD_PREDICTION,
    )
)
_SLOT_OF.update(
    dict.fromkeys(
        (semconv.LABEL_CLASSES, semconv.LABEL_VALUES, semconv.PREDICTION_ITEM_ID), ODD_LABEL
    )
)
UNKNOWN: Final = -1
SLICE: Final = -2
"""The name of a slice: which one, `records` finds out."""
_PREFIX: Final = semconv.SLICE_PREFIX.encode()
SLICE_PREFIX_LENGTH: Final = constant(len(_PREFIX))
_TABLE_SIZE: Final = 256
_ENTRY: Final = 3
NAME_LENGTH_MIN: Final = 8


def slot_of(name: str) -> int:
    """The slot of an attribute."""
    return _SLOT_OF[name]


def is_known(name: str) -> bool:
    """Whether an attribute has a slot."""
    return name in _SLOT_OF


def _place_of(text: bytes) -> int:
    first, last = (int.from_bytes(word, "little") for word in (text[:8], text[-8:]))
    mixed = (first * 0x9E3779B97F4A7C15 ^ last * 0xC2B2AE3D27D4EB4F) % 2**64
    return (mixed >> 40 ^ len(text)) % _TABLE_SIZE


def _tables() -> tuple[UInt8, Int64]:
    names = [name.encode() for name in _SLOT_OF]
    if min(map(len, names)) < NAME_LENGTH_MIN or SLOTS > 63:
        raise AssertionError("names are found by their words of 8 bytes, and slots are bits of one")
    table = np.full((_TABLE_SIZE, _ENTRY), UNKNOWN, np.int64)
    offset = len(_PREFIX)
    for text, slot in zip(names, _SLOT_OF.values(), strict=True):
        place = _place_of(text)
        while table[place, 0] != UNKNOWN:
            place = (place + 1) % _TABLE_SIZE
        table[place] = offset, len(text), slot
        offset += len(text)
    return np.frombuffer(b"".join([_PREFIX, *names]), np.uint8), table


TEXT, TABLE = _tables()
"""The prefix of slices and all names behind each other, and where each name stands in them:
[offset, length, slot]."""


@part
def find(start: int, length: int, text: int, table: int) -> int:
    """The slot of a name; `UNKNOWN` for what is not read, `SLICE` for that of a slice."""
    if length < NAME_LENGTH_MIN:
        return UNKNOWN
    if length >= SLICE_PREFIX_LENGTH and same(text, start, SLICE_PREFIX_LENGTH):
        return SLICE
    first, last = word_at(start), word_at(start + length - 8)
    mixed = first * np.uint64(0x9E3779B97F4A7C15) ^ last * np.uint64(0xC2B2AE3D27D4EB4F)
    place = (int(np.int64(mixed >> np.uint64(40))) ^ length) % _TABLE_SIZE
    while True:
        entry = table + place * _ENTRY * 8
        offset = integer_at(entry)
        if offset == UNKNOWN:
            return UNKNOWN
        if integer_at(entry + 8) == length and same(text + offset, start, length):
            return integer_at(entry + 16)
        place = (place + 1) % _TABLE_SIZE


@part
def is_slice_key(start: int, end: int, length_max: int) -> bool:
    """Whether a slice of this key is read: no dot, and not empty or longer than that."""
    for place in range(start, end):
        if byte_at(place) == 0x2E:
            return False
    return 0 < end - start <= length_max
