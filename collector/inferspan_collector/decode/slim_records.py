"""A slim record → a batch, column by column: no Python object per row, but of ids sent as texts.

A record is taken or refused as a whole, but for calls with a text that is unfit (`unfit_calls`);
the records beside it are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.batches import (
    UNSAMPLED,
    Int8,
    Int32,
    Int64,
    PredictionBatch,
    Strings,
    Texts,
    UInt8,
    UInt64,
)
from inferspan_collector.decode.attributes import Attributes, Entries, RefusedRecord
from inferspan_collector.decode.packed_columns import (
    TIME_WIDTHS,
    Coded,
    coded,
    contexts,
    finite,
    flags,
    packed,
    required,
    unsigned,
)
from inferspan_collector.decode.predictions import (
    CLOCK_SKEW_MAX_NS,
    OTHER_ERROR,
    TIME_MAX_NS,
    TIME_MIN_NS,
    Origin,
    read_declared,
    slice_keys,
)
from inferspan_collector.decode.record_classes import RecordClasses
from inferspan_collector.decode.record_probabilities import RecordProbabilities
from inferspan_collector.decode.unfit_calls import Refused, UnfitCalls, texts_of
from inferspan_collector.several_classes import is_ranking
from inferspan_collector.text_columns import NO_STRINGS, NO_TEXTS

_SLICES: Final = (semconv.RECORD_SLICE_PREFIX, semconv.RECORD_SLICE_CODES_PREFIX)
ROW_WEIGHT: Final = 512
"""So many bytes of sets, or of lists of classes, count as one row more: codes stand for them."""


@dataclass(frozen=True, slots=True, eq=False)
class SlimRecord:
    """What a record held."""

    batch: PredictionBatch
    skewed: int
    """Rows whose time was ahead of us and has been clamped."""
    surplus_slices: list[str]
    """Slices that were left out because of their name or their number."""
    refused: Refused | None
    """Calls whose rows, still in the batch, are to be left out."""


def read_slim_record(
    span: Span,
    attributes: Attributes,
    origin: Origin,
    received_ns: int,
    reserve: Callable[[int], None],
) -> SlimRecord:
    """Read one slim record.

    Args:
        span: the record's span.
        attributes: its attributes.
        origin: what its resource says.
        received_ns: the time of receipt, Unix ns.
        reserve: told how many rows the record holds, before they are made; it may raise.

    Raises:
        RefusedRecord: the record breaks a rule of the vocabulary.
    """
    declared = read_declared(span, attributes)
    calls = _read_calls(span, attributes)
    rows, unfit = calls.rows, calls.unfit
    ranking = is_ranking(declared.task, declared.operation)
    classes = RecordClasses.read(attributes, rows, ranking, unfit)
    score = finite(attributes, semconv.RECORD_SCORES, rows)
    value = finite(attributes, semconv.RECORD_VALUES, rows)
    probable = RecordProbabilities.read(attributes, rows, declared.task, unfit)
    keys, surplus = slice_keys(attributes, *_SLICES)
    slices = _read_slices(attributes, keys, rows, unfit)
    ids = _read_ids(attributes, calls)
    # Whatever takes more memory than the record's own bytes comes after this.
    weight = classes.weight + (probable.weight if probable else 0)
    reserve(rows + weight // ROW_WEIGHT)
    refused = unfit.refused()
    listed, doubles = probable.columns() if probable else (NO_STRINGS, NO_TEXTS)
    place = calls.place_within_call()
    start = calls.per_row(calls.start)
    skewed = start > received_ns + CLOCK_SKEW_MAX_NS
    constant = Strings.constant
    batch = PredictionBatch(
        environment=constant(origin.environment, rows),
        service=constant(origin.service, rows),
        model=constant(declared.model, rows),
        version=constant(declared.version, rows),
        variant=constant(declared.variant, rows),
        operation=constant(declared.operation, rows),
        task=constant(declared.task, rows),
        positive_class=constant(declared.positive_class, rows),
        prediction_id=calls.per_row_text(ids.texts) if ids.of_calls else ids.texts,
        index=place if ids.of_calls else np.zeros(rows, np.int32),
        span_row=place,
        trace=calls.per_row(calls.trace),
        span=calls.per_row(calls.span),
        kind=calls.per_row(calls.kind),
        event_time=np.where(skewed, received_ns, start),
        start_time=start,
        duration=calls.per_row(calls.duration),
        received=np.full(rows, received_ns, np.int64),
        error_type=Strings(calls.per_row(calls.error_type.codes), calls.error_type.values),
        predicted=classes.predicted(),
        score=np.full(rows, np.nan) if score is None else score,
        value=np.full(rows, np.nan) if value is None else value,
        adjusted_count=np.ones(rows),
        slices={key: column.strings() for key, column in slices.items()},
        probability_classes=listed,
        probabilities=doubles,
    )
    taken = skewed if refused is None else skewed & refused.kept
    return SlimRecord(batch, int(taken.sum()), surplus, refused)


@dataclass(frozen=True, slots=True, eq=False)
class _Calls:
    """What a record says of each of its calls."""

    rows: int
    row_counts: NDArray[np.uint32] | None
    """Rows of each call; None = 1 each."""
    trace: UInt64
    span: UInt64
    kind: Int8
    """As a batch has it: `UNSAMPLED` where the record says so."""
    start: Int64
    duration: Int64
    error_type: Strings
    unfit: UnfitCalls

    def __len__(self) -> int:
        return len(self.span)

    def per_row(self, column: NDArray[Any]) -> NDArray[Any]:
        """A column of calls as one of rows."""
        return column if self.row_counts is None else np.repeat(column, self.row_counts, axis=0)

    def per_row_text(self, column: Texts) -> Texts:
        """The same of texts."""
        if self.row_counts is None:
            return column
        return column.take(np.repeat(np.arange(len(self)), self.row_counts))

    def place_within_call(self) -> Int32:
        """Of each row, from 0."""
        if self.row_counts is None:
            return np.zeros(self.rows, np.int32)
        first = np.cumsum(self.row_counts, dtype=np.int64) - self.row_counts
        place: Int32 = (np.arange(self.rows) - self.per_row(first)).astype(np.int32)
        return place


def _read_calls(span: Span, attributes: Attributes) -> _Calls:
    name = semconv.RECORD_COUNT
    count = attributes.integer(name)
    if count is None or count < 0:
        raise RefusedRecord("bad_count", f"{name} = {count}: a record holds calls; say how many")
    trace = contexts(attributes, semconv.RECORD_TRACE_IDS, count, 16)
    start, duration = _read_times(span, attributes, count)
    row_counts = _read_row_counts(attributes, count)
    unfit = UnfitCalls(count, row_counts)
    return _Calls(
        rows=count if row_counts is None else int(row_counts.sum(dtype=np.uint64)),
        row_counts=row_counts,
        trace=trace,
        span=contexts(attributes, semconv.RECORD_SPAN_IDS, count, 8)[:, 0],
        kind=_read_kinds(attributes, count),
        start=start,
        duration=duration,
        error_type=_read_errors(attributes, count, unfit),
        unfit=unfit,
    )


def _read_row_counts(attributes: Attributes, count: int) -> NDArray[np.uint32] | None:
    name = semconv.RECORD_ROW_COUNTS
    raw = packed(attributes, name)
    if raw is None:
        return None
    row_counts: NDArray[np.uint32] = unsigned(name, raw, count, (4,))
    if not row_counts.all():
        raise RefusedRecord(
            "bad_count",
            f"{name}: entry {int(row_counts.argmin())} is 0; leave calls without rows out",
        )
    return row_counts


def _read_kinds(attributes: Attributes, count: int) -> Int8:
    sampled = flags(attributes, semconv.RECORD_SAMPLED, count)
    unknown = Span.SPAN_KIND_UNSPECIFIED
    unsampled = np.zeros(count, np.bool_) if sampled is None else ~sampled
    return np.where(unsampled, UNSAMPLED, unknown).astype(np.int8)


def _read_times(span: Span, attributes: Attributes, count: int) -> tuple[Int64, Int64]:
    """Start and duration of each call, in ns; no call ends after `TIME_MAX_NS`."""
    first = span.start_time_unix_nano
    if not TIME_MIN_NS <= first <= TIME_MAX_NS:
        raise RefusedRecord(
            "bad_time",
            f"start_time_unix_nano = {first} of span {span.name!r:.80} is not a time from the year "
            "2000 on in Unix nanoseconds; set the clock",
        )
    times = []
    room: int | Int64 = TIME_MAX_NS - first
    for name in (semconv.RECORD_START_OFFSETS, semconv.RECORD_DURATIONS):
        column = unsigned(name, required(attributes, name), count, TIME_WIDTHS)
        beyond = column > room
        if beyond.any():
            raise RefusedRecord(
                "bad_time",
                f"{name}: entry {int(beyond.argmax())} = {int(column[beyond.argmax()])} is no "
                "number of nanoseconds since then: it ends after the year 2262",
            )
        times.append(column.astype(np.int64))
        room = (room - times[-1]).astype(np.uint64)
    return times[0] + first, times[1]


def _read_errors(attributes: Attributes, count: int, unfit: UnfitCalls) -> Strings:
    name = semconv.RECORD_ERROR_TYPES
    entries = attributes.name_entries(name)
    texts = None if entries is None else [text or OTHER_ERROR for text in entries.texts]
    column = coded(attributes, semconv.RECORD_ERROR_TYPE_CODES, count, name, texts)
    if column is None:
        return Strings.constant(None, count)
    unfit.of_calls(column.codes, entries)
    return column.strings()


def _read_slices(
    attributes: Attributes, keys: Sequence[str], rows: int, unfit: UnfitCalls
) -> dict[str, Coded]:
    slices = {}
    for key in keys:
        name = semconv.RECORD_SLICE_PREFIX + key
        codes_name = semconv.RECORD_SLICE_CODES_PREFIX + key
        entries = attributes.class_entries(name)
        column = coded(attributes, codes_name, rows, name, texts_of(entries))
        if column is not None:
            slices[key] = column
            unfit.of_rows(column.codes, entries)
    return slices


@dataclass(frozen=True, slots=True, eq=False)
class _Ids:
    texts: Texts
    of_calls: bool
    """One per call, else one per row."""


def _read_ids(attributes: Attributes, calls: _Calls) -> _Ids:
    """Ids, as for spans: a call that names none is known by its span; a row may not do that."""
    name, entries = semconv.RECORD_IDS, None
    if attributes.holds_bytes(name):
        raw = required(attributes, name)
        if len(raw) % 16:
            raise RefusedRecord(
                "length_mismatch", f"{name} has {len(raw)} bytes; ids in bytes need 16 each"
            )
        ids = _texts_of(_digits(raw, 16))
    elif (entries := attributes.id_entries(name)) is not None:
        ids = Texts.of(entries.texts)
    else:
        return _Ids(_own_ids(attributes), of_calls=True)
    if len(ids) not in (len(calls), calls.rows):
        raise RefusedRecord(
            "length_mismatch",
            f"{name} has {len(ids)} entries; {len(calls)} calls of {calls.rows} rows need as "
            "many as either",
        )
    of_calls = len(ids) == len(calls)
    (calls.unfit.of_calls if of_calls else calls.unfit.of_rows)(None, entries)
    if not ids.lengths().all():
        if of_calls:
            given, own = ids.objects(), _own_ids(attributes).objects()
            ids = Texts.of(np.where(ids.lengths() == 0, own, given))
        elif _is_one_absent(ids, entries):
            raise RefusedRecord("missing_id", f"{name} has an empty entry: give each row an id")
    return _Ids(ids, of_calls)


def _is_one_absent(ids: Texts, entries: Entries | None) -> bool:
    """Whether an id is empty that is not an unfit one."""
    return int((ids.lengths() == 0).sum()) > (0 if entries is None else len(entries.unfit))


def _own_ids(attributes: Attributes) -> Texts:
    """What calls are known by that name no id: their trace and span."""
    traces = _digits(required(attributes, semconv.RECORD_TRACE_IDS), 16)
    spans = _digits(required(attributes, semconv.RECORD_SPAN_IDS), 8)
    dashes = np.full((len(spans), 1), ord("-"), np.uint8)
    return _texts_of(np.hstack([traces, dashes, spans]))


def _digits(raw: bytes, width: int) -> UInt8:
    """Ids of so many bytes in hexadecimal digits, [ids, 2 x width]."""
    return np.frombuffer(raw.hex().encode(), np.uint8).reshape(-1, 2 * width)


def _texts_of(characters: UInt8) -> Texts:
    """Each row of a matrix as a text."""
    count, width = characters.shape
    return Texts(characters.reshape(-1), np.arange(count + 1, dtype=np.int64) * width)
