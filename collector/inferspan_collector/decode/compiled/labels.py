"""An ordinary label, of a span or a log record → one row: one truth about one prediction."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.compilation import constant, part
from inferspan_collector.decode.compiled.fields import (
    SPAN_ID_BYTES,
    TRACE_ID_BYTES,
    is_context,
)
from inferspan_collector.decode.compiled.framing import BAD
from inferspan_collector.decode.compiled.memory import (
    big_endian,
    half_at,
    integer_at,
    is_plain,
    put_double,
    put_half,
    put_integer,
)
from inferspan_collector.decode.compiled.names import ODD_LABEL, slot_of
from inferspan_collector.decode.compiled.records import (
    BASE,
    ID_LENGTH,
    LABEL_TEXT_LENGTH,
    LATEST,
    NO_ROOM,
    RECEIVED,
    TEXT_LENGTH,
    TWICE,
    code_of,
    has,
)
from inferspan_collector.decode.compiled.values import integer, number, text

(
    REVISION,
    INDEX,
    LINK_SPAN,
    TIME,
    RECORD,
    RESOURCE,
    DELETED,
    SKEWED,
    VALUED,
    LABEL_ID,
    PREDICTION_ID,
    RESPONSE_ID,
    ENTITY_ID,
    FREE_TEXT,
    LINK_TRACE,
    VALUE,
    WEIGHT,
) = (*range(9), *range(9, 21, 2), 21, 22)
"""Columns of labels, of 8 bytes a row; of a text two, where it starts and its length; of the trace
ids two, pair by pair. Behind them `CODES` columns of 4 bytes, by slot."""
COLUMNS: Final = WEIGHT + 1
CODED_OF_LABELS: Final = tuple(
    slot_of(name)
    for name in (
        semconv.MODEL_NAME,
        semconv.MODEL_VERSION,
        semconv.TARGET_NAME,
        semconv.TARGET_KIND,
        semconv.LABEL_CLASS,
        semconv.LABEL_SOURCE,
        semconv.LABEL_ANNOTATOR_KIND,
    )
)
"""The slots whose codes are read of labels."""
CODES: Final = max(CODED_OF_LABELS) + 1
INDEX_MAX: Final = 2**31 - 1
_LABEL_ID, _PREDICTION_ID, _RESPONSE_ID, _ENTITY_ID, _TEXT, _MODEL, _CLASS, _VALUE = (
    slot_of(name)
    for name in (
        semconv.LABEL_ID,
        semconv.PREDICTION_ID,
        semconv.GEN_AI_RESPONSE_ID,
        semconv.ENTITY_ID,
        semconv.LABEL_TEXT,
        semconv.MODEL_NAME,
        semconv.LABEL_CLASS,
        semconv.LABEL_VALUE,
    )
)
_TIME, _REVISION, _INDEX, _WEIGHT, _ACTION = (
    slot_of(name)
    for name in (
        semconv.LABEL_TIME_UNIX_NANO,
        semconv.LABEL_REVISION,
        semconv.PREDICTION_INDEX,
        semconv.LABEL_WEIGHT,
        semconv.LABEL_ACTION,
    )
)
_ACTION_LENGTH: Final = constant(6)
_UPSERT, _DELETE = (int.from_bytes(action[:4], "little") for action in (b"upsert", b"delete"))
_UPSERT_END, _DELETE_END = (int.from_bytes(end, "little") for end in (b"sert", b"lete"))


@part
def label_row(
    row: int,
    rows: int,
    record: int,
    resource: int,
    link: tuple[int, int],
    state: int,
    columns: int,
) -> bool:
    """Write the record that was read last as a row; False where it is for the readers in Python.

    Args:
        row: where to write.
        rows: how long a column is.
        record: the number of the record within its request.
        resource: the number of its resource.
        link: the fields of the state that hold the trace and span id it is about; (0, 0) = none.
        state: see `records`.
        columns: where they stand.
    """
    at, column = columns + row * 8, rows * 8
    if integer_at(state + TWICE) or has(ODD_LABEL, state) or not has(_LABEL_ID, state):
        return False
    linked = link[0] != 0
    trace_high = trace_low = span = 0
    if linked:
        if not (
            is_context(link[0], TRACE_ID_BYTES, state) and is_context(link[1], SPAN_ID_BYTES, state)
        ):
            return False
        trace = integer_at(state + link[0])
        trace_high, trace_low = big_endian(trace), big_endian(trace + 8)
        span = big_endian(integer_at(state + link[1]))
    elif not (has(_MODEL, state) and has(_PREDICTION_ID, state)):
        return False
    deleted = _action(state)
    if deleted == BAD or not _put_truth(at, column, deleted, state):
        return False
    put_integer(at + RECORD * column, record)
    put_integer(at + RESOURCE * column, resource)
    put_integer(at + DELETED * column, deleted)
    put_integer(at + LINK_SPAN * column, span)
    pair = columns + LINK_TRACE * column + row * 16
    put_integer(pair, trace_high)
    put_integer(pair + 8, trace_low)
    return (
        _put_ids(at, column, linked, state)
        and _put_numbers(at, column, state)
        and _put_codes(columns + COLUMNS * column + row * 4, rows, deleted, state)
    )


@part
def _action(state: int) -> int:
    """1 for a label that is taken back, 0 for any other."""
    if not has(_ACTION, state):
        return 0
    first, length = text(_ACTION, state, _ACTION_LENGTH)
    if length != _ACTION_LENGTH:
        return BAD if length else 0
    end = half_at(first + _ACTION_LENGTH - 4)
    if half_at(first) == _UPSERT and end == _UPSERT_END:
        return 0
    return 1 if half_at(first) == _DELETE and end == _DELETE_END else BAD


@part
def _put_truth(at: int, column: int, deleted: int, state: int) -> bool:
    """One class, or one number, or neither beside a text; nothing is read of what is deleted."""
    value, valued, free, length = np.nan, False, 0, 0
    if deleted == 0:
        if has(_TEXT, state):
            free, length = text(_TEXT, state, integer_at(state + LABEL_TEXT_LENGTH))
            if length == BAD:
                return False
        if has(_VALUE, state):
            value, valued = number(_VALUE, state)
            if not valued or np.isnan(value):
                return False
        if has(_CLASS, state) == valued and (valued or length == 0):
            return False
    put_double(at + VALUE * column, value)
    put_integer(at + VALUED * column, valued)
    _put_text(at + FREE_TEXT * column, column, free, length, state)
    return True


@part
def _put_ids(at: int, column: int, linked: bool, state: int) -> bool:
    most = integer_at(state + ID_LENGTH)
    first, length = text(_LABEL_ID, state, most)
    if length <= 0:
        return False
    _put_text(at + LABEL_ID * column, column, first, length, state)
    first, length = _optional(_PREDICTION_ID, most, state)
    if length == BAD or (length == 0 and not linked):
        return False
    _put_text(at + PREDICTION_ID * column, column, first, length, state)
    first, length = _optional(_ENTITY_ID, most, state)
    if length == BAD:
        return False
    _put_text(at + ENTITY_ID * column, column, first, length, state)
    first, length = _optional(_RESPONSE_ID, integer_at(state + TEXT_LENGTH), state)
    if length == BAD or not is_plain(first, first + length):
        return False
    _put_text(at + RESPONSE_ID * column, column, first, length, state)
    return True


@part
def _put_text(at: int, column: int, first: int, length: int, state: int) -> None:
    put_integer(at, first - integer_at(state + BASE) if length else 0)
    put_integer(at + column, length)


@part
def _optional(slot: int, length_max: int, state: int) -> tuple[int, int]:
    if has(slot, state):
        return text(slot, state, length_max)
    return 0, 0


@part
def _put_numbers(at: int, column: int, state: int) -> bool:
    revision = index = 0
    weight, good, skewed, time = 1.0, True, False, integer_at(state + RECEIVED)
    if has(_REVISION, state):
        revision, good = integer(_REVISION, state)
        if not good or revision < 0:
            return False
    if has(_INDEX, state):
        index, good = integer(_INDEX, state)
        if not good or index < 0 or index > INDEX_MAX:
            return False
    if has(_WEIGHT, state):
        weight, good = number(_WEIGHT, state)
        if not good or not weight > 0.0:
            return False
    if has(_TIME, state):
        given, good = integer(_TIME, state)
        if not good or given < 1:
            return False
        # A time ahead of us would win over every later correction.
        skewed = given > integer_at(state + LATEST)
        if not skewed:
            time = given
    put_integer(at + REVISION * column, revision)
    put_integer(at + INDEX * column, index)
    put_integer(at + TIME * column, time)
    put_integer(at + SKEWED * column, skewed)
    put_double(at + WEIGHT * column, weight)
    return True


@part
def _put_codes(at: int, rows: int, deleted: int, state: int) -> bool:
    for slot in CODED_OF_LABELS:
        code = -1 if deleted and slot == _CLASS else code_of(slot, state)
        if code == NO_ROOM:
            return False
        put_half(at + slot * rows * 4, code)
    return True
