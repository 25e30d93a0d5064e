"""The records of a request → rows, one by one; what is out of the ordinary stays behind."""

from __future__ import annotations

from typing import Final

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Int32, Int64, UInt8
from inferspan_collector.compilation import constant, entry, part
from inferspan_collector.decode.compiled import names
from inferspan_collector.decode.compiled.fields import (
    EVENT,
    EVENT_LENGTH,
    LINK_SPAN_ID,
    LINK_TRACE_ID,
    LINKS,
    NONE,
    SPAN_ID,
    SPAN_ID_LENGTH,
    TRACE_ID,
    TRACE_ID_LENGTH,
    read_log,
    read_span,
)
from inferspan_collector.decode.compiled.framing import BAD
from inferspan_collector.decode.compiled.labels import CODED_OF_LABELS, label_row
from inferspan_collector.decode.compiled.labels import COLUMNS as LABEL_COLUMNS
from inferspan_collector.decode.compiled.labels import SKEWED as SKEWED_LABEL
from inferspan_collector.decode.compiled.memory import (
    address_of,
    copy,
    integer_at,
    put_integer,
    same,
)
from inferspan_collector.decode.compiled.names import SLICE_SLOT, SLICES_MAX, slot_of
from inferspan_collector.decode.compiled.predictions import CODED_OF_PREDICTIONS, prediction_row
from inferspan_collector.decode.compiled.predictions import COLUMNS as PREDICTION_COLUMNS
from inferspan_collector.decode.compiled.predictions import FAILED as FAILED_ROW
from inferspan_collector.decode.compiled.predictions import SKEWED as SKEWED_ROW
from inferspan_collector.decode.compiled.records import (
    BASE,
    ENTRY_COUNT,
    ENTRY_WORDS,
    SEEN,
    SLICES_WRITTEN,
    TIME_MIN,
    has,
    prepare,
    provide,
    slice_key,
)
from inferspan_collector.decode.compiled.stages import COLUMNS as STAGE_COLUMNS
from inferspan_collector.decode.compiled.stages import LEFT as STAGE_LEFT
from inferspan_collector.decode.compiled.stages import NOTHING as NO_STAGE
from inferspan_collector.decode.compiled.stages import ROW as STAGE_ROW
from inferspan_collector.decode.compiled.stages import STAGE, has_phases, stage_row
from inferspan_collector.decode.compiled.values import text
from inferspan_collector.decode.compiled.wording import (
    VALUES_MAX,
    is_in_order,
    of_slot,
    recode,
    sort,
    write,
)

LEFT, FOREIGN, MAPPED, OURS, LABELS, IGNORED, EVENTS = range(7)
"""What becomes of the records of a scope: they are left to the library; are predictions where they
say that and the model, else nothing to us, or left to be mapped; are predictions or stages; are
labels; are nothing to us; or are labels where the event they record is called so."""
(
    PREDICTION_ROWS,
    LABEL_ROWS,
    STAGE_ROWS,
    IGNORED_RECORDS,
    SKEWED_PREDICTIONS,
    SKEWED_LABELS,
    FAILED_PREDICTIONS,
    SEEN_OF_PREDICTIONS,
    SEEN_OF_LABELS,
    ENTRIES,
    TEXT_BYTES,
    SLICES,
    SLICE_PLACES,
) = range(13)
"""What is counted, and the slots that predictions and labels have, as bits. Behind it, where the
key of each slice starts in the body, and its length."""
COUNTS: Final = SLICE_PLACES + 2 * SLICES_MAX
WAITING: Final = 2
"""In `taken`: a well-formed span of others that a mapping may take; `foreign` decides about it."""
_AS_LABEL, _AS_NOTHING, _AS_PREDICTION, _AS_STAGE, _STAYS = range(5)
_MODEL, _OPERATION, _EVENT_NAME = (
    slot_of(name)
    for name in (
        semconv.MODEL_NAME,
        semconv.OPERATION_NAME,
        semconv.EVENT_NAME,
    )
)
_EVENT_LENGTH_MAX: Final = constant(2**31)
VOCABULARY: Final = (
    names.TEXT,
    names.TABLE,
    np.frombuffer((semconv.EVENT_LABEL + semconv.EVENT_EVALUATION_RESULT).encode(), np.uint8),
)
"""The names that the scanner knows: of attributes, and of events."""
_LABEL_LENGTH: Final = len(semconv.EVENT_LABEL)
_EVALUATION_LENGTH: Final = len(semconv.EVENT_EVALUATION_RESULT)


