"""Batches → columns of the store's tables, and tables that the SQL join reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import (
    UNSAMPLED,
    Bool,
    Float64,
    Int32,
    Int64,
    LabelBatch,
    PredictionBatch,
    Strings,
    Texts,
    UInt64,
    object_column,
)
from inferspan_collector.store import grouping, keys
from inferspan_collector.store.dictionary import Dictionary
from inferspan_collector.store.keys import Keys, Secret

Columns = dict[str, Any]
"""Of a table, by name: arrays, or `Strings`. What is left out is NULL in all rows."""

_CLIENT: Final = 3
"""OTLP's SPAN_KIND_CLIENT."""
_VALUES_MAX: Final = 256
"""Texts that one statement takes as a list."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """A batch with what the store knows of its rows."""

    batch: PredictionBatch
    rows: Int64
    keys: Keys
    series: Int32
    identities: UInt64
    folded: Bool
    slices: Int32

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """A batch with what the store knows of its rows.

    `by_link`: the row names its prediction by a link alone; of all others the link says nothing.
    """

    batch: LabelBatch
    rows: Int64
    own: Keys
    keys: Keys
    content: UInt64
    by_link: Bool

    def __len__(self) -> int:
        return len(self.rows)


def known_labels(batch: LabelBatch, secret: Secret, first_row: int) -> Labels:
    """Key the labels of a batch; row ids count up from `first_row`."""
    unnamed = batch.names_no_key()
    return Labels(
        batch=batch,
        rows=np.arange(first_row, first_row + len(batch), dtype=np.int64),
        own=secret.keys(batch.label_id),
        keys=secret.keys(batch.prediction_id),
        content=content_hashes(batch),
        by_link=unnamed & (batch.link_span != 0),
    )


def prediction_columns(known: Predictions, new: NDArray[Any]) -> tuple[Columns, Columns]:
    """The columns of `predictions` for rows chosen by mask, and those of their details."""
    batch = known.batch
    columns: Columns = {
        "row_id": known.rows,
        "key_high": known.keys.high,
        "key_low": known.keys.low,
        **_texts("id_text", batch.prediction_id, known.keys.hashed),
        "trace_high": batch.trace[:, 0],
        "trace_low": batch.trace[:, 1],
        "span": batch.span,
        "series_id": known.series,
        "slices_id": known.slices,
        "event_time": batch.event_time,
        "duration": batch.duration,
        "received": batch.received,
        "predicted": batch.predicted,
        **_numbers("score", batch.score),
        **_numbers("value", batch.value),
        "unsampled": batch.kind == UNSAMPLED,
    }
    unusual = (
        known.folded
        | (batch.index != 0)
        | (batch.span_row != 0)
        | (batch.kind == _CLIENT)
        | (batch.start_time != batch.event_time)
        | (batch.error_type.codes >= 0)
        | (batch.adjusted_count != 1)
    ) & new
    details: Columns = {
        "row_id": known.rows[unusual],
        "identity": np.ma.masked_array(known.identities[unusual], ~known.folded[unusual]),
        "position": batch.index[unusual],
        "span_row": batch.span_row[unusual],
        "client": batch.kind[unusual] == _CLIENT,
        "start_time": batch.start_time[unusual],
        "error_type": batch.error_type.take(unusual).objects(),
        "adjusted_count": batch.adjusted_count[unusual],
    }
    return _taken(columns, new), details


def probability_columns(known: Predictions, new: NDArray[Any]) -> Columns:
    """The columns of `prediction_probabilities` for rows chosen by mask, of those that have any."""
    batch = known.batch
    if not len(batch.probabilities.data):
        return {"row_id": known.rows[:0]}
    rows = np.flatnonzero((batch.probabilities.lengths() > 0) & new)
    column = batch.probabilities.take(rows)
    raw, ends = column.data.tobytes(), column.offsets.tolist()
    return {
        "row_id": known.rows[rows],
        "classes": batch.probability_classes.take(rows).objects(),
        "doubles": object_column(raw[start:end] for start, end in pairwise(ends)),
    }


def label_columns(known: Labels, new: NDArray[Any], sets: Dictionary) -> tuple[Columns, Columns]:
    """The columns of `labels` for rows chosen by mask, and those of their details."""
    batch = known.batch
    columns: Columns = {
        "row_id": known.rows,
        "label_high": known.own.high,
        "label_low": known.own.low,
        **_texts("label_text", batch.label_id, known.own.hashed),
        "revision": batch.revision,
        "content_hash": known.content,
        "key_high": known.keys.high,
        "key_low": known.keys.low,
        **_texts("id_text", batch.prediction_id, known.keys.hashed),
        "set_id": _label_sets(batch, sets),
        "actual": batch.actual,
        **_numbers("value", batch.value),
        "time": batch.time,
        "received": batch.received,
    }
    lengths = (column.lengths() for column in _rare_texts(batch))
    unusual = (
        (batch.index != 0)
        | known.by_link
        | (sum(lengths) > 0)
        | batch.deleted
        | (batch.weight != 1)
    ) & new
    linked = known.by_link[unusual]
    details: Columns = {
        "row_id": known.rows[unusual],
        "position": batch.index[unusual],
        "link_trace_high": np.where(linked, batch.link_trace[unusual, 0], 0),
        "link_trace_low": np.where(linked, batch.link_trace[unusual, 1], 0),
        "link_span": np.where(linked, batch.link_span[unusual], 0),
        "response_id": batch.response_id.take(unusual).objects(),
        "entity_id": batch.entity_id.take(unusual).objects(),
        "text": batch.text.take(unusual).objects(),
        "deleted": batch.deleted[unusual],
        "weight": batch.weight[unusual],
        "item_id": batch.item_id.take(unusual).objects(),
    }
    return _taken(columns, new), details


def stage_predictions(
    cursor: duckdb.DuckDBPyConnection, known: Predictions, rows: NDArray[Any]
) -> None:
    """Make rows chosen by mask readable as `staged_predictions`, whole."""
    batch = known.batch
    columns: Columns = {
        "row_id": known.rows,
        "series_id": known.series,
        "identity": known.identities,
        "slices_id": known.slices,
        "key_high": known.keys.high,
        "key_low": known.keys.low,
        "position": batch.index,
        "span_row": batch.span_row,
        "trace_high": batch.trace[:, 0],
        "trace_low": batch.trace[:, 1],
        "span": batch.span,
        "client": batch.kind == _CLIENT,
        "event_time": batch.event_time,
        "start_time": batch.start_time,
        "duration": batch.duration,
        "received": batch.received,
        "score": batch.score,
        "value": batch.value,
        "adjusted_count": batch.adjusted_count,
    }
    columns = _taken(columns, rows)
    columns["prediction_id"] = batch.prediction_id.take(rows).objects()
    columns["error_type"] = batch.error_type.take(rows).objects()
    columns["predicted"] = batch.predicted.take(rows).objects()
    columns["current"] = np.ones(len(columns["row_id"]), np.bool_)
    cursor.register("staged_predictions", columns)


def stage_labels(cursor: duckdb.DuckDBPyConnection, known: Labels, rows: NDArray[Any]) -> None:
    """Make rows chosen by mask readable as `staged_labels`, whole."""
    batch = known.batch
    columns: Columns = {
        "row_id": known.rows,
        "label_high": known.own.high,
        "label_low": known.own.low,
        "revision": batch.revision,
        "content_hash": known.content,
        "key_high": known.keys.high,
        "key_low": known.keys.low,
        "position": batch.index,
        "link_trace_high": np.where(known.by_link, batch.link_trace[:, 0], 0),
        "link_trace_low": np.where(known.by_link, batch.link_trace[:, 1], 0),
        "link_span": np.where(known.by_link, batch.link_span, 0),
        "value": batch.value,
        "time": batch.time,
        "received": batch.received,
        "deleted": batch.deleted,
    }
    columns = _taken(columns, rows)
    columns["label_id"] = batch.label_id.take(rows).objects()
    columns["item_id"] = batch.item_id.take(rows).objects()
    for name in ("environment", "model", "version", "target", "kind", "actual", "source"):
        columns[name] = getattr(batch, name).take(rows).objects()
    cursor.register("staged_labels", columns)


def request_of(sizes: Sequence[int]) -> NDArray[np.int32]:
    """Number the request of each row, from the rows each request has."""
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def content_hashes(batch: LabelBatch) -> UInt64:
    """What each label says, as a number: tells a retry from another record of the same id.

    A time that is the time of receipt was given by us, and differs when the label comes again.
    """
    columns = (
        *(
            keys.string_hashes(getattr(batch, name))
            for name in (
                "environment", "model", "version", "target", "kind", "actual", "source",
                "annotator_kind",
            )
        ),
        *(
            keys.text_hashes(getattr(batch, name))
            for name in ("prediction_id", "response_id", "entity_id", "text")
        ),
        # Of a label without an item, which most are, this is its index alone.
        batch.index.astype(np.uint64) ^ keys.text_hashes(batch.item_id),
        batch.link_trace[:, 0],
        batch.link_trace[:, 1],
        batch.link_span,
        np.where(np.isnan(batch.value), np.nan, batch.value).view(np.uint64),
        np.where(batch.time == batch.received, 0, batch.time).view(np.uint64),
        batch.deleted.astype(np.uint64),
        batch.weight.view(np.uint64),
    )  # fmt: skip
    return keys.row_hashes(np.stack(columns))


def _label_sets(batch: LabelBatch, sets: Dictionary) -> Int32:
    columns = [
        getattr(batch, name)
        for name in (
            "environment", "model", "version", "target", "kind", "source", "annotator_kind",
        )
    ]  # fmt: skip
    group, first = grouping.groups([column.codes for column in columns])
    found = [tuple(column.text(row) for column in columns) for row in first.tolist()]
    return np.array(sets.numbers(found), np.int32)[group]


def _rare_texts(batch: LabelBatch) -> tuple[Texts, ...]:
    return batch.response_id, batch.entity_id, batch.text, batch.item_id


def _texts(name: str, column: Texts, hashed: Bool) -> Columns:
    """The texts of ids that are not in their key; padded; None for the others."""
    if not hashed.any():
        return {}
    texts = np.full(len(hashed), None, np.object_)
    texts[hashed] = keys.padded(column.take(hashed).objects())
    return {name: texts}


def _numbers(name: str, column: Float64) -> Columns:
    """Numbers; what is none is NULL."""
    return {} if np.isnan(column).all() else {name: column}


def _taken(columns: Columns, rows: Bool) -> Columns:
    every = bool(rows.all())
    return {
        name: column.take(rows)
        if isinstance(column, Strings)
        else np.ascontiguousarray(column)
        if every
        else column[rows]
        for name, column in columns.items()
    }


def insert(cursor: duckdb.DuckDBPyConnection, table: str, columns: Columns) -> None:
    """Append columns, named as the table's."""
    if not len(next(iter(columns.values()))):
        return
    # DuckDB finds it by its name, which is a quarter of a millisecond cheaper than to register it.
    new_rows = dict(columns)
    texts, listed = [], []
    for name, column in columns.items():
        if not isinstance(column, Strings):
            continue
        if len(column.values) > _VALUES_MAX:
            new_rows[name] = column.objects()
            continue
        # A Python object for each text would have to be made, and read under Python's lock.
        new_rows[name] = column.codes + np.int64(1)
        texts.append(f"list_extract(?::VARCHAR[], {name}) AS {name}")
        listed.append(list(column.values))
    chosen = f"* REPLACE ({', '.join(texts)})" if texts else "*"
    cursor.execute(f"INSERT INTO {table} BY NAME SELECT {chosen} FROM new_rows", listed)
