"""An ordinary prediction span → one row: one prediction, in the types of the vocabulary."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.compilation import part
from inferspan_collector.decode.compiled.fields import (
    END,
    KIND,
    SPAN_ID,
    SPAN_ID_BYTES,
    START,
    STATUS,
    TRACE_ID,
    TRACE_ID_BYTES,
    is_context,
)
from inferspan_collector.decode.compiled.framing import BAD
from inferspan_collector.decode.compiled.memory import (
    big_endian,
    double_at,
    integer_at,
    put_byte,
    put_double,
    put_half,
    put_integer,
)
from inferspan_collector.decode.compiled.names import (
    CODED_SLOTS,
    ODD_PREDICTION,
    SLICE_SLOT,
    slot_of,
)
from inferspan_collector.decode.compiled.records import (
    BASE,
    ID_LENGTH,
    LATEST,
    NO_ROOM,
    RECEIVED,
    SLICE_COUNT,
    SLICE_KEYS,
    SLICES_WRITTEN,
    TEXT_LENGTH,
    TIME_MIN,
    TWICE,
    code_of,
    has,
)
from inferspan_collector.decode.compiled.values import (
    array,
    doubles_count,
    entries_start,
    integer,
    number,
    octets,
    text,
    texts_count,
)

(
    EVENT_TIME,
    START_TIME,
    TAKES,
    SPAN,
    RECORD,
    ID_START,
    ID_BYTES,
    RESOURCE,
    FAILED,
    SKEWED,
    FEATURE_BYTES,
    CATEGORIES,
    PROBABILITIES,
    PROBABILITIES_START,
    FEATURE_START,
    CATEGORY_START,
    CATEGORY_BYTES,
    SCORE,
    VALUE,
    ADJUSTED_COUNT,
    KIND_BYTES,
    TRACE,
) = range(22)
"""Columns of predictions, of 8 bytes a row; the trace ids take two, pair by pair. Of features and
probabilities, how much of them came: -1 = none; of features, where they are. Behind them `CODES`
columns of 4 bytes, by slot."""
COLUMNS: Final = TRACE + 2
CODES: Final = CODED_SLOTS
CODED_OF_PREDICTIONS: Final = slot_of(semconv.OUTPUT_CLASSES) + 1
"""The slots below are read of predictions."""

_ID, _EVENT_TIME, _SCORE, _VALUE, _ADJUSTED, _COUNT = (
    slot_of(name)
    for name in (
        semconv.PREDICTION_ID,
        semconv.EVENT_TIME_UNIX_NANO,
        semconv.OUTPUT_SCORE,
        semconv.OUTPUT_VALUE,
        semconv.SAMPLING_ADJUSTED_COUNT,
        semconv.PREDICTION_COUNT,
    )
)
_FEATURE_NAMES, _FEATURE_DATA, _CATEGORY_NAMES, _CATEGORY_VALUES = (
    slot_of(name)
    for name in (
        semconv.FEATURE_NAMES,
        semconv.FEATURE_DATA,
        semconv.FEATURE_CATEGORY_NAMES,
        semconv.FEATURE_CATEGORY_VALUES,
    )
)
_PROBABILITIES, _CLASSES, _CLASS = (
    slot_of(name)
    for name in (semconv.OUTPUT_PROBABILITIES, semconv.OUTPUT_CLASSES, semconv.OUTPUT_CLASS)
)
_MODEL, _OPERATION = slot_of(semconv.MODEL_NAME), slot_of(semconv.OPERATION_NAME)
_ENTITY_ID, _RESPONSE_ID = slot_of(semconv.ENTITY_ID), slot_of(semconv.GEN_AI_RESPONSE_ID)
_STATUS_ERROR: Final = 2


@part
def prediction_row(
    row: int, rows: int, record: int, resource: int, state: int, columns: int
) -> bool:
    """Write the span that was read last as a row; False where it is for the readers in Python.

    Args:
        row: where to write.
        rows: how long a column is.
        record: the number of the span within its request.
        resource: the number of its resource.
        state: see `records`.
        columns: where they stand.
    """
    at, column = columns + row * 8, rows * 8
    if integer_at(state + TWICE) or has(ODD_PREDICTION, state):
        return False
    if has(_ENTITY_ID, state) or has(_RESPONSE_ID, state):
        return False
    if not (has(_MODEL, state) and has(_OPERATION, state) and has(_ID, state)):
        return False
    if not (
        is_context(TRACE_ID, TRACE_ID_BYTES, state) and is_context(SPAN_ID, SPAN_ID_BYTES, state)
    ):
        return False
    first, length = text(_ID, state, integer_at(state + ID_LENGTH))
    if length <= 0 or not _put_times(at, column, state):
        return False
    if has(_COUNT, state):
        count, good = integer(_COUNT, state)
        if not good or count != 1:
            return False
    put_integer(at + ID_START * column, first - integer_at(state + BASE))
    put_integer(at + ID_BYTES * column, length)
    put_integer(at + RECORD * column, record)
    put_integer(at + RESOURCE * column, resource)
    put_integer(at + FAILED * column, integer_at(state + STATUS) == _STATUS_ERROR)
    put_byte(columns + KIND_BYTES * column + row, integer_at(state + KIND))
    span, trace = integer_at(state + SPAN_ID), integer_at(state + TRACE_ID)
    put_integer(at + SPAN * column, big_endian(span))
    pair = columns + TRACE * column + row * 16
    put_integer(pair, big_endian(trace))
    put_integer(pair + 8, big_endian(trace + 8))
    return (
        _put_numbers(at, column, state)
        and _put_lengths(at, column, state)
        and _put_codes(row, columns + COLUMNS * column, rows, state)
    )


@part
def _put_times(at: int, column: int, state: int) -> bool:
    start, end = integer_at(state + START), integer_at(state + END)
    earliest = integer_at(state + TIME_MIN)
    if start < earliest or end < start:
        return False
    time = start
    if has(_EVENT_TIME, state):
        time, good = integer(_EVENT_TIME, state)
        if not good or time < earliest:
            return False
    skewed = time > integer_at(state + LATEST)
    put_integer(at + EVENT_TIME * column, integer_at(state + RECEIVED) if skewed else time)
    put_integer(at + SKEWED * column, skewed)
    put_integer(at + START_TIME * column, start)
    put_integer(at + TAKES * column, end - start)
    return True


@part
def _put_numbers(at: int, column: int, state: int) -> bool:
    score, value, adjusted, good = np.nan, np.nan, 1.0, True
    if has(_SCORE, state):
        score, good = number(_SCORE, state)
        if not good:
            return False
    if has(_VALUE, state):
        value, good = number(_VALUE, state)
        if not good:
            return False
    if has(_ADJUSTED, state):
        adjusted, good = number(_ADJUSTED, state)
        if not good or not adjusted >= 1.0:
            return False
    put_double(at + SCORE * column, score)
    put_double(at + VALUE * column, value)
    put_double(at + ADJUSTED_COUNT * column, adjusted)
    return True


@part
def _put_lengths(at: int, column: int, state: int) -> bool:
    """How many features and probabilities came: whether that is right, their names will say."""
    features = categories = probabilities = -1
    place = 0
    if has(_FEATURE_NAMES, state) != has(_FEATURE_DATA, state):
        return False
    if has(_CATEGORY_NAMES, state) != has(_CATEGORY_VALUES, state):
        return False
    if has(_FEATURE_DATA, state):
        first, features = octets(_FEATURE_DATA, state)
        if features == BAD:
            return False
        put_integer(at + FEATURE_START * column, first - integer_at(state + BASE))
    if has(_CATEGORY_VALUES, state):
        categories = texts_count(_CATEGORY_VALUES, state, integer_at(state + TEXT_LENGTH))
        if categories == BAD:
            return False
        first, length = array(_CATEGORY_VALUES, state)
        put_integer(at + CATEGORY_START * column, first - integer_at(state + BASE))
        put_integer(at + CATEGORY_BYTES * column, length)
    if has(_PROBABILITIES, state):
        probabilities = doubles_count(_PROBABILITIES, state)
        # Without a class or a score of its own, the prediction's follow from them.
        stated = has(_CLASS, state) and not np.isnan(double_at(at + SCORE * column))
        if probabilities == BAD or not stated or not has(_CLASSES, state):
            return False
        place = entries_start(_PROBABILITIES, state) - integer_at(state + BASE)
    put_integer(at + FEATURE_BYTES * column, features)
    put_integer(at + CATEGORIES * column, categories)
    put_integer(at + PROBABILITIES * column, probabilities)
    put_integer(at + PROBABILITIES_START * column, place)
    return True


@part
def _put_codes(row: int, codes: int, rows: int, state: int) -> bool:
    at = codes + row * 4
    known = integer_at(state + SLICE_COUNT)
    # A slice that is named for the first time is absent in the rows before.
    for slot in range(SLICE_SLOT + integer_at(state + SLICES_WRITTEN), SLICE_SLOT + known):
        for earlier in range(row):
            put_half(codes + (slot * rows + earlier) * 4, -1)
    put_integer(state + SLICES_WRITTEN, known)
    slices = 0
    for slot in range(SLICE_SLOT + known):
        if slot >= CODED_OF_PREDICTIONS and slot < SLICE_SLOT:
            continue
        code = code_of(slot, state)
        if code == NO_ROOM:
            return False
        slices += slot >= SLICE_SLOT and code >= 0
        put_half(at + slot * rows * 4, code)
    return slices <= integer_at(state + SLICE_KEYS)
