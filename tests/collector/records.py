"""Records for tests: small values with defaults, and batches made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from inferspan_collector.batches import (
    Decoded,
    LabelBatch,
    NamedBatch,
    PredictionBatch,
    StageBatch,
    Strings,
    Texts,
)
from inferspan_collector.decode import feature_rows

START_NS = 1_795_000_000_000_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


@dataclass(frozen=True)
class Prediction:
    """One prediction as a test writes it."""

    prediction_id: str = "order-1"
    predicted: str | None = "fraud"
    index: int = 0
    span_row: int = 0
    model: str = "fraud"
    version: str | None = "7"
    variant: str | None = None
    environment: str | None = None
    service: str | None = "fraud-api"
    operation: str = "predict"
    task: str | None = "binary_classification"
    positive_class: str | None = "fraud"
    trace: int = 1
    span: int = 1
    kind: int = 1
    event_time: int = START_NS
    duration: int = 5_000_000
    received: int = START_NS
    error_type: str | None = None
    score: float = float("nan")
    value: float = float("nan")
    slices: dict[str, str] = field(default_factory=dict, hash=False)
    features: dict[str, float | str] = field(default_factory=dict, hash=False)
    probabilities: dict[str, float] = field(default_factory=dict, hash=False)
    entity_id: str | None = None
    response_id: str | None = None
    adjusted_count: float = 1.0


@dataclass(frozen=True)
class Label:
    """One label as a test writes it."""

    prediction_id: str | None = "order-1"
    actual: str | None = "fraud"
    label_id: str = "label-1"
    revision: int = 0
    index: int = 0
    model: str | None = "fraud"
    version: str | None = None
    environment: str | None = None
    link_trace: int = 0
    link_span: int = 0
    target: str = "default"
    value: float = float("nan")
    time: int = START_NS + MINUTE_NS
    received: int = START_NS + MINUTE_NS
    source: str | None = None
    deleted: bool = False
    entity_id: str | None = None
    response_id: str | None = None
    item_id: str | None = None
    kind: str = "ground_truth"
    weight: float = 1.0


@dataclass(frozen=True)
class Stage:
    """One run of a step as a test writes it: of the prediction with the span `owner`."""

    stage: str | None = "features"
    phase: str | None = None
    trace: int = 1
    span: int = 100
    owner: int = 1
    start_time: int = START_NS
    duration: int = 2_000_000
    received: int = START_NS


def _halves(traces: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    mask = (1 << 64) - 1
    pairs = [(trace >> 64, trace & mask) for trace in traces]
    return np.array(pairs, np.uint64).reshape(-1, 2)


def _names(features: Mapping[str, float | str], kind: type) -> str | None:
    names = [name for name, value in features.items() if isinstance(value, kind)]
    return json.dumps(names, separators=(",", ":")) if names else None


def _numbers(features: Mapping[str, float | str]) -> bytes:
    values = [value for value in features.values() if isinstance(value, float)]
    return np.array(values, "<f8").tobytes()


def _texts(features: dict[str, float | str]) -> bytes:
    values = tuple(value for value in features.values() if isinstance(value, str))
    return feature_rows.array_bytes(values) if values else b""


def prediction_batch(rows: Sequence[Prediction]) -> PredictionBatch:
    """Turn records into the batch that a decoder would make of them."""
    texts = {
        name: Strings.of(getattr(row, name) for row in rows)
        for name in (
            "environment",
            "service",
            "model",
            "version",
            "variant",
            "operation",
            "task",
            "positive_class",
            "error_type",
            "predicted",
        )
    }
    keys = sorted({key for row in rows for key in row.slices})
    return PredictionBatch(
        **texts,
        prediction_id=Texts.of(row.prediction_id for row in rows),
        index=np.array([row.index for row in rows], np.int32),
        span_row=np.array([row.span_row for row in rows], np.int32),
        trace=_halves([row.trace for row in rows]),
        span=np.array([row.span for row in rows], np.uint64),
        kind=np.array([row.kind for row in rows], np.int8),
        event_time=np.array([row.event_time for row in rows], np.int64),
        start_time=np.array([row.event_time for row in rows], np.int64),
        duration=np.array([row.duration for row in rows], np.int64),
        received=np.array([row.received for row in rows], np.int64),
        score=np.array([row.score for row in rows], np.float64),
        value=np.array([row.value for row in rows], np.float64),
        adjusted_count=np.array([row.adjusted_count for row in rows], np.float64),
        probability_classes=Strings.of(_names(row.probabilities, float) for row in rows),
        probabilities=Texts.of_bytes([_numbers(row.probabilities) for row in rows]),
        feature_names=Strings.of(_names(row.features, float) for row in rows),
        category_names=Strings.of(_names(row.features, str) for row in rows),
        features=feature_rows.written(
            Texts.of_bytes([_numbers(row.features) for row in rows]),
            Texts.of_bytes([_texts(row.features) for row in rows]),
        ),
        slices={key: Strings.of(row.slices.get(key) for row in rows) for key in keys},
    )


def label_batch(rows: Sequence[Label]) -> LabelBatch:
    """Turn records into the batch that a decoder would make of them."""
    absent = Texts.constant(None, len(rows))
    return LabelBatch(
        label_id=Texts.of(row.label_id for row in rows),
        revision=np.array([row.revision for row in rows], np.int64),
        environment=Strings.of(row.environment for row in rows),
        model=Strings.of(row.model for row in rows),
        version=Strings.of(row.version for row in rows),
        prediction_id=Texts.of(row.prediction_id for row in rows),
        index=np.array([row.index for row in rows], np.int32),
        item_id=Texts.of(row.item_id for row in rows),
        link_trace=_halves([row.link_trace for row in rows]),
        link_span=np.array([row.link_span for row in rows], np.uint64),
        response_id=Texts.of(row.response_id for row in rows),
        entity_id=Texts.of(row.entity_id for row in rows),
        target=Strings.of(row.target for row in rows),
        kind=Strings.of(row.kind for row in rows),
        actual=Strings.of(row.actual for row in rows),
        value=np.array([row.value for row in rows], np.float64),
        text=absent,
        time=np.array([row.time for row in rows], np.int64),
        received=np.array([row.received for row in rows], np.int64),
        source=Strings.of(row.source for row in rows),
        annotator_kind=Strings.constant(None, len(rows)),
        deleted=np.array([row.deleted for row in rows], np.bool_),
        weight=np.array([row.weight for row in rows], np.float64),
    )


def named_batch(rows: Sequence[Prediction]) -> NamedBatch | None:
    """Those of the records that have another name, as a decoder gives them."""
    named = [row for row in rows if row.entity_id is not None or row.response_id is not None]
    if not named:
        return None
    batch = prediction_batch(named)
    return NamedBatch(
        entity_id=Texts.of(row.entity_id for row in named),
        response_id=Texts.of(row.response_id for row in named),
        environment=batch.environment,
        model=batch.model,
        version=batch.version,
        prediction_id=batch.prediction_id,
        trace=batch.trace,
        span=batch.span,
        span_row=batch.span_row,
        event_time=batch.event_time,
        received=batch.received,
    )


def stage_batch(rows: Sequence[Stage]) -> StageBatch:
    """Turn records into the batch that a decoder would make of them."""
    return StageBatch(
        trace=_halves([row.trace for row in rows]),
        span=np.array([row.span for row in rows], np.uint64),
        owner=np.array([row.owner for row in rows], np.uint64),
        stage=Strings.of(row.stage for row in rows),
        phase=Strings.of(row.phase for row in rows),
        start_time=np.array([row.start_time for row in rows], np.int64),
        duration=np.array([row.duration for row in rows], np.int64),
        received=np.array([row.received for row in rows], np.int64),
    )


def decoded(*rows: Prediction | Label | Stage) -> Decoded:
    """One request that holds these records, in this order."""
    predictions = [row for row in rows if isinstance(row, Prediction)]
    return Decoded(
        predictions=prediction_batch(predictions),
        labels=label_batch([row for row in rows if isinstance(row, Label)]),
        stages=stage_batch([row for row in rows if isinstance(row, Stage)]),
        named=named_batch(predictions),
    )