@entry
def scan(
    body: UInt8,
    places: Int64,
    scopes: Int32,
    scope_table: Int64,
    first: int,
    last: int,
    limits: Int64,
    vocabulary: tuple[UInt8, Int64, UInt8],
    rows: int,
    columns: tuple[Int64, Int64, Int64],
    distinct: tuple[Int64, Int32, UInt8],
    memory: Int64,
    taken: UInt8,
    counts: Int64,
) -> None:
    """Make rows of records `first` to `last` of a request.

    Args:
        body: the request.
        places: where its records start and end, [2, records].
        scopes: the number of the scope of each.
        scope_table: what becomes of the records of each scope, and its resource, [2, scopes].
        first: the first record to read.
        last: the one behind the last.
        limits: what records are held to, in the order of `records.TIME_MIN` and its neighbours.
        vocabulary: `VOCABULARY`.
        rows: how long a column is: even, and no fewer than the records to read.
        columns: room for those of predictions, of labels, of stages. Written, as is all below.
        distinct: room for distinct values (slot, place in the body, length, code); zeros to find
            them by, a power of two and more than twice as many; room for their text.
        memory: room for `STATE_WORDS`.
        taken: of each record, whether it was taken: as a row, or to be ignored; or it is `WAITING`.
        counts: see `PREDICTION_ROWS`.
    """
    # Of the caller's: what is made here is given back once only its address is used.
    base, state = address_of(body), address_of(memory)
    _begin(state, base, limits, vocabulary, distinct)
    predictions, labels, stages = _addresses(columns)
    prediction = label = stage = ignored = seen = seen_of_labels = NONE
    for record in range(first, last):
        fate, resource = scope_table[0, scopes[record]], scope_table[1, scopes[record]]
        if fate == LEFT or not _read(fate, base, places, record, state):
            continue
        role, good = _role(fate, state, address_of(vocabulary[2])), True
        ignored += role == _AS_NOTHING
        if role == _AS_PREDICTION:
            good = prediction_row(prediction, rows, record, resource, state, predictions)
            if good and has_phases(state):
                good = stage_row(stage, rows, record, state, stages) == STAGE_ROW
                stage += good
            prediction += good
            seen |= integer_at(state + SEEN) * good
        elif role == _AS_STAGE:
            what = stage_row(stage, rows, record, state, stages)
            stage, ignored = stage + (what == STAGE_ROW), ignored + (what == NO_STAGE)
            good = what != STAGE_LEFT
        elif role == _AS_LABEL:
            link = _link(fate, state)
            good = link[1] != BAD and label_row(label, rows, record, resource, link, state, labels)
            label += good
            seen_of_labels |= integer_at(state + SEEN) * good
        taken[record] = good and role != _STAYS
        if good and fate == MAPPED and role == _STAYS:
            taken[record] = WAITING
    counts[PREDICTION_ROWS], counts[LABEL_ROWS] = prediction, label
    counts[SEEN_OF_PREDICTIONS], counts[SEEN_OF_LABELS] = seen, seen_of_labels
    counts[IGNORED_RECORDS], counts[STAGE_ROWS] = ignored, stage
    _put_in_order(address_of(distinct[0]), columns, counts, rows, state)
    _end(base, state, rows, predictions, prediction, labels, label, distinct, counts)


@part
def _addresses(columns: tuple[Int64, Int64, Int64]) -> tuple[int, int, int]:
    return address_of(columns[0]), address_of(columns[1]), address_of(columns[2])


@part
def _begin(
    state: int,
    base: int,
    limits: Int64,
    vocabulary: tuple[UInt8, Int64, UInt8],
    distinct: tuple[Int64, Int32, UInt8],
) -> None:
    prepare(state, address_of(vocabulary[0]), address_of(vocabulary[1]))
    entries, table = distinct[0], distinct[1]
    provide(state, address_of(entries), len(entries), address_of(table), len(table))
    put_integer(state + BASE, base)
    copy(address_of(limits), state + TIME_MIN, len(limits) * 8)


@part
def _end(
    base: int,
    state: int,
    rows: int,
    predictions: int,
    prediction: int,
    labels: int,
    label: int,
    distinct: tuple[Int64, Int32, UInt8],
    counts: Int64,
) -> None:
    """Tell what the rows hold."""
    entries, found = address_of(distinct[0]), integer_at(state + ENTRY_COUNT)
    counts[TEXT_BYTES] = write(entries, found, address_of(distinct[2]))
    _count_marks(predictions, prediction, labels, label, rows, address_of(counts))
    _tell_distinct(base, state, entries, address_of(counts))


@part
def _put_in_order(
    entries: int, columns: tuple[Int64, Int64, Int64], counts: Int64, rows: int, state: int
) -> None:
    """Sort the distinct values, and give rows their codes; what was read last is lost by that."""
    found, slices = integer_at(state + ENTRY_COUNT), integer_at(state + SLICES_WRITTEN)
    if found > VALUES_MAX:
        return
    predictions, labels = address_of(columns[0]), address_of(columns[1])
    sort(entries, found)
    first = NONE
    while first < found:
        last = of_slot(entries, first, found)
        if not is_in_order(entries, first, last):
            slot = integer_at(entries + first * ENTRY_WORDS * 8)
            if slot < CODED_OF_PREDICTIONS or SLICE_SLOT <= slot < SLICE_SLOT + slices:
                codes = predictions + (PREDICTION_COLUMNS * 8 + slot * 4) * rows
                recode(entries, first, last, codes, counts[PREDICTION_ROWS], state)
            for known in CODED_OF_LABELS:
                if slot == known:
                    codes = labels + (LABEL_COLUMNS * 8 + slot * 4) * rows
                    recode(entries, first, last, codes, counts[LABEL_ROWS], state)
            if slot == STAGE:
                codes = address_of(columns[2]) + STAGE_COLUMNS * 8 * rows
                recode(entries, first, last, codes, counts[STAGE_ROWS], state)
        first = last


