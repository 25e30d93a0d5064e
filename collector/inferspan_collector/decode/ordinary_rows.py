"""Scanned columns → batches: codes get their meanings, places in the body become texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar

import numpy as np

from inferspan import semconv
from inferspan_collector.batches import (
    Bool,
    Int64,
    LabelBatch,
    PredictionBatch,
    StageBatch,
    Strings,
    Texts,
)
from inferspan_collector.decode import probabilities
from inferspan_collector.decode.compiled import labels, predictions
from inferspan_collector.decode.compiled.names import slot_of
from inferspan_collector.decode.distinct import any_of
from inferspan_collector.decode.predictions import OTHER_ERROR, Origin
from inferspan_collector.decode.scanned import Scanned

_Batch = TypeVar("_Batch", PredictionBatch, LabelBatch, StageBatch)
(
    _MODEL_NAME,
    _MODEL_VERSION,
    _MODEL_VARIANT,
    _OPERATION_NAME,
    _TASK_TYPE,
    _OUTPUT_POSITIVE_CLASS,
    _ERROR_TYPE,
    _OUTPUT_CLASS,
    _TARGET_NAME,
    _TARGET_KIND,
    _LABEL_CLASS,
    _LABEL_SOURCE,
    _LABEL_ANNOTATOR_KIND,
    _LABEL_ID,
    _PREDICTION_ID,
    _ENTITY_ID,
    _LABEL_TEXT,
    _LABEL_VALUE,
    _RESPONSE_ID,
) = (
    slot_of(name)
    for name in (
        semconv.MODEL_NAME,
        semconv.MODEL_VERSION,
        semconv.MODEL_VARIANT,
        semconv.OPERATION_NAME,
        semconv.TASK_TYPE,
        semconv.OUTPUT_POSITIVE_CLASS,
        semconv.ERROR_TYPE,
        semconv.OUTPUT_CLASS,
        semconv.TARGET_NAME,
        semconv.TARGET_KIND,
        semconv.LABEL_CLASS,
        semconv.LABEL_SOURCE,
        semconv.LABEL_ANNOTATOR_KIND,
        semconv.LABEL_ID,
        semconv.PREDICTION_ID,
        semconv.ENTITY_ID,
        semconv.LABEL_TEXT,
        semconv.LABEL_VALUE,
        semconv.GEN_AI_RESPONSE_ID,
    )
)
_FEATURES: Final = slot_of(semconv.FEATURE_NAMES)
_CATEGORIES: Final = slot_of(semconv.FEATURE_CATEGORY_NAMES)
_NAMED: Final = (
    (predictions.FEATURE_BYTES, _FEATURES, 8),
    (predictions.CATEGORIES, _CATEGORIES, 1),
)
"""Columns of lengths, the slot that names as many, and what each of them takes."""
_CLASSES: Final = slot_of(semconv.OUTPUT_CLASSES)
_NO_BYTES: Final = np.empty(0, np.uint8)


@dataclass(slots=True, eq=False)
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

    def texts(slot: int) -> Strings:
        column, bad = scanned.values.of_predictions(slot).coded(found.codes(slot))
        if bad is not None:
            refused.append(bad)
        return column

    resources = found.integers(predictions.RESOURCE)
    batch = PredictionBatch(
        environment=_of_resources([origin.environment for origin in origins], resources),
        service=_of_resources([origin.service for origin in origins], resources),
        model=texts(_MODEL_NAME),
        version=texts(_MODEL_VERSION),
        variant=texts(_MODEL_VARIANT),
        operation=texts(_OPERATION_NAME),
        task=texts(_TASK_TYPE),
        positive_class=texts(_OUTPUT_POSITIVE_CLASS),
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
        error_type=_with_failures(texts(_ERROR_TYPE), scanned),
        predicted=texts(_OUTPUT_CLASS),
        score=found.doubles(predictions.SCORE),
        value=found.doubles(predictions.VALUE),
        adjusted_count=found.doubles(predictions.ADJUSTED_COUNT),
        feature_names=_feature_names(scanned, _FEATURES),
        category_names=_feature_names(scanned, _CATEGORIES),
        features=_features(scanned),
        slices=_slices(scanned, refused),
    )
    refused += _wrong_lengths(scanned)
    if scanned.values.has(_CLASSES):
        batch, wrong = _with_probabilities(scanned, batch)
        refused.append(wrong)
    skewed = found.integers(predictions.SKEWED) if scanned.skewed_predictions else None
    records = found.integers(predictions.RECORD)
    return Part.of(batch, records, skewed, any_of(refused))


def _of_resources(texts: Sequence[str | None], resources: Int64) -> Strings:
    if len(set(texts)) == 1:  # the senders of requests read as one mostly say the same
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
    for slot, key in scanned.slice_keys:
        column, bad = scanned.values.of_predictions(slot).coded(scanned.predictions.codes(slot))
        columns[key] = column
        if bad is not None:
            refused.append(bad)
    return columns


def _feature_names(scanned: Scanned, slot: int) -> Strings:
    """What each row's features are named, as one text."""
    found = scanned.predictions
    if not scanned.values.has(slot):
        return Strings.constant(None, len(found))
    return scanned.values.names(slot).coded(found.codes(slot))[0]


