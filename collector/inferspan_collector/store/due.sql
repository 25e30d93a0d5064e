-- Step 5: the evaluation spans that this transaction makes due.
-- Reads added, removed, winners, superseded (TEMP); makes due (TEMP).
-- $share is the part of the right predictions that get a span; the prediction id's own hash
-- chooses, so that a retry or a replay chooses the same.

CREATE OR REPLACE TEMP TABLE due AS
SELECT
    p.trace_high,
    p.trace_low,
    p.span AS prediction_span,
    p.start_time + p.duration AS prediction_end,
    p.event_time,
    p.series_id,
    p.prediction_id,
    p.position,
    e.target,
    l.label_id,
    l.revision,
    l.time AS label_time,
    e.outcome,
    coalesce(p.predicted, CASE WHEN isnan(p.value) THEN NULL ELSE p.value::VARCHAR END)
        AS predicted,
    l.actual AS expected,
    CASE WHEN p.predicted IS NULL AND NOT isnan(l.value) THEN p.value - l.value END AS error,
    p.id_hash,
    l.content_hash,
    e.outcome <> 'correct' OR p.id_hash // 4294967296 < $share * 4294967296 AS chosen
FROM (
    SELECT
        prediction_row, target, label_row,
        CASE correct WHEN 1 THEN 'correct' ELSE 'incorrect' END AS outcome
    FROM added
    WHERE counted AND correct >= 0
    UNION ALL
    -- A tombstone took the label away: the span is the tombstone's.
    SELECT w.prediction_row, w.target, w.label_row, 'retracted' AS outcome
    FROM winners AS w
    JOIN removed AS r ON r.prediction_row = w.prediction_row AND r.target = w.target
    WHERE w.deleted AND r.counted AND r.correct >= 0
    UNION ALL
    -- Another span of the same key counts now: what was said of this one holds no more.
    SELECT r.prediction_row, r.target, r.label_row, 'retracted' AS outcome
    FROM removed AS r
    WHERE r.counted AND r.correct >= 0
        AND r.prediction_row IN (SELECT row_id FROM superseded)
) AS e
JOIN predictions AS p ON p.row_id = e.prediction_row
JOIN labels AS l ON l.row_id = e.label_row
