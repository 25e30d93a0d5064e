"""Spans of wrong predictions that were not sampled, put together from what the store knows of them.

A span is rebuilt once, with the first evaluation that finds its prediction wrong: what was sent to
Jaeger is never changed, and a second one of other content would stand beside the first.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from inferspan import semconv
from inferspan_collector.store import feature_blocks

COLUMNS: Final = """
    p.row_id, p.trace_high, p.trace_low, p.span, p.start_time, p.event_time, p.slices_id,
    p.prediction_id, p.position, p.predicted, p.score, p.value, s.model, s.version, s.variant,
    s.operation, s.task
"""
"""What makes an `Unsampled`, of `full_rows.predictions` as p and `series` as s."""
_KNOWN: Final = """
SELECT trace_high, trace_low, span FROM rebuilt_spans
WHERE span IN (SELECT unnest(?::UBIGINT[]))
"""
_SLICES: Final = """
SELECT slice_key, slice_value FROM slice_sets
WHERE slices_id = ? AND slice_key <> '' ORDER BY slice_key
"""


@dataclass(frozen=True, slots=True)
class Unsampled:
    """A row whose slim record says that its span was not sampled; times are Unix ns."""

    row_id: int
    trace_high: int
    trace_low: int
    span: int
    start_time: int
    event_time: int
    slices_id: int
    prediction_id: str
    position: int
    predicted: str | None
    score: float
    value: float
    model: str
    version: str | None
    variant: str | None
    operation: str | None
    task: str | None

    @property
    def context(self) -> tuple[int, int, int]:
        """Trace and span."""
        return self.trace_high, self.trace_low, self.span


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Spans that are to be sent, by the place of their row, and how many were left out."""

    texts: Mapping[int, str]
    left_out: int = 0


def rebuild(
    cursor: duckdb.DuckDBPyConnection, wrong: Mapping[int, Unsampled], most: int
) -> Rebuilt:
    """Rebuild the spans of wrong rows, inside the open transaction; some 3 ms each.

    Rows of a batch call share a span, which says what the first of them that was wrong says.

    Args:
        cursor: of the transaction.
        wrong: place → row, the first ones first.
        most: spans that may be rebuilt now.
    """
    first: dict[tuple[int, int, int], int] = {}
    for place, row in wrong.items():
        if row.span and (row.trace_high or row.trace_low):
            first.setdefault(row.context, place)
    if not first:
        return Rebuilt({})
    spans = [span for _, _, span in first]
    known = set(cursor.execute(_KNOWN, [spans]).fetchall())
    due = [place for context, place in first.items() if context not in known]
    taken = due[:most]
    if taken:
        cursor.executemany(
            "INSERT INTO rebuilt_spans VALUES (?, ?, ?, ?)",
            [[wrong[place].row_id, *wrong[place].context] for place in taken],
        )
    texts = {place: _text(cursor, wrong[place]) for place in taken}
    return Rebuilt(texts, len(due) - len(taken))


def _text(cursor: duckdb.DuckDBPyConnection, row: Unsampled) -> str:
    """What the span says, as the outbox keeps it: the same whenever it is sent."""
    attributes: dict[str, Any] = {
        semconv.MATERIALIZED: "true",
        semconv.OPERATION_NAME: row.operation,
        semconv.MODEL_NAME: row.model,
        semconv.MODEL_VERSION: row.version,
        semconv.MODEL_VARIANT: row.variant,
        semconv.TASK_TYPE: row.task,
        semconv.PREDICTION_ID: row.prediction_id,
        semconv.PREDICTION_INDEX: row.position or None,
        semconv.OUTPUT_CLASS: row.predicted,
        semconv.OUTPUT_SCORE: row.score,
        semconv.OUTPUT_VALUE: row.value,
    }
    for key, value in cursor.execute(_SLICES, [row.slices_id]).fetchall():
        attributes[semconv.SLICE_PREFIX + key] = value
    if features := _features(cursor, row):
        attributes[semconv.INPUT_VALUE] = features
        attributes[semconv.INPUT_MIME_TYPE] = "application/json"
    said = {name: value for name, value in attributes.items() if _is_said(value)}
    return json.dumps({"start": row.start_time, "attributes": said}, ensure_ascii=False)


def _is_said(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def _features(cursor: duckdb.DuckDBPyConnection, row: Unsampled) -> str:
    """The declared features as one JSON object within its limit; empty where there are none."""
    found = feature_blocks.read(
        cursor, row.model, np.array([row.row_id]), np.array([row.event_time])
    )
    members = [
        *((name, float(column[0])) for name, column in found.numbers.items()),
        *((name, column[0]) for name, column in found.texts.items()),
    ]
    parts: list[str] = []
    room = semconv.JSON_BYTES_MAX - 2
    for name, value in members:
        if not _is_said(value):
            continue
        shown = str(value) if isinstance(value, float) and math.isinf(value) else value
        part = f"{json.dumps(name, ensure_ascii=False)}: {json.dumps(shown, ensure_ascii=False)}"
        room -= len(part.encode("utf-8", "surrogatepass")) + 2
        if room < 0:
            break
        parts.append(part)
    return f"{{{', '.join(parts)}}}" if parts else ""