def _features(scanned: Scanned) -> Texts:
    if not scanned.values.has(_FEATURES) and not scanned.values.has(_CATEGORIES):
        return Texts.constant(None, len(scanned.predictions))
    return scanned.feature_rows(
        *_places(scanned, _FEATURES, predictions.FEATURE_START, predictions.FEATURE_BYTES),
        *_places(scanned, _CATEGORIES, predictions.CATEGORY_START, predictions.CATEGORY_BYTES),
    )


def _places(scanned: Scanned, slot: int, start: int, length: int) -> tuple[Int64, Int64]:
    """Where each row's features start, and how many bytes they have; what has no names has none."""
    found = scanned.predictions
    lengths = np.maximum(found.integers(length), 0)
    codes = found.codes(slot)
    if (codes < 0).any():
        lengths[codes < 0] = 0
    return found.integers(start), lengths


def _wrong_lengths(scanned: Scanned) -> list[Bool | None]:
    """Rows whose features are not as many as their names say."""
    found = scanned.predictions
    wrong: list[Bool | None] = []
    for column, slot, size in _NAMED:
        if scanned.values.has(slot):
            lengths = found.integers(column)
            meanings = scanned.values.of_predictions(slot)
            if meanings.count is not None and (lengths == meanings.count * size).all():
                continue
            named = meanings.counts(found.codes(slot))
            wrong.append((lengths >= 0) & (lengths != named * size))
    return wrong


def _with_probabilities(scanned: Scanned, batch: PredictionBatch) -> tuple[PredictionBatch, Bool]:
    """The batch with its probabilities, and the rows that have not one for each class."""
    found = scanned.predictions
    classes, bad = scanned.values.of_predictions(_CLASSES).coded(found.codes(_CLASSES))
    counts = [len(probabilities.classes_of(text)) for text in classes.values]
    entries = found.integers(predictions.PROBABILITIES)
    wrong = (entries >= 0) & (entries != np.array([*counts, -1, -1])[classes.codes])
    wrong |= (entries >= 0) & (False if bad is None else bad)
    kept = (entries > 0) & ~wrong
    for code, task in [(-1, None), *enumerate(batch.task.values)]:
        for number, count in enumerate(counts):
            if not probabilities.are_kept(task, count):
                kept &= ~((batch.task.codes == code) & (classes.codes == number))
    starts = found.integers(predictions.PROBABILITIES_START)
    encoded = scanned.texts(starts, np.where(kept, entries, 0) * probabilities.ENTRY_BYTES)
    listed, rows = probabilities.of_encoded(encoded, classes, kept)
    return replace(batch, probability_classes=listed, probabilities=rows), wrong


def label_rows(scanned: Scanned, origins: Sequence[Origin], received_ns: int) -> Part[LabelBatch]:
    """The labels among scanned records; arguments as `prediction_rows`."""
    found = scanned.labels
    refused: list[Bool | None] = []
    absent = Texts(_NO_BYTES, np.zeros(len(found) + 1, np.int64))

    def texts(slot: int, absent: str | None = None) -> Strings:
        column, bad = scanned.values.of_labels(slot).coded(found.codes(slot), absent)
        refused.append(bad)
        return column

    def ids(slot: int, column: int) -> Texts:
        if not scanned.seen_of_labels >> slot & 1:
            return absent
        return scanned.texts(found.integers(column), found.integers(column + 1))

    resources = found.integers(labels.RESOURCE)
    actual, value, bad = scanned.values.of_labels(_LABEL_CLASS).classes(
        found.codes(_LABEL_CLASS),
        found.doubles(labels.VALUE),
        found.integers(labels.VALUED) if scanned.seen_of_labels >> _LABEL_VALUE & 1 else None,
    )
    refused.append(bad)
    batch = LabelBatch(
        label_id=ids(_LABEL_ID, labels.LABEL_ID),
        revision=found.integers(labels.REVISION),
        environment=_of_resources([origin.environment for origin in origins], resources),
        model=texts(_MODEL_NAME),
        version=texts(_MODEL_VERSION),
        prediction_id=ids(_PREDICTION_ID, labels.PREDICTION_ID),
        index=found.integers(labels.INDEX).astype(np.int32),
        # Labels of items are not ordinary.
        item_id=absent,
        link_trace=found.pairs(labels.LINK_TRACE),
        link_span=found.integers(labels.LINK_SPAN).view(np.uint64),
        response_id=ids(_RESPONSE_ID, labels.RESPONSE_ID),
        entity_id=ids(_ENTITY_ID, labels.ENTITY_ID),
        target=texts(_TARGET_NAME, semconv.DEFAULT_TARGET),
        kind=texts(_TARGET_KIND, semconv.TARGET_KINDS[0]),
        actual=actual,
        value=value,
        text=ids(_LABEL_TEXT, labels.FREE_TEXT),
        time=found.integers(labels.TIME),
        received=np.full(len(found), received_ns, np.int64),
        source=texts(_LABEL_SOURCE),
        annotator_kind=texts(_LABEL_ANNOTATOR_KIND),
        deleted=found.integers(labels.DELETED) != 0,
        weight=found.doubles(labels.WEIGHT),
    )
    skewed = found.integers(labels.SKEWED) if scanned.skewed_labels else None
    return Part.of(batch, found.integers(labels.RECORD), skewed, any_of(refused))
