-- The names in braces stand for whole predictions and outcomes of the range of rows.
--
-- Predictions for whose target silence means something by now, and that have no label of it: some
-- of those in a range of rows, in the order of rows.
--
-- $before is the event time up to which silence is long enough; those that were due at the last
-- look ($seen, by the same measure) are left out, unless they came since then ($received).
SELECT p.row_id, p.trace_high, p.trace_low, p.span, p.span_row, p.event_time, p.received
FROM ({predictions}) AS p
JOIN series AS s ON s.series_id = p.series_id
ANTI JOIN ({outcomes}) AS o
    ON o.prediction_row = p.row_id
    AND o.target = $target
    AND o.prediction_row BETWEEN $first AND $last
WHERE p.row_id BETWEEN $first AND $last
    AND p.current
    AND p.error_type IS NULL
    AND p.span <> 0
    AND s.model = $model
    AND p.event_time <= $before
    AND (p.event_time > $seen OR p.received > $received)
ORDER BY p.row_id
LIMIT $most