@part
def _role(fate: int, state: int, event_names: int) -> int:
    """What the record that was read last is to us."""
    if fate == LABELS:
        return _AS_LABEL
    if fate == IGNORED:
        return _AS_NOTHING
    if fate == EVENTS:
        return _role_of_event(state, event_names)
    if has(STAGE, state):
        return _AS_STAGE
    both = has(_OPERATION, state) and has(_MODEL, state)
    if both or (fate == OURS and (has(_OPERATION, state) or has(_MODEL, state))):
        return _AS_PREDICTION
    return _STAYS if fate == MAPPED else _AS_NOTHING


@part
def _role_of_event(state: int, event_names: int) -> int:
    start, length = integer_at(state + EVENT), integer_at(state + EVENT_LENGTH)
    if length == 0 and has(_EVENT_NAME, state):
        start, length = text(_EVENT_NAME, state, _EVENT_LENGTH_MAX)
        if length == BAD:
            return _STAYS
    if length == _LABEL_LENGTH and same(start, event_names, length):
        return _AS_LABEL
    if length == _EVALUATION_LENGTH and same(start, event_names + _LABEL_LENGTH, length):
        return _STAYS
    return _AS_NOTHING


@part
def _read(fate: int, base: int, places: Int64, record: int, state: int) -> bool:
    start, end = base + places[0, record], base + places[1, record]
    return read_log(start, end, state) if fate == EVENTS else read_span(start, end, state)


@part
def _link(fate: int, state: int) -> tuple[int, int]:
    return _link_of_log(state) if fate == EVENTS else _link_of_span(state)


@part
def _link_of_span(state: int) -> tuple[int, int]:
    """The fields that hold what a label is about; (0, 0) = nothing, `BAD` where several do."""
    links = integer_at(state + LINKS)
    if links == 0:
        return 0, 0
    return LINK_TRACE_ID, LINK_SPAN_ID if links == 1 else BAD


@part
def _link_of_log(state: int) -> tuple[int, int]:
    """The same of a log record: it stands in a span, or half a context counts as none."""
    if integer_at(state + TRACE_ID_LENGTH) and integer_at(state + SPAN_ID_LENGTH):
        return TRACE_ID, SPAN_ID
    return 0, 0


@part
def _count_marks(
    predictions: int, prediction: int, labels: int, label: int, rows: int, counts: int
) -> None:
    """Count what few rows have, so that nobody looks for it where none has."""
    skewed = predictions + SKEWED_ROW * rows * 8
    failed = predictions + FAILED_ROW * rows * 8
    first, second, third = NONE, NONE, NONE
    for row in range(prediction):
        first += integer_at(skewed + row * 8)
        third += integer_at(failed + row * 8)
    for row in range(label):
        second += integer_at(labels + (SKEWED_LABEL * rows + row) * 8)
    put_integer(counts + SKEWED_PREDICTIONS * 8, first)
    put_integer(counts + SKEWED_LABELS * 8, second)
    put_integer(counts + FAILED_PREDICTIONS * 8, third)


@part
def _tell_distinct(base: int, state: int, entries: int, counts: int) -> None:
    """Say where in the body the distinct values and the slices' keys stand."""
    found, slices = integer_at(state + ENTRY_COUNT), integer_at(state + SLICES_WRITTEN)
    for number in range(found):
        place = entries + (number * ENTRY_WORDS + 1) * 8
        put_integer(place, integer_at(place) - base)
    put_integer(counts + ENTRIES * 8, found)
    put_integer(counts + SLICES * 8, slices)
    for number in range(slices):
        start, length = slice_key(number, state)
        put_integer(counts + (SLICE_PLACES + 2 * number) * 8, start - base)
        put_integer(counts + (SLICE_PLACES + 2 * number + 1) * 8, length)


@entry
def gather(body: UInt8, starts: Int64, lengths: Int64) -> tuple[UInt8, Int64]:
    """Copy texts out of a body, one behind the other.

    Args:
        body: the request.
        starts: where each text starts in it, [N].
        lengths: of each, in bytes, [N].

    Returns:
        The texts, and where each begins in them and the last ends, [N + 1].
    """
    offsets = np.empty(len(starts) + 1, np.int64)
    written = 0
    for number in range(len(starts)):
        offsets[number] = written
        written += lengths[number]
    offsets[len(starts)] = written
    data = np.empty(written, np.uint8)
    source, target = address_of(body), address_of(data)
    for number in range(len(starts)):
        copy(source + starts[number], target + offsets[number], lengths[number])
    return data, offsets
