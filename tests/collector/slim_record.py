"""Slim records as `docs/vocabulary.md` lays them out, packed from plain rows without the SDK."""

from __future__ import annotations

import json
import math
import struct
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import NOW_NS, AttributeValue, otlp_json, otlp_span, traces_request

NAN = math.nan
STARTED_NS = NOW_NS - 3_600_000_000_000
Columns = dict[str, AttributeValue]


@dataclass(frozen=True)
class Row:
    """What one row of a call answered; `prediction_id` where rows have ids of their own."""

    predicted: str | tuple[str, ...] | None = None
    score: float = NAN
    value: float = NAN
    slices: Mapping[str, str] = field(default_factory=dict)
    prediction_id: str | None = None
    probabilities: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Call:
    """One call; `prediction_id` None = its rows have ids of their own."""

    prediction_id: str | None
    rows: Sequence[Row] = (Row(),)
    trace: int = 1
    span: int = 1
    start_ns: int = STARTED_NS
    duration_ns: int = 5_000_000
    error_type: str | None = None
    sampled: bool | None = None
    """None = the record does not say."""


def slim_record(
    calls: Sequence[Call], attributes: Mapping[str, AttributeValue] | None = None
) -> Span:
    """A record of these calls; `attributes` replace or add, None takes one out."""
    start = min((call.start_ns for call in calls), default=STARTED_NS)
    columns: Columns = {semconv.MODEL_NAME: "fraud", semconv.OPERATION_NAME: "predict"}
    columns |= call_columns(calls, start) | row_columns([r for call in calls for r in call.rows])
    for name, value in (attributes or {}).items():
        columns.pop(name, None)
        if value is not None:
            columns[name] = value
    return otlp_span("predictions fraud", columns, start_ns=start)


def decode(
    *records: Span, resource: Mapping[str, str] | None = None, json: bool = False
) -> Decoded:
    """What the collector reads in a request of these records."""
    request = traces_request(records, scope=semconv.SCOPE_RECORDS, resource=resource)
    body = otlp_json(request) if json else request.SerializeToString()
    return decode_traces(body, json=json, received_ns=NOW_NS)


def call_columns(calls: Sequence[Call], start: int) -> Columns:
    """Who the calls are, when they ran, and whether they failed."""
    columns: Columns = {
        semconv.RECORD_COUNT: len(calls),
        semconv.RECORD_TRACE_IDS: b"".join(c.trace.to_bytes(16, "big") for c in calls),
        semconv.RECORD_SPAN_IDS: b"".join(c.span.to_bytes(8, "big") for c in calls),
        semconv.RECORD_START_OFFSETS: times([c.start_ns - start for c in calls]),
        semconv.RECORD_DURATIONS: times([c.duration_ns for c in calls]),
    }
    if any(call.sampled is not None for call in calls):
        columns[semconv.RECORD_SAMPLED] = bits([bool(call.sampled) for call in calls])
    ids = [call.prediction_id for call in calls]
    if None in ids:
        ids = [row.prediction_id for call in calls for row in call.rows]
    columns[semconv.RECORD_IDS] = packed_ids([text or "" for text in ids])
    if any(len(call.rows) != 1 for call in calls):
        columns[semconv.RECORD_ROW_COUNTS] = pack("I", [len(call.rows) for call in calls])
    if any(call.error_type for call in calls):
        columns[semconv.RECORD_ERROR_TYPES], columns[semconv.RECORD_ERROR_TYPE_CODES] = coded(
            [call.error_type for call in calls]
        )
    return columns


