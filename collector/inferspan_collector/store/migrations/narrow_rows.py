"""The rest of the step to format 3: what SQL cannot compute, keys and hashes."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import LabelBatch, Strings, Texts
from inferspan_collector.store import staging
from inferspan_collector.store.cells import SERIES_KEYS
from inferspan_collector.store.dictionary import Dictionary
from inferspan_collector.store.interning import identity
from inferspan_collector.store.keys import PADDING, Secret

_ROWS: Final = 200_000
"""Rows of one step: some 100 MB in memory."""

_PREDICTIONS: Final = f"""
INSERT INTO predictions
SELECT
    w.row_id, k.key_high, k.key_low,
    CASE WHEN k.hashed THEN '{PADDING}' || w.prediction_id END, w.trace_high, w.trace_low,
    w.span, w.series_id, w.slices_id, w.event_time, w.duration, w.received, w.predicted, w.score,
    w.value
FROM wide_predictions AS w
JOIN moving AS k ON k.row_id = w.row_id
ORDER BY w.row_id
"""
_DETAILS: Final = f"""
UPDATE outbox SET prediction_id = '{PADDING}' || prediction_id;

INSERT INTO prediction_details
SELECT
    w.row_id, CASE WHEN w.identity IS DISTINCT FROM s.identity THEN w.identity END, w.position,
    w.span_row, w.kind = 3, w.start_time, w.error_type, w.adjusted_count
FROM wide_predictions AS w
JOIN series AS s ON s.series_id = w.series_id
WHERE w.position <> 0 OR w.span_row <> 0 OR w.kind = 3 OR w.start_time <> w.event_time
    OR w.error_type IS NOT NULL OR w.adjusted_count <> 1 OR w.identity IS DISTINCT FROM s.identity
ORDER BY w.row_id;

INSERT INTO superseded_predictions SELECT row_id FROM wide_predictions WHERE NOT current;

INSERT INTO judgements
SELECT row_number() OVER (), *
FROM (SELECT DISTINCT target, counted, predicted, actual, correct FROM wide_outcomes);

INSERT INTO outcomes
SELECT o.prediction_row, o.label_row, o.series_id, o.slices_id, o.minute, j.judgement_id
FROM wide_outcomes AS o
JOIN judgements AS j
    ON j.target = o.target AND j.counted = o.counted AND j.correct = o.correct
    AND j.predicted IS NOT DISTINCT FROM o.predicted AND j.actual IS NOT DISTINCT FROM o.actual
ORDER BY o.label_row;
"""


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Move all rows, inside the open transaction."""
    secret = Secret.of(connection)
    for number, *key in connection.execute(
        f"SELECT series_id, {', '.join(SERIES_KEYS)} FROM wide_series ORDER BY series_id"
    ).fetchall():
        places = ", ".join("?" * (len(key) + 2))
        connection.execute(
            f"INSERT INTO series VALUES ({places})", [number, identity(tuple(key)), *key]
        )
    for rows in _chunks(connection, "wide_predictions", "row_id, prediction_id"):
        keys = secret.keys(Texts.of(rows["prediction_id"].tolist()))
        columns = {"row_id": rows["row_id"], "key_high": keys.high, "key_low": keys.low}
        connection.register("moving", {**columns, "hashed": keys.hashed})
        connection.execute(_PREDICTIONS)
    connection.execute(_DETAILS)
    sets = Dictionary(connection, "label_sets")
    for rows in _chunks(connection, "wide_labels", "*"):
        known = staging.known_labels(_batch(rows), secret, first_row=0)
        for table, columns in zip(
            ("labels", "label_details"),
            staging.label_columns(known, np.ones(len(known), np.bool_), sets),
            strict=True,
        ):
            columns.pop("item_id", None)  # a later step's
            if len(columns["row_id"]):
                columns["row_id"] = rows["row_id"][columns["row_id"]]
                staging.insert(connection, table, columns)
    for table in ("series", "predictions", "labels", "outcomes"):
        connection.execute(f"DROP TABLE wide_{table}")


def _chunks(connection: duckdb.DuckDBPyConnection, table: str, columns: str) -> Any:
    last = connection.execute(f"SELECT coalesce(max(row_id), 0) FROM {table}").fetchall()[0][0]
    for start in range(0, last + 1, _ROWS):
        rows = connection.execute(
            f"SELECT {columns} FROM {table} WHERE row_id >= ? AND row_id < ? ORDER BY row_id",
            [start, start + _ROWS],
        ).fetchnumpy()
        if len(rows["row_id"]):
            yield rows


def _batch(rows: dict[str, Any]) -> LabelBatch:
    """Stored labels as the batch that they came in."""
    columns: dict[str, Any] = {
        "index": rows["position"],
        "link_trace": np.stack([rows["link_trace_high"], rows["link_trace_low"]], axis=1),
        "value": np.ma.filled(rows["value"], np.nan),
        "item_id": Texts.constant(None, len(rows["row_id"])),
    }
    for field in fields(LabelBatch):
        if field.name in columns:
            continue
        if field.type == "Strings":
            columns[field.name] = Strings.of(rows[field.name].tolist())
        elif field.type == "Texts":
            columns[field.name] = Texts.of(rows[field.name].tolist())
        else:
            columns[field.name] = rows[field.name]
    return LabelBatch(**columns)
