"""Scanned columns → batches: codes get their meanings, places in the body become texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import Bool, Int64, LabelBatch, PredictionBatch, Strings, Texts
from inferspan_collector.decode import distinct
from inferspan_collector.decode.compiled import labels, predictions
from inferspan_collector.decode.compiled.names import slot_of
from inferspan_collector.decode.predictions import OTHER_ERROR, Origin
from inferspan_collector.decode.scanned import Scanned

_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch)
_FEATURE_BYTES: Final = 8


@dataclass(frozen=True, slots=True, eq=False)
class Part(Generic[_Batch]):
    """Rows, and which records of the request they stand for."""

    batch: _Batch
    records: Int64
    """The number of the record of each row, rising."""
    skewed: Int64 | None
    """Of each row, 1 where its time was ahead of us and has been clamped; None = of none."""
    refused: Int64
    """Records that are no rows after all: a reader refuses one of their values."""

    @classmethod
    def of(
        cls, batch: _Batch, records: Int64, skewed: Int64 | None, refused: Bool | None
    ) -> Part[_Batch]:
        """Leave out the rows that are refused."""
        if refused is None:
            return cls(batch, records, skewed, records[:0])
        kept = ~refused
        return cls(
            batch.take(kept),
            records[kept],
            None if skewed is None else skewed[kept],
            records[refused],
        )


def prediction_rows(
    scanned: Scanned, origins: Sequence[Origin], received_ns: int
) -> Part[PredictionBatch]:
    """The predictions among scanned records.

    Args:
        scanned: the records.
        origins: of each resource of the request.
        received_ns: the time of receipt, Unix ns.
    """
    found = scanned.predictions
    rows = len(found)
    refused: list[Bool | None] = []

    def texts(name: str) -> Strings:
        slot = slot_of(name)
        values = scanned.values.get(slot, ())
        column, bad = distinct.texts(found.codes(slot), distinct.of_predictions(name, values))
        if bad is not None:
            refused.append(bad)
        return column

    resources = found.integers(predictions.RESOURCE)
    batch = PredictionBatch(
        environment=_of_resources([origin.environment for origin in origins], resources),
        service=_of_resources([origin.service for origin in origins], resources),
        model=texts(semconv.MODEL_NAME),
        version=texts(semconv.MODEL_VERSION),
        variant=texts(semconv.MODEL_VARIANT),
        operation=texts(semconv.OPERATION_NAME),
        task=texts(semconv.TASK_TYPE),
        positive_class=texts(semconv.OUTPUT_POSITIVE_CLASS),
        prediction_id=scanned.texts(
            found.integers(predictions.ID_START), found.integers(predictions.ID_BYTES)
        ),
        index=np.zeros(rows, np.int32),
        span_row=np.zeros(rows, np.int32),
        trace=found.pairs(predictions.TRACE),
        span=found.integers(predictions.SPAN).view(np.uint64),
        kind=found.bytes(predictions.KIND_BYTES),
        event_time=found.integers(predictions.EVENT_TIME),
        start_time=found.integers(predictions.START_TIME),
        duration=found.integers(predictions.TAKES),
        received=np.full(rows, received_ns, np.int64),
        error_type=_with_failures(texts(semconv.ERROR_TYPE), scanned),
        predicted=texts(semconv.OUTPUT_CLASS),
        score=found.doubles(predictions.SCORE),
        value=found.doubles(predictions.VALUE),
        adjusted_count=found.doubles(predictions.ADJUSTED_COUNT),
        slices=_slices(scanned, refused),
    )
    refused += _wrong_lengths(scanned)
    skewed = found.integers(predictions.SKEWED) if scanned.skewed_predictions else None
    records = found.integers(predictions.RECORD)
    return Part.of(batch, records, skewed, distinct.any_of(refused))


def _of_resources(texts: Sequence[str | None], resources: Int64) -> Strings:
    if len(texts) == 1:
        return Strings.constant(texts[0], len(resources))
    column = Strings.of(texts)
    return Strings(column.codes[resources], column.values)


def _with_failures(named: Strings, scanned: Scanned) -> Strings:
    """A call that failed without saying of what has the type OpenTelemetry gives it."""
    if not scanned.failed_predictions:
        return named
    failed = scanned.predictions.integers(predictions.FAILED)
    return Strings.of(
        OTHER_ERROR if text is None and is_failed else text
        for text, is_failed in zip(named.objects().tolist(), failed.tolist(), strict=True)
    )


def _slices(scanned: Scanned, refused: list[Bool | None]) -> dict[str, Strings]:
    columns = {}
    for slot, key in sorted(scanned.slice_keys.items(), key=lambda pair: pair[1]):
        meanings = distinct.of_predictions(distinct.SLICE, scanned.values.get(slot, ()))
        column, bad = distinct.texts(scanned.predictions.codes(slot), meanings)
        columns[key] = column
        refused.append(bad)
    return columns


def _wrong_lengths(scanned: Scanned) -> list[Bool | None]:
    """Rows whose features or probabilities are not as many as their names say."""
    found = scanned.predictions
    wrong: list[Bool | None] = []
    for column, name, size in (
        (predictions.FEATURE_BYTES, semconv.FEATURE_NAMES, _FEATURE_BYTES),
        (predictions.CATEGORIES, semconv.FEATURE_CATEGORY_NAMES, 1),
        (predictions.PROBABILITIES, semconv.OUTPUT_CLASSES, 1),
    ):
        slot = slot_of(name)
        if slot in scanned.values:
            lengths = found.integers(column)
            meanings = distinct.of_predictions(name, scanned.values[slot])
            named = distinct.counts(found.codes(slot), meanings)
            wrong.append((lengths >= 0) & (lengths != named * size))
    return wrong


def label_rows(scanned: Scanned, origins: Sequence[Origin], received_ns: int) -> Part[LabelBatch]:
    """The labels among scanned records; arguments as `prediction_rows`."""
    found = scanned.labels
    refused: list[Bool | None] = []

    def meanings(name: str) -> distinct.Meanings:
        return distinct.of_labels(name, scanned.values.get(slot_of(name), ()))

    def texts(name: str, absent: str | None = None) -> Strings:
        column, bad = distinct.texts(found.codes(slot_of(name)), meanings(name), absent)
        refused.append(bad)
        return column

    def ids(column: int) -> Texts:
        return scanned.texts(found.integers(column), found.integers(column + 1))

    resources = found.integers(labels.RESOURCE)
    actual, value, bad = distinct.classes(
        found.codes(slot_of(semconv.LABEL_CLASS)),
        meanings(semconv.LABEL_CLASS),
        found.doubles(labels.VALUE),
        found.integers(labels.VALUED) != 0,
    )
    refused.append(bad)
    batch = LabelBatch(
        label_id=ids(labels.LABEL_ID),
        revision=found.integers(labels.REVISION),
        environment=_of_resources([origin.environment for origin in origins], resources),
        model=texts(semconv.MODEL_NAME),
        version=texts(semconv.MODEL_VERSION),
        prediction_id=ids(labels.PREDICTION_ID),
        index=found.integers(labels.INDEX).astype(np.int32),
        # Labels of items are not ordinary.
        item_id=Texts.constant(None, len(found)),
        link_trace=found.pairs(labels.LINK_TRACE),
        link_span=found.integers(labels.LINK_SPAN).view(np.uint64),
        response_id=ids(labels.RESPONSE_ID),
        entity_id=ids(labels.ENTITY_ID),
        target=texts(semconv.TARGET_NAME, semconv.DEFAULT_TARGET),
        kind=texts(semconv.TARGET_KIND, semconv.TARGET_KINDS[0]),
        actual=actual,
        value=value,
        text=ids(labels.FREE_TEXT),
        time=found.integers(labels.TIME),
        received=np.full(len(found), received_ns, np.int64),
        source=texts(semconv.LABEL_SOURCE),
        annotator_kind=texts(semconv.LABEL_ANNOTATOR_KIND),
        deleted=found.integers(labels.DELETED) != 0,
        weight=found.doubles(labels.WEIGHT),
    )
    skewed = found.integers(labels.SKEWED) if scanned.skewed_labels else None
    return Part.of(batch, found.integers(labels.RECORD), skewed, distinct.any_of(refused))
