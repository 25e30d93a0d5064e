"""Batches → tables the transaction's SQL reads: one column of each table is one array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from inferspan_collector import latency_sketch
from inferspan_collector.batches import LabelBatch, PredictionBatch, UInt64, id_hashes
from inferspan_collector.store.interning import Interner

Columns = dict[str, NDArray[Any]]


def stage_predictions(
    cursor: duckdb.DuckDBPyConnection, interner: Interner, batch: PredictionBatch, first_row: int
) -> None:
    """Make the batch readable as `staged_predictions`; row ids count up from `first_row`."""
    rows = len(batch)
    series, identities = interner.series(batch)
    columns: Columns = {
        "row_id": np.arange(first_row, first_row + rows, dtype=np.int64),
        "series_id": series,
        "identity": identities,
        "slices_id": interner.slices(batch),
        "id_hash": id_hashes(batch.prediction_id.objects()),
        "prediction_id": batch.prediction_id.objects(),
        "position": batch.index,
        "span_row": batch.span_row,
        "trace_high": np.ascontiguousarray(batch.trace[:, 0]),
        "trace_low": np.ascontiguousarray(batch.trace[:, 1]),
        "span": batch.span,
        "kind": batch.kind,
        "event_time": batch.event_time,
        "start_time": batch.start_time,
        "duration": batch.duration,
        "bucket": latency_sketch.buckets(batch.duration),
        "received": batch.received,
        "error_type": batch.error_type.objects(),
        "predicted": batch.predicted.objects(),
        "score": batch.score,
        "value": batch.value,
        "adjusted_count": batch.adjusted_count,
        "current": np.ones(rows, np.bool_),
    }
    cursor.register("staged_predictions", columns)


def stage_labels(cursor: duckdb.DuckDBPyConnection, batch: LabelBatch, first_row: int) -> None:
    """Make the batch readable as `staged_labels`; row ids count up from `first_row`."""
    rows = len(batch)
    columns: Columns = {
        "row_id": np.arange(first_row, first_row + rows, dtype=np.int64),
        "label_hash": id_hashes(batch.label_id.objects()),
        "label_id": batch.label_id.objects(),
        "revision": batch.revision,
        "content_hash": content_hashes(batch),
        "environment": batch.environment.objects(),
        "model": batch.model.objects(),
        "version": batch.version.objects(),
        "id_hash": id_hashes(batch.prediction_id.objects()),
        "prediction_id": batch.prediction_id.objects(),
        "position": batch.index,
        "link_trace_high": np.ascontiguousarray(batch.link_trace[:, 0]),
        "link_trace_low": np.ascontiguousarray(batch.link_trace[:, 1]),
        "link_span": batch.link_span,
        "response_id": batch.response_id.objects(),
        "entity_id": batch.entity_id.objects(),
        "target": batch.target.objects(),
        "kind": batch.kind.objects(),
        "actual": batch.actual.objects(),
        "value": batch.value,
        "text": batch.text.objects(),
        "time": batch.time,
        "received": batch.received,
        "source": batch.source.objects(),
        "annotator_kind": batch.annotator_kind.objects(),
        "deleted": batch.deleted,
        "weight": batch.weight,
    }
    cursor.register("staged_labels", columns)


def request_of(sizes: Sequence[int]) -> NDArray[np.int32]:
    """Number the request of each row, from the rows each request has."""
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def content_hashes(batch: LabelBatch) -> UInt64:
    """What each label says, as a number: tells a retry from another record of the same id.

    A time that is the time of receipt was given by us, and differs when the label comes again.
    """
    given = np.where(batch.time == batch.received, 0, batch.time)
    columns = (
        *(
            getattr(batch, name).objects()
            for name in ("environment", "model", "version", "target", "kind", "actual", "source")
        ),
        batch.prediction_id.objects(),
        batch.index,
        batch.link_trace[:, 0],
        batch.link_trace[:, 1],
        batch.link_span,
        batch.response_id.objects(),
        batch.entity_id.objects(),
        batch.value,
        batch.text.objects(),
        given,
        batch.annotator_kind.objects(),
        batch.deleted,
        batch.weight,
    )
    return id_hashes(repr(row) for row in zip(*(c.tolist() for c in columns), strict=True))
