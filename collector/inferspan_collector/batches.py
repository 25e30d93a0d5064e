"""The batches that travel between stages: struct-of-arrays, one row per prediction or label.

Stages exchange these and nothing else, so that no stage ever holds one Python object per span.
Every column of a batch has the same length N. Absent texts have code -1, or no bytes where they are
not coded; absent numbers are NaN, absent trace ids are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.text_columns import NO_STRINGS, NO_TEXTS
from inferspan_collector.text_columns import Int32 as Int32
from inferspan_collector.text_columns import Int64 as Int64
from inferspan_collector.text_columns import Objects as Objects
from inferspan_collector.text_columns import Strings as Strings
from inferspan_collector.text_columns import Texts as Texts
from inferspan_collector.text_columns import UInt8 as UInt8
from inferspan_collector.text_columns import object_column as object_column

Int8 = NDArray[np.int8]
UInt64 = NDArray[np.uint64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
UNSAMPLED: Final = -1
"""The kind of a prediction whose slim record says that no span of it was sampled."""


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """What batches of all kinds of rows can do."""

    @classmethod
    @cache
    def empty(cls) -> Self:
        """A batch of no rows."""
        return cls.concat([])

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack batches."""
        return cls(**_concat_columns(cls, parts))

    def take(self, rows: NDArray[Any]) -> Self:
        """Select rows by index or mask."""
        return type(self)(**_take_rows(self, rows))


