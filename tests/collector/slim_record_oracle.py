"""A slim record read row by row, in plain Python: slow, obvious, and the oracle."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from feature_rows import FEATURE_COLUMNS, features_of
from inferspan import semconv
from inferspan_collector.batches import PredictionBatch
from inferspan_collector.decode.attributes import (
    Attributes,
    RefusedRecord,
    checked_id,
    checked_name,
    checked_text,
)
from inferspan_collector.decode.predictions import (
    CLOCK_SKEW_MAX_NS,
    TIME_MAX_NS,
    TIME_MIN_NS,
    slice_keys,
)
from inferspan_collector.decode.row_limit import ROWS_FREE, ROWS_MAX
from inferspan_collector.several_classes import class_set_text, ranking_text

DECLARED = {
    "version": semconv.MODEL_VERSION,
    "variant": semconv.MODEL_VARIANT,
    "task": semconv.TASK_TYPE,
}
LETTERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


class Refused(Exception):
    """The record is to be refused."""


UNFIT = "<unfit>"
"""Stands for a text that cannot be kept: its call is to be left out."""


def read_rows(span: Span, received_ns: int, size_bytes: int) -> tuple[list[dict[str, Any]], int]:
    """The rows of a record that came in a request of `size_bytes`, without its resource.

    Returns:
        The rows, and how many calls were left out.

    Raises:
        Refused: it breaks a rule; `RefusedRecord` where that is one of every attribute's.
    """
    record = _Record(span)
    count = record.attributes.integer(semconv.RECORD_COUNT)
    _check(count is not None and count >= 0)
    assert count is not None
    counts = record.unsigned(semconv.RECORD_ROW_COUNTS, count, (4,))
    _check(counts is None or all(counts))
    total = count if counts is None else sum(counts)
    _check(total <= min(ROWS_MAX, 4 * ROWS_FREE + size_bytes))
    trace_ids = record.required(semconv.RECORD_TRACE_IDS, 16 * count)
    span_ids = record.required(semconv.RECORD_SPAN_IDS, 8 * count)
    offsets = record.unsigned(semconv.RECORD_START_OFFSETS, count, (4, 8))
    durations = record.unsigned(semconv.RECORD_DURATIONS, count, (4, 8))
    sampled = record.sampled(count)
    _check(offsets is not None and durations is not None)
    _check(TIME_MIN_NS <= span.start_time_unix_nano <= TIME_MAX_NS)
    declared = record.declared()
    errors = record.errors(count)
    classes = record.classes(total)
    score = record.floats(semconv.RECORD_SCORES, total)
    value = record.floats(semconv.RECORD_VALUES, total)
    slices = record.slices(total)
    probabilities = record.probabilities(total, declared["task"])
    ids = record.ids(count, total)
    rows, calls = [], []
    for call in range(count):
        trace = trace_ids[16 * call : 16 * call + 16]
        own = span_ids[8 * call : 8 * call + 8]
        start = span.start_time_unix_nano + (offsets or [])[call]
        duration = (durations or [])[call]
        _check(any(trace) and any(own) and start + duration <= TIME_MAX_NS)
        for place in range(1 if counts is None else counts[call]):
            number = len(rows)
            shared = ids is None or len(ids) == count
            named = ids and ids[call if shared else number]
            _check(bool(named) or shared)
            calls.append(call)
            rows.append(
                declared
                | {
                    "prediction_id": named or f"{trace.hex()}-{own.hex()}",
                    "index": place if shared else 0,
                    "span_row": place,
                    "trace": [int.from_bytes(trace[:8], "big"), int.from_bytes(trace[8:], "big")],
                    "span": int.from_bytes(own, "big"),
                    "kind": -1 if sampled[call] is False else 0,
                    "event_time": received_ns if start > received_ns + CLOCK_SKEW_MAX_NS else start,
                    "start_time": start,
                    "duration": duration,
                    "received": received_ns,
                    "error_type": errors[call],
                    "predicted": classes[number],
                    "score": score[number],
                    "value": value[number],
                    "adjusted_count": 1.0,
                    "probabilities": probabilities[number],
                    "slices": {k: c[number] for k, c in slices.items() if c[number] is not None},
                    # Their columns have tests of their own: `test_decode_features.py`.
                    "features": {},
                }
            )
    return _fit(rows, calls)


def _fit(rows: list[dict[str, Any]], calls: list[int]) -> tuple[list[dict[str, Any]], int]:
    """The rows of calls all of whose texts can be kept, and how many calls are others."""
    unfit = {call for call, row in zip(calls, rows, strict=True) if UNFIT in repr(row)}
    _check(not unfit or unfit != set(calls))
    return [r for call, r in zip(calls, rows, strict=True) if call not in unfit], len(unfit)


def rows_of(batch: PredictionBatch) -> list[dict[str, Any]]:
    """A batch as the same rows; NaN as None, so that rows compare."""
    columns: dict[str, list[Any]] = {}
    for name in PredictionBatch.__slots__:
        if name not in (*FEATURE_COLUMNS, "probability_classes", "probabilities", "slices"):
            column = getattr(batch, name)
            texts = column.objects() if hasattr(column, "objects") else column
            columns[name] = [None if x != x else x for x in texts.tolist()]
    slices = {key: column.objects().tolist() for key, column in batch.slices.items()}
    features = features_of(batch)
    listed, doubles = batch.probability_classes.objects(), batch.probabilities
    return [
        {name: column[row] for name, column in columns.items()}
        | {
            "slices": {k: c[row] for k, c in slices.items() if c[row] is not None},
            "features": features[row],
            "probabilities": listed[row]
            and dict(
                zip(
                    json.loads(listed[row]),
                    struct.iter_unpack("<d", doubles.take(np.array([row])).data.tobytes()),
                    strict=True,
                )
            ),
        }
        for row in range(len(batch))
    ]


def class_text(value: Any) -> str | None:
    """A class, as it is compared."""
    if isinstance(value, float):
        return semconv.class_text(value)
    text = checked_text("", value)
    return None if text is None else semconv.class_text(text)


class _Record:
    def __init__(self, span: Span) -> None:
        self.attributes = Attributes(span.attributes)

    def declared(self) -> dict[str, Any]:
        """What every row shares."""
        model = self.attributes.text(semconv.MODEL_NAME)
        operation = self.attributes.text(semconv.OPERATION_NAME)
        found = {key: self.attributes.text(name) for key, name in DECLARED.items()}
        _check(model is not None and operation in semconv.OPERATIONS)
        _check(found["task"] in (None, *semconv.TASKS))
        return {
            "environment": None,
            "service": None,
            "model": model,
            "operation": operation,
            "positive_class": self.attributes.class_text(semconv.OUTPUT_POSITIVE_CLASS),
            **found,
        }

    def ranked(self) -> bool:
        """Whether rows are rankings."""
        said = self.declared()
        return said["task"] == "ranking" or said["operation"] == "rank"

    def packed(self, name: str) -> bytes | None:
        value = self.attributes.value(name)
        _check(value is None or isinstance(value, bytes))
        return value  # type: ignore[return-value]

    def required(self, name: str, size: int) -> bytes:
        raw = self.packed(name)
        _check(raw is not None and len(raw) == size)
        assert raw is not None
        return raw

    def unsigned(self, name: str, count: int, widths: Sequence[int]) -> list[int] | None:
        raw = self.packed(name)
        if raw is None:
            return None
        width = next((w for w in widths if w * count == len(raw)), None)
        _check(width is not None)
        return [number for (number,) in struct.iter_unpack(f"<{LETTERS[width or 1]}", raw)]

    def sampled(self, count: int) -> list[bool | None]:
        value = self.attributes.value(semconv.RECORD_SAMPLED)
        if value is None or isinstance(value, bool):
            return [value] * count
        _check(isinstance(value, bytes) and len(value) == (count + 7) // 8)
        assert isinstance(value, bytes)
        return [bool(value[call // 8] >> call % 8 & 1) for call in range(count)]

    def floats(self, name: str, count: int) -> list[float | None]:
        raw = self.packed(name)
        if raw is None:
            return [None] * count
        _check(len(raw) in (4 * count, 8 * count))
        letter = "f" if len(raw) == 4 * count else "d"
        numbers = [number for (number,) in struct.iter_unpack(f"<{letter}", raw)]
        return [number if math.isfinite(number) else None for number in numbers]

    def texts(self, name: str, check: Callable[[Any], str | None]) -> list[str | None] | None:
        """A list, each entry by itself."""
        values = self.attributes.value(name)
        _check(values is None or isinstance(values, list))
        if values is None:
            return None
        found: list[str | None] = []
        for value in values:  # type: ignore[union-attr]
            try:
                found.append(check(value))
            except RefusedRecord:
                found.append(UNFIT)
        return found

    def coded(self, name: str, codes_name: str, count: int) -> list[str | None] | None:
        texts = self.texts(name, class_text)
        codes = self.unsigned(codes_name, count, (1, 2, 4))
        _check(codes is not None or texts is None)
        if codes is None:
            return None
        known = [None, *(texts or [])]
        _check(all(code < len(known) for code in codes))
        return [known[code] for code in codes]

    def errors(self, count: int) -> list[str | None]:
        name = semconv.RECORD_ERROR_TYPES
        if (texts := self.texts(name, lambda value: checked_name("", value))) is not None:
            texts = [text or "_OTHER" for text in texts]
        codes = self.unsigned(semconv.RECORD_ERROR_TYPE_CODES, count, (1, 2, 4))
        _check(codes is not None or texts is None)
        known = [None, *(texts or [])]
        _check(all(code < len(known) for code in codes or []))
        return [known[code] for code in codes or [0] * count]

    def classes(self, count: int) -> list[str | None]:
        offsets = self.unsigned(semconv.RECORD_CLASS_OFFSETS, count + 1, (4,))
        names = semconv.RECORD_CLASSES, semconv.RECORD_CLASS_CODES
        if offsets is None:
            return self.coded(*names, count) or [None] * count
        _check(offsets[0] == 0 and offsets == sorted(offsets))
        entries = self.coded(*names, offsets[-1])
        _check(entries is not None)
        as_text = ranking_text if self.ranked() else class_set_text
        sets = [(entries or [])[a:b] for a, b in pairwise(offsets)]
        return [
            None if row == [None] else as_text(text for text in row if text is not None)
            for row in sets
        ]

    def slices(self, count: int) -> dict[str, list[str | None]]:
        prefixes = semconv.RECORD_SLICE_PREFIX, semconv.RECORD_SLICE_CODES_PREFIX
        keys, _ = slice_keys(self.attributes, *prefixes)
        columns = {key: self.coded(*(p + key for p in prefixes), count) for key in keys}
        return {key: column for key, column in columns.items() if column is not None}

    def probabilities(self, count: int, task: str | None) -> list[dict[str, tuple[float]] | None]:
        """Class → probability of each row that has one for every class of its list."""
        texts = self.attributes.value(semconv.RECORD_PROBABILITY_CLASSES)
        codes = self.unsigned(semconv.RECORD_PROBABILITY_CLASS_CODES, count, (1, 2, 4))
        raw = self.packed(semconv.RECORD_PROBABILITIES)
        if codes is None:
            _check(texts is None and raw is None)
            return [None] * count
        _check(texts is None or isinstance(texts, list))
        lists: list[Sequence[str] | None] = [[]]
        unfit = set()
        for number, text in enumerate(texts or [], start=1):  # type: ignore[arg-type]
            named = _array(text)
            classes = None if named is None else _classes(named)
            lists.append(classes or named)
            if classes is None:
                unfit.add(number)
        _check(all(code < len(lists) and lists[code] is not None for code in codes))
        total = sum(len(lists[code] or ()) for code in codes)
        _check(raw is not None or total == 0)
        numbers = iter(self.floats(semconv.RECORD_PROBABILITIES, total))
        found: list[dict[str, tuple[float]] | None] = []
        for code in codes:
            places = [next(numbers) for _ in lists[code] or ()]
            if code in unfit:
                found.append({UNFIT: (0.0,)})
                continue
            row = dict(zip(lists[code] or (), places, strict=True))
            complete = {name: (p,) for name, p in row.items() if p is not None}
            kept = task == semconv.MULTICLASS and 2 <= len(row) <= 256 and len(complete) == len(row)
            found.append(complete if kept else None)
        return found

    def ids(self, count: int, total: int) -> list[str | None] | None:
        value = self.attributes.value(semconv.RECORD_IDS)
        if isinstance(value, bytes):
            _check(len(value) % 16 == 0)
            found: list[str | None] | None = [
                value[first : first + 16].hex() for first in range(0, len(value), 16)
            ]
        else:
            found = self.texts(semconv.RECORD_IDS, lambda value: checked_id("", value))
        _check(found is None or len(found) in (count, total))
        return found


def _classes(named: list[Any]) -> list[str] | None:
    """Distinct classes; None where one of them is none."""
    if not all(isinstance(name, str) for name in named):
        return None
    try:
        known = [semconv.class_text(checked_text("", name)) for name in named]
    except RefusedRecord:
        return None
    found = [name for name in known if name is not None]
    return found if len(set(found)) == len(named) else None


def _array(text: Any) -> list[Any] | None:
    try:
        named = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return named if isinstance(named, list) else None


def _check(held: bool) -> None:
    if not held:
        raise Refused


REFUSALS = (Refused, RefusedRecord)
