"""Rows → columns: what the decoders found, stacked into the batches of `batches.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import LabelBatch, NamedBatch, PredictionBatch, Strings, Texts
from inferspan_collector.decode import feature_rows

NO_LINK = ((0, 0), 0)
"""A label that names no span."""


@dataclass(frozen=True, slots=True)
class Features:
    """The declared features of a span's rows: names as `PredictionBatch` has them, numbers as the
    bytes of float64, texts as those of an OTLP `ArrayValue`; () = of no row.
    """

    names: str | None = None
    values: Sequence[bytes] = ()
    category_names: str | None = None
    category_values: Sequence[bytes] = ()


NO_FEATURES: Final = Features()


@dataclass(frozen=True, slots=True)
class PredictionRows:
    """The rows of one prediction span: what they share, and one entry per row of what differs."""

    environment: str | None
    service: str | None
    model: str
    version: str | None
    variant: str | None
    operation: str
    task: str | None
    positive_class: str | None
    ids: list[str]
    index: list[int]
    trace: tuple[int, int]
    span: int
    kind: int
    event_time: int
    start_time: int
    duration: int
    error_type: str | None
    predicted: list[str | None]
    score: list[float]
    value: list[float]
    adjusted_count: float
    slices: dict[str, list[str | None]]
    skewed: bool
    """The event time was ahead of us and has been clamped."""
    ends_early: bool
    """The span ended before it started; its duration counts as 0."""
    entity_id: str | None = None
    response_id: str | None = None
    probability_classes: str | None = None
    probabilities: list[bytes] | None = None
    features: Features = NO_FEATURES

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label, checked. Fields as the columns of `LabelBatch`."""

    label_id: str
    revision: int = 0
    environment: str | None = None
    model: str | None = None
    version: str | None = None
    prediction_id: str | None = None
    index: int = 0
    item_id: str | None = None
    link: tuple[tuple[int, int], int] = NO_LINK
    response_id: str | None = None
    entity_id: str | None = None
    target: str = ""
    kind: str = ""
    actual: str | None = None
    value: float = math.nan
    text: str | None = None
    time: int = 0
    source: str | None = None
    annotator_kind: str | None = None
    deleted: bool = False
    weight: float = 1.0
    skewed: bool = False
    """The time was ahead of us and has been clamped."""


def prediction_batch(spans: list[PredictionRows], received_ns: int) -> PredictionBatch:
    """Stack the rows of several spans; all were received at the same moment."""
    if not spans:
        return PredictionBatch.empty()
    lengths = np.array([len(span) for span in spans])

    def shared(name: str) -> Strings:
        column = Strings.of(getattr(span, name) for span in spans)
        return Strings(np.repeat(column.codes, lengths), column.values)

    def numbers(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.repeat(np.array([getattr(span, name) for span in spans], dtype), lengths, axis=0)

    def rows(name: str) -> list[Any]:
        return [entry for span in spans for entry in getattr(span, name)]

    def feature_names(name: str) -> Strings:
        column = Strings.of(getattr(span.features, name) for span in spans)
        return Strings(np.repeat(column.codes, lengths), column.values)

    def feature_bytes(name: str) -> Texts:
        return Texts.of_bytes(
            [entry for span in spans for entry in getattr(span.features, name) or [b""] * len(span)]
        )

    slices = {
        key: Strings.of(
            entry for span in spans for entry in span.slices.get(key) or [None] * len(span)
        )
        for key in sorted({key for span in spans for key in span.slices})
    }
    return PredictionBatch(
        environment=shared("environment"),
        service=shared("service"),
        model=shared("model"),
        version=shared("version"),
        variant=shared("variant"),
        operation=shared("operation"),
        task=shared("task"),
        positive_class=shared("positive_class"),
        prediction_id=Texts.of(rows("ids")),
        index=np.array(rows("index"), np.int32),
        span_row=np.concatenate([np.arange(len(span), dtype=np.int32) for span in spans]),
        trace=numbers("trace", np.uint64),
        span=numbers("span", np.uint64),
        kind=numbers("kind", np.int8),
        event_time=numbers("event_time", np.int64),
        start_time=numbers("start_time", np.int64),
        duration=numbers("duration", np.int64),
        received=np.full(int(lengths.sum()), received_ns, np.int64),
        error_type=shared("error_type"),
        predicted=Strings.of(rows("predicted")),
        score=np.array(rows("score"), np.float64),
        value=np.array(rows("value"), np.float64),
        adjusted_count=numbers("adjusted_count", np.float64),
        feature_names=feature_names("names"),
        category_names=feature_names("category_names"),
        features=feature_rows.written(feature_bytes("values"), feature_bytes("category_values")),
        slices=slices,
        probability_classes=_of_rows_with_probabilities(spans),
        probabilities=Texts.of_bytes(
            [row for span in spans for row in span.probabilities or [b""] * len(span)]
        ),
    )


def _of_rows_with_probabilities(spans: list[PredictionRows]) -> Strings:
    return Strings.of(
        span.probability_classes if row else None
        for span in spans
        for row in span.probabilities or [b""] * len(span)
    )


def named_batch(spans: list[PredictionRows], received_ns: int) -> NamedBatch | None:
    """The rows of those spans that have another name beside their ids; None where none has."""
    rows = [
        (span, row)
        for span in spans
        if span.entity_id is not None or span.response_id is not None
        for row in range(len(span))
    ]
    if not rows:
        return None

    def texts(name: str) -> Strings:
        return Strings.of(getattr(span, name) for span, _ in rows)

    return NamedBatch(
        entity_id=Texts.of(span.entity_id for span, _ in rows),
        response_id=Texts.of(span.response_id for span, _ in rows),
        environment=texts("environment"),
        model=texts("model"),
        version=texts("version"),
        prediction_id=Texts.of(span.ids[row] for span, row in rows),
        trace=np.array([span.trace for span, _ in rows], np.uint64),
        span=np.array([span.span for span, _ in rows], np.uint64),
        span_row=np.array([row for _, row in rows], np.int32),
        event_time=np.array([span.event_time for span, _ in rows], np.int64),
        received=np.full(len(rows), received_ns, np.int64),
    )


def label_batch(rows: list[LabelRow], received_ns: int) -> LabelBatch:
    """Stack labels; all were received at the same moment."""
    if not rows:
        return LabelBatch.empty()

    def texts(name: str) -> Strings:
        return Strings.of(getattr(row, name) for row in rows)

    def plain(name: str) -> Texts:
        return Texts.of(getattr(row, name) for row in rows)

    def numbers(name: str, dtype: type[np.generic]) -> NDArray[Any]:
        return np.array([getattr(row, name) for row in rows], dtype)

    return LabelBatch(
        label_id=plain("label_id"),
        revision=numbers("revision", np.int64),
        environment=texts("environment"),
        model=texts("model"),
        version=texts("version"),
        prediction_id=plain("prediction_id"),
        index=numbers("index", np.int32),
        item_id=plain("item_id"),
        link_trace=np.array([row.link[0] for row in rows], np.uint64),
        link_span=np.array([row.link[1] for row in rows], np.uint64),
        response_id=plain("response_id"),
        entity_id=plain("entity_id"),
        target=texts("target"),
        kind=texts("kind"),
        actual=texts("actual"),
        value=numbers("value", np.float64),
        text=plain("text"),
        time=numbers("time", np.int64),
        received=np.full(len(rows), received_ns, np.int64),
        source=texts("source"),
        annotator_kind=texts("annotator_kind"),
        deleted=numbers("deleted", np.bool_),
        weight=numbers("weight", np.float64),
    )
