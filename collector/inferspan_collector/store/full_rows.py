"""Rows with everything that is said of them, put together from the narrow tables that keep them.

Readers select from these instead of the tables, and the SQL join does from the rows it has found.
"""

from __future__ import annotations

from inferspan_collector.store.keys import PADDING


def _unpadded(column: str) -> str:
    return f"substr({column}, {len(PADDING) + 1})"


def _said(table: str, first_row: int | str, older: str | None) -> str:
    """What a table of details says of the rows from `first_row` on, and of older ones."""
    newer = f"SELECT * FROM {table} WHERE row_id >= {first_row}"
    if older is None:
        return newer
    return (
        f"{newer} UNION ALL SELECT * FROM {table} SEMI JOIN {older} USING (row_id)"
        f" WHERE row_id < {first_row}"
    )


def predictions(
    rows: str = "predictions", first_row: int | str = 0, older: str | None = None
) -> str:
    """A query for whole predictions.

    Args:
        rows: name of a relation with the columns of the table `predictions`.
        first_row: no row before it is in `rows`, but for `older`; spares reading the details of
            others. A number, or the name of a parameter.
        older: name of a relation of `row_id`.
    """
    return f"""
SELECT
    p.row_id, p.series_id, coalesce(d.identity, s.identity) AS identity, p.slices_id,
    p.key_high, p.key_low,
    coalesce({_unpadded("p.id_text")}, format('{{:016x}}{{:016x}}', p.key_high, p.key_low))
        AS prediction_id,
    coalesce(d.position, 0) AS position, coalesce(d.span_row, 0) AS span_row,
    p.trace_high, p.trace_low, p.span, coalesce(d.client, FALSE) AS client,
    p.event_time, coalesce(d.start_time, p.event_time) AS start_time, p.duration, p.received,
    d.error_type, p.predicted, p.score, p.value, coalesce(d.adjusted_count, 1) AS adjusted_count,
    x.row_id IS NULL AS current
FROM {rows} AS p
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN ({_said("prediction_details", first_row, older)}) AS d ON d.row_id = p.row_id
LEFT JOIN ({_said("superseded_predictions", first_row, older)}) AS x ON x.row_id = p.row_id
"""


def labels(rows: str = "labels", first_row: int = 0, older: str | None = None) -> str:
    """A query for whole labels; arguments as for predictions."""
    return f"""
SELECT
    l.row_id, l.label_high, l.label_low,
    coalesce({_unpadded("l.label_text")}, format('{{:016x}}{{:016x}}', l.label_high, l.label_low))
        AS label_id,
    l.revision, l.content_hash, s.environment, s.model, s.version, l.key_high, l.key_low,
    coalesce(d.position, 0) AS position, coalesce(d.link_trace_high, 0) AS link_trace_high,
    coalesce(d.link_trace_low, 0) AS link_trace_low, coalesce(d.link_span, 0) AS link_span,
    s.target, s.kind, l.actual, l.value, l.time, l.received, s.source,
    coalesce(d.deleted, FALSE) AS deleted, d.item_id
FROM {rows} AS l
JOIN label_sets AS s ON s.set_id = l.set_id
LEFT JOIN ({_said("label_details", first_row, older)}) AS d ON d.row_id = l.row_id
"""


def outcomes(rows: str = "outcomes") -> str:
    """A query for whole outcomes; `rows` has the columns of the table `outcomes`."""
    return f"""
SELECT
    o.prediction_row, j.target, o.label_row, o.series_id, o.slices_id, o.minute, j.counted,
    j.predicted, j.actual, j.correct
FROM {rows} AS o
JOIN judgements AS j ON j.judgement_id = o.judgement_id
"""