@dataclass(frozen=True, slots=True, eq=False)
class PredictionBatch(_Batch):
    """Predictions, one row each; a batch call of K rows gives K rows.

    `index` is 0…K-1 within a batch call that shares one id, 0 where rows have their own;
    `span_row` is the place within the span, 0…K-1, in either case.
    Times are Unix nanoseconds, durations nanoseconds. `trace` is uint64[N, 2], the big-endian
    halves of the trace id; `kind` is the span's; where a slim record came, it is `UNSAMPLED` if
    that says so, else UNSPECIFIED. `predicted` is the class as `semconv.class_text` writes it (of
    a multilabel row or a ranking, as `several_classes` does); `score` and `value` are NaN when
    absent. `probabilities` are those of a multiclass row: a little-endian double for each class
    that its `probability_classes` lists, a JSON array. Of
    declared features, names of numbers and of texts are JSON arrays, the values of both are rows of
    `decode.feature_rows`. These five are absent in all rows unless given.
    """

    environment: Strings
    service: Strings
    model: Strings
    version: Strings
    variant: Strings
    operation: Strings
    task: Strings
    positive_class: Strings
    prediction_id: Texts
    index: Int32
    span_row: Int32
    trace: UInt64
    span: UInt64
    kind: Int8
    event_time: Int64
    start_time: Int64
    duration: Int64
    received: Int64
    error_type: Strings
    predicted: Strings
    score: Float64
    value: Float64
    adjusted_count: Float64
    slices: Mapping[str, Strings] = field(default_factory=dict)
    probability_classes: Strings = NO_STRINGS
    probabilities: Texts = NO_TEXTS
    feature_names: Strings = NO_STRINGS
    category_names: Strings = NO_STRINGS
    features: Texts = NO_TEXTS

    def __post_init__(self) -> None:
        rows = len(self.index)
        for values, *names in (
            ("probabilities", "probability_classes"),
            ("features", "feature_names", "category_names"),
        ):
            if len(getattr(self, values)) != rows:
                object.__setattr__(self, values, Texts.constant(None, rows))
                for name in names:
                    object.__setattr__(self, name, Strings.constant(None, rows))

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack batches; a slice that one of them lacks is absent in its rows."""
        columns = _concat_columns(cls, parts, skip="slices")
        keys = sorted({key for part in parts for key in part.slices})
        slices = {
            key: Strings.concat(
                [part.slices.get(key, Strings.constant(None, len(part))) for part in parts]
            )
            for key in keys
        }
        return cls(**columns, slices=slices)

    def take(self, rows: NDArray[Any]) -> Self:
        """Select rows by index or mask; a slice that none of them has is left out."""
        slices = {key: column.take(rows) for key, column in self.slices.items()}
        present = {key: column for key, column in slices.items() if (column.codes >= 0).any()}
        return type(self)(**_take_rows(self, rows, skip="slices"), slices=present)


@dataclass(frozen=True, slots=True, eq=False)
class LabelBatch(_Batch):
    """Labels: the truth that arrives later, one row each. Deletions are rows too.

    A row names its prediction by `prediction_id` (with `model`, `index`), else by the one link
    (`link_trace`, `link_span`; `index` is then the place within that span), else by `response_id`,
    else by `entity_id`; of a ranking it may say which item, `item_id`. `environment` and
    `version` narrow the match when present. `actual` is the truth as text (`class_text` of a
    number too; a set as a sorted JSON array); `value` is the truth as a number, NaN when it is
    none. `time` is when the outcome became known, `received` when we accepted it, in Unix ns.
    """

    label_id: Texts
    revision: Int64
    environment: Strings
    model: Strings
    version: Strings
    prediction_id: Texts
    index: Int32
    item_id: Texts
    link_trace: UInt64
    link_span: UInt64
    response_id: Texts
    entity_id: Texts
    target: Strings
    kind: Strings
    actual: Strings
    value: Float64
    text: Texts
    time: Int64
    received: Int64
    source: Strings
    annotator_kind: Strings
    deleted: Bool
    weight: Float64

    def __len__(self) -> int:
        return len(self.index)

    def names_no_key(self) -> Bool:
        """Which labels do not name their prediction by its id and model: bool[N]."""
        mask: Bool = (self.prediction_id.lengths() == 0) | (self.model.codes < 0)
        return mask


@dataclass(frozen=True, slots=True, eq=False)
class StageBatch(_Batch):
    """How long steps of predictions took, one row for each run of a step.

    A row is of `stage`, and of `phase` where only a part of it is meant; a phase without a stage is
    one of the call itself. `trace` and `span` name the span that says it, `owner` the span of the
    prediction that it is of, in the same trace. `start_time` is the span's, Unix ns, `duration` of
    the step, ns.
    """

    trace: UInt64
    span: UInt64
    owner: UInt64
    stage: Strings
    phase: Strings
    start_time: Int64
    duration: Int64
    received: Int64

    def __len__(self) -> int:
        return len(self.span)


@dataclass(frozen=True, slots=True, eq=False)
class NamedBatch(_Batch):
    """Predictions that have another name beside their id: an entity's, a response's; one row each.

    Columns as those of `PredictionBatch`; each row has an `entity_id`, a `response_id`, or both.
    """

    entity_id: Texts
    response_id: Texts
    environment: Strings
    model: Strings
    version: Strings
    prediction_id: Texts
    trace: UInt64
    span: UInt64
    span_row: Int32
    event_time: Int64
    received: Int64

    def __len__(self) -> int:
        return len(self.span)


_EMPTY_COLUMNS: dict[str, NDArray[Any]] = {
    "Int8": np.empty(0, np.int8),
    "Int32": np.empty(0, np.int32),
    "Int64": np.empty(0, np.int64),
    "Float64": np.empty(0, np.float64),
    "Bool": np.empty(0, np.bool_),
}


def _concat_columns(cls: type, parts: Sequence[Any], skip: str = "") -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for column in fields(cls):
        if column.name == skip:
            continue
        values = [getattr(part, column.name) for part in parts]
        if column.type == "Strings":
            columns[column.name] = Strings.concat(values)
        elif column.type == "Texts":
            columns[column.name] = Texts.concat(values)
        elif values:
            columns[column.name] = np.concatenate(values)
        elif column.type == "UInt64":
            shape = (0, 2) if column.name in ("trace", "link_trace") else (0,)
            columns[column.name] = np.empty(shape, np.uint64)
        else:
            columns[column.name] = _EMPTY_COLUMNS[str(column.type)]
    return columns


def _take_rows(batch: Any, rows: NDArray[Any], skip: str = "") -> dict[str, Any]:
    columns = {each.name: getattr(batch, each.name) for each in fields(batch) if each.name != skip}
    return {
        name: column[rows] if isinstance(column, np.ndarray) else column.take(rows)
        for name, column in columns.items()
    }


@dataclass(frozen=True, slots=True)
class Refusal:
    """One span, log record or line that was refused; its neighbours are not."""

    signal: str
    """`predictions`, `slim_records` or `labels`: the record is left out. `calls`: one of a slim
    record that was taken is. `slices`, `features`, `phases`: those of predictions or stages that
    were taken are. `durations`: a prediction was taken, its duration counts as 0."""
    reason: str
    """A short code of a fixed set, fit for a counter's label: `missing_model`."""
    message: str
    """One clear line: the value, the rule and the remedy."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What one request held: its batches, and what in it was refused and why."""

    predictions: PredictionBatch
    labels: LabelBatch
    stages: StageBatch = field(default_factory=StageBatch.empty)
    slim_records: int = 0
    """Slim records among what gave the predictions."""
    refused: tuple[Refusal, ...] = ()
    ignored: int = 0
    """Spans that are not ours (other scopes, stages of nothing): fine, and of no interest here."""
    clock_skewed: int = 0
    """Rows whose event time lay in our future and was clamped to the time of receipt."""
    size_bytes: int = 0
    """Bytes of the request after decompression: what the queue's limit counts."""
    named: NamedBatch | None = None
    """Those of its predictions that have another name; None where none has."""
    mapped: Mapping[str, int] = field(default_factory=dict)
    """Mapping → foreign spans that it took for predictions or labels, refused ones left out."""
