"""The batches that travel between stages: struct-of-arrays, one row per prediction or label.

Stages exchange these and nothing else, so that no stage ever holds one Python object per span.
Every column of a batch has the same length N. Absent texts have code -1, or no bytes where they are
not coded; absent numbers are NaN, absent trace ids are zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]
UInt64 = NDArray[np.uint64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Objects = NDArray[np.object_]


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """A dictionary-encoded text column: `codes[i]` indexes `values`, -1 = absent.

    For texts with few distinct values (model, class, slice); ids are `Texts`.
    """

    codes: Int32
    values: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """Encode texts, in order of first appearance; None is absent."""
        seen: dict[str, int] = {}
        codes = [-1 if text is None else seen.setdefault(text, len(seen)) for text in texts]
        return cls(np.array(codes, dtype=np.int32), tuple(seen))

    @classmethod
    def constant(cls, text: str | None, rows: int) -> Self:
        """A column that says the same in every row."""
        if text is None:
            return cls(np.full(rows, -1, dtype=np.int32), ())
        return cls(np.zeros(rows, dtype=np.int32), (text,))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack columns, merging their dictionaries."""
        if not parts:
            return cls.of([])
        first = parts[0].values
        if all(part.values == first for part in parts):
            return cls(np.concatenate([part.codes for part in parts]), first)
        seen: dict[str, int] = {}
        codes = []
        for part in parts:
            merged = [seen.setdefault(value, len(seen)) for value in part.values]
            if merged == list(range(len(merged))):
                codes.append(part.codes)
            else:
                # The extra last entry makes code -1 map to itself.
                codes.append(np.array([*merged, -1], dtype=np.int32)[part.codes])
        return cls(np.concatenate(codes), tuple(seen))

    def objects(self) -> Objects:
        """Decode to an object array of str and None."""
        table = np.empty(len(self.values) + 1, dtype=np.object_)
        table[:-1] = self.values
        return table[self.codes]

    def text(self, row: int) -> str | None:
        """The text of one row."""
        code = self.codes[row]
        return None if code < 0 else self.values[code]

    def take(self, rows: NDArray[Any]) -> Strings:
        """Select rows by index or mask."""
        return Strings(self.codes[rows], self.values)

    def map(self, texts: Mapping[str, str]) -> Strings:
        """Replace texts by others; what the mapping does not name stays."""
        return Strings.of(
            None if text is None else texts.get(text, text) for text in self.objects()
        )

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A text column of N rows with few repetitions: its UTF-8, one entry behind the other.

    Entry i is `data[offsets[i]:offsets[i + 1]]`; `offsets` is int64[N + 1] and rises from 0 to the
    length of `data`. An entry without bytes is absent: no id is the empty text.
    """

    data: UInt8
    offsets: Int64

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """Write texts one behind the other; None and the empty text are absent."""
        encoded = [b"" if text is None else text.encode() for text in texts]
        return cls._stacked(np.frombuffer(b"".join(encoded), np.uint8), list(map(len, encoded)))

    @classmethod
    def constant(cls, text: str | None, rows: int) -> Self:
        """A column that says the same in every row."""
        one = np.frombuffer((text or "").encode(), np.uint8)
        return cls._stacked(np.tile(one, rows), np.full(rows, len(one), np.int64))

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack columns."""
        if not parts:
            return cls.of([])
        offsets = np.zeros(1 + sum(map(len, parts)), np.int64)
        rows = size = 0
        for part in parts:
            end = rows + len(part)
            np.add(part.offsets[1:], size, out=offsets[rows + 1 : end + 1])
            rows, size = end, size + len(part.data)
        return cls(np.concatenate([part.data for part in parts]), offsets)

    @classmethod
    def _stacked(cls, data: UInt8, lengths: Sequence[int] | Int64) -> Self:
        offsets = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        return cls(data, offsets)

    def lengths(self) -> Int64:
        """Bytes of each entry."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[Any]) -> Texts:
        """Select rows by index or mask."""
        lengths = self.lengths()[rows]
        taken = Texts._stacked(self.data, lengths)
        shift = np.repeat(self.offsets[:-1][rows] - taken.offsets[:-1], lengths)
        return Texts(self.data[shift + np.arange(len(shift))], taken.offsets)

    def objects(self) -> Objects:
        """Decode to an object array of str and None."""
        raw, ends = self.data.tobytes(), self.offsets.tolist()
        column = np.empty(len(self), np.object_)
        # Offsets count bytes: only of ASCII they count characters as well.
        if raw.isascii():
            text = raw.decode("ascii")
            column[:] = [text[start:end] or None for start, end in pairwise(ends)]
        else:
            column[:] = [raw[start:end].decode() or None for start, end in pairwise(ends)]
        return column

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True, eq=False)
class PredictionBatch:
    """Predictions, one row each; a batch call of K rows gives K rows.

    `index` is 0…K-1 within a batch call that shares one id, 0 where rows have their own;
    `span_row` is the place within the span, 0…K-1, in either case.
    Times are Unix nanoseconds, durations nanoseconds. `trace` is uint64[N, 2], the big-endian
    halves of the trace id. `predicted` is the class as `semconv.class_text` writes it (of
    a multilabel row or a ranking, as `several_classes` does); `score` and `value` are NaN when
    absent.
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

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    @cache
    def empty(cls) -> Self:
        """A batch of no rows."""
        return cls.concat([])

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

    def take(self, rows: NDArray[Any]) -> PredictionBatch:
        """Select rows by index or mask; a slice that none of them has is left out."""
        slices = {key: column.take(rows) for key, column in self.slices.items()}
        present = {key: column for key, column in slices.items() if (column.codes >= 0).any()}
        return PredictionBatch(**_take_rows(self, rows, skip="slices"), slices=present)


@dataclass(frozen=True, slots=True, eq=False)
class LabelBatch:
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

    @classmethod
    @cache
    def empty(cls) -> Self:
        """A batch of no rows."""
        return cls.concat([])

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack batches."""
        return cls(**_concat_columns(cls, parts))

    def take(self, rows: NDArray[Any]) -> LabelBatch:
        """Select rows by index or mask."""
        return LabelBatch(**_take_rows(self, rows))


@dataclass(frozen=True, slots=True, eq=False)
class NamedBatch:
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

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """Stack batches."""
        return cls(**_concat_columns(cls, parts))

    def take(self, rows: NDArray[Any]) -> NamedBatch:
        """Select rows by index or mask."""
        return NamedBatch(**_take_rows(self, rows))


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
    """`predictions`, `slim_records` or `labels`: the record is left out. `slices`, `features`:
    those of predictions that were taken are. `durations`: a prediction was taken, its duration
    counts as 0."""
    reason: str
    """A short code of a fixed set, fit for a counter's label: `missing_model`."""
    message: str
    """One clear line: the value, the rule and the remedy."""


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What one request held: its batches, and what in it was refused and why."""

    predictions: PredictionBatch
    labels: LabelBatch
    slim_records: int = 0
    """Slim records among what gave the predictions."""
    refused: tuple[Refusal, ...] = ()
    ignored: int = 0
    """Spans that are not ours (other scopes, stage spans): fine, and of no interest here."""
    clock_skewed: int = 0
    """Rows whose event time lay in our future and was clamped to the time of receipt."""
    size_bytes: int = 0
    """Bytes of the request after decompression: what the queue's limit counts."""
    named: NamedBatch | None = None
    """Those of its predictions that have another name; None where none has."""
    mapped: Mapping[str, int] = field(default_factory=dict)
    """Mapping → foreign spans that it took for predictions or labels, refused ones left out."""