def row_columns(rows: Sequence[Row]) -> Columns:
    """What the rows answered."""
    columns: Columns = {}
    if any(isinstance(row.predicted, tuple) for row in rows):
        # A row without an answer is a set of the one code 0.
        sets = [(None,) if row.predicted is None else row.predicted for row in rows]
        entries = [entry for row in sets for entry in row]
        ends = [sum(len(row) for row in sets[:end]) for end in range(len(rows) + 1)]
        columns[semconv.RECORD_CLASS_OFFSETS] = pack("I", ends)
    else:
        entries = [row.predicted for row in rows]  # type: ignore[misc]
    if any(row.predicted is not None for row in rows):
        columns[semconv.RECORD_CLASSES], columns[semconv.RECORD_CLASS_CODES] = coded(entries)
    for name, numbers in (
        (semconv.RECORD_SCORES, [row.score for row in rows]),
        (semconv.RECORD_VALUES, [row.value for row in rows]),
    ):
        if not all(map(math.isnan, numbers)):
            columns[name] = floats(numbers)
    if any(row.probabilities is not None for row in rows):
        said = [None if row.probabilities is None else dict(row.probabilities) for row in rows]
        texts, codes = coded([None if one is None else json.dumps(list(one)) for one in said])
        columns[semconv.RECORD_PROBABILITY_CLASSES] = texts
        columns[semconv.RECORD_PROBABILITY_CLASS_CODES] = codes
        columns[semconv.RECORD_PROBABILITIES] = floats([p for o in said if o for p in o.values()])
    for key in {key for row in rows for key in row.slices}:
        texts, codes = coded([row.slices.get(key) for row in rows])
        columns[semconv.RECORD_SLICE_PREFIX + key] = texts
        columns[semconv.RECORD_SLICE_CODES_PREFIX + key] = codes
    return columns


def feature_columns(
    numeric: Mapping[str, Sequence[float]], categories: Mapping[str, Sequence[str | None]]
) -> Columns:
    """Features of the rows, by name."""
    columns: Columns = {
        semconv.RECORD_FEATURE_NAMES: json.dumps(list(numeric)),
        semconv.RECORD_FEATURE_DATA: floats([x for column in numeric.values() for x in column]),
    }
    for name, column in categories.items():
        texts, codes = coded(column)
        columns[semconv.RECORD_CATEGORY_PREFIX + name] = texts
        columns[semconv.RECORD_CATEGORY_CODES_PREFIX + name] = codes
    return columns


def coded(texts: Sequence[str | None]) -> tuple[list[str], bytes]:
    """A dictionary in order of appearance, and codes of the least width."""
    dictionary = list(dict.fromkeys(text for text in texts if text is not None))
    codes = [0 if text is None else dictionary.index(text) + 1 for text in texts]
    width = next(w for w in ("B", "H", "I") if len(dictionary) < 256 ** struct.calcsize(w))
    return dictionary, pack(width, codes)


def bits(answers: Sequence[bool]) -> bool | bytes:
    """One answer where all are the same, else a bit each, the lowest first."""
    if len(set(answers)) == 1:
        return answers[0]
    number = sum(answer << place for place, answer in enumerate(answers))
    return number.to_bytes((len(answers) + 7) // 8, "little")


def floats(numbers: Sequence[float]) -> bytes:
    """float32 where that loses nothing in the whole column, else float64."""
    return pack("f" if all(map(_is_float32, numbers)) else "d", numbers)


def times(nanoseconds: Sequence[int]) -> bytes:
    """4 bytes each where all fit."""
    return pack("I" if all(ns < 2**32 for ns in nanoseconds) else "Q", nanoseconds)


def packed_ids(ids: Sequence[str]) -> AttributeValue:
    """16 bytes each where all are UUIDv7 in hex, else texts."""
    return b"".join(map(bytes.fromhex, ids)) if all(map(_is_uuid7, ids)) else ids


def pack(letter: str, numbers: Sequence[float]) -> bytes:
    """Numbers of one width, little-endian."""
    return struct.pack(f"<{len(numbers)}{letter}", *numbers)


def _is_float32(number: float) -> bool:
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        return False
    return math.isnan(number) or narrow == number


def _is_uuid7(text: str) -> bool:
    if len(text) != 32 or text != text.lower():
        return False
    try:
        return uuid.UUID(text).version == 7
    except ValueError:
        return False
