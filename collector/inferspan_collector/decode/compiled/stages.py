"""A stage's span, or what a prediction's span says of its phases → one row: how long steps took."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.compilation import constant, part
from inferspan_collector.decode.compiled.fields import (
    END,
    PARENT_ID,
    PARENT_ID_LENGTH,
    SPAN_ID,
    SPAN_ID_BYTES,
    START,
    TRACE_ID,
    TRACE_ID_BYTES,
    is_context,
)
from inferspan_collector.decode.compiled.memory import (
    big_endian,
    byte_at,
    integer_at,
    put_double,
    put_half,
    put_integer,
)
from inferspan_collector.decode.compiled.names import slot_of
from inferspan_collector.decode.compiled.records import NO_ROOM, SEEN, TIME_MIN, TWICE, code_of, has
from inferspan_collector.decode.compiled.values import number, text

SPAN, OWNER, START_TIME, TAKES, RECORD, PHASES, TRACE = (*range(6), 10)
"""Columns of stages, of 8 bytes a row; each phase has one, the trace ids two, pair by pair. Behind
them the codes of the stages' names, of 4 bytes, and as many bytes to fill up."""
COLUMNS: Final = TRACE + 2
CODES: Final = 2
STAGE: Final = slot_of(semconv.STAGE_NAME)
PHASE_SECONDS_MAX: Final = 9e9
"""285 years: what fits into a column of ns."""
LEFT, ROW, NOTHING = range(3)
"""What a record is: for the readers in Python, a row, or nothing that belongs to a prediction."""
_PHASES: Final = tuple(
    slot_of(name)
    for name in (
        semconv.PHASE_QUEUE_DURATION,
        semconv.PHASE_PREPROCESS_DURATION,
        semconv.PHASE_COMPUTE_DURATION,
        semconv.PHASE_POSTPROCESS_DURATION,
    )
)
_WITH_PHASES: Final = sum(1 << slot for slot in _PHASES)
_OWNER: Final = slot_of(semconv.PREDICTION_SPAN_ID)
_HEX_DIGITS: Final = constant(16)


@part
def has_phases(state: int) -> bool:
    """Whether the record that was read last says how long a phase took."""
    return integer_at(state + SEEN) & _WITH_PHASES != 0


@part
def stage_row(row: int, rows: int, record: int, state: int, columns: int) -> int:
    """Write the span that was read last as a row; says what it is.

    Args:
        row: where to write.
        rows: how long a column is.
        record: the number of the span within its request.
        state: see `records`.
        columns: where they stand.
    """
    if integer_at(state + TWICE):
        return LEFT
    if not (
        is_context(TRACE_ID, TRACE_ID_BYTES, state) and is_context(SPAN_ID, SPAN_ID_BYTES, state)
    ):
        return LEFT
    what, owner = _owner(state)
    if what != ROW:
        return what
    start, end = integer_at(state + START), integer_at(state + END)
    if start < integer_at(state + TIME_MIN) or end < start:
        return LEFT
    at, column = columns + row * 8, rows * 8
    code = code_of(STAGE, state)
    if code == NO_ROOM or not _put_phases(at, column, state):
        return LEFT
    put_integer(at + SPAN * column, big_endian(integer_at(state + SPAN_ID)))
    put_integer(at + OWNER * column, owner)
    put_integer(at + START_TIME * column, start)
    put_integer(at + TAKES * column, end - start)
    put_integer(at + RECORD * column, record)
    trace, pair = integer_at(state + TRACE_ID), columns + TRACE * column + row * 16
    put_integer(pair, big_endian(trace))
    put_integer(pair + 8, big_endian(trace + 8))
    put_half(columns + COLUMNS * column + row * 4, code)
    return ROW


@part
def _owner(state: int) -> tuple[int, int]:
    """Whether the record says of which prediction it is, as `LEFT` and its neighbours; its span."""
    if not has(STAGE, state):
        return ROW, big_endian(integer_at(state + SPAN_ID))
    if has(_OWNER, state):
        first, length = text(_OWNER, state, _HEX_DIGITS)
        owner = _hexadecimal(first, length)
        return (LEFT if owner == 0 else ROW), owner
    if integer_at(state + PARENT_ID_LENGTH) == 0:
        return NOTHING, 0
    if not is_context(PARENT_ID, SPAN_ID_BYTES, state):
        return LEFT, 0
    return ROW, big_endian(integer_at(state + PARENT_ID))


@part
def _hexadecimal(first: int, length: int) -> int:
    """Sixteen hexadecimal digits as an integer, in two's complement; 0 for anything else."""
    if length != _HEX_DIGITS:
        return 0
    value = 0
    for place in range(first, first + length):
        digit = byte_at(place)
        if digit >= 0x30 and digit <= 0x39:
            digit -= 0x30
        elif digit >= 0x61 and digit <= 0x66:
            digit -= 0x61 - 10
        else:
            return 0
        value = (value << 4) | digit
    return value


@part
def _put_phases(at: int, column: int, state: int) -> bool:
    place = PHASES
    for slot in _PHASES:
        seconds = np.nan
        if has(slot, state):
            seconds, good = number(slot, state)
            if not (good and seconds >= 0.0 and seconds <= PHASE_SECONDS_MAX):
                return False
        put_double(at + place * column, seconds)
        place += 1
    return True
