-- Which predictions a label is about: the one definition, filled in by `matching.matching`.
-- The names in braces stand for relations with the columns of `full_rows.labels` and
-- `full_rows.predictions`; the answer is (label_row, prediction_row, apart), of current predictions
-- only. `apart`: how far from the row it links to a label was received, ns; 0 without a link.
--
-- By prediction id and model: a label holds for every environment, version and variant that has
-- the id, unless it says which. Else by its one link: the span's row has a key, and whichever
-- prediction is current under that key is meant, so that a link to a client's span finds the
-- server's. That row has to live while labels come for it, as any: so `apart` has its window, too.
-- A label of an item is about rankings only.
SELECT l.row_id AS label_row, p.row_id AS prediction_row, 0::BIGINT AS apart
FROM {labels} AS l
JOIN {predictions} AS p
    ON p.key_high = l.key_high AND p.key_low = l.key_low AND p.position = l.position
JOIN series AS s ON s.series_id = p.series_id AND s.model = l.model
WHERE p.current
    AND (l.environment IS NULL OR l.environment IS NOT DISTINCT FROM s.environment)
    AND (l.version IS NULL OR l.version IS NOT DISTINCT FROM s.version)
    AND (l.item_id IS NULL OR s.task = 'ranking' OR s.operation = 'rank')
UNION ALL
SELECT
    l.row_id AS label_row,
    p.row_id AS prediction_row,
    -- Rows of one span under one key: where ids of spans come again, whichever came nearer.
    min(abs(l.received - linked.received)) AS apart
FROM {labels} AS l
JOIN near_predictions AS linked
    ON linked.span = l.link_span
    AND linked.trace_high = l.link_trace_high
    AND linked.trace_low = l.link_trace_low
    AND linked.span_row = l.position
JOIN {predictions} AS p
    ON p.key_high = linked.key_high
    AND p.key_low = linked.key_low
    AND p.identity = linked.identity
    AND p.position = linked.position
JOIN series AS s ON s.series_id = p.series_id
WHERE p.current AND l.link_span <> 0
    AND (l.item_id IS NULL OR s.task = 'ranking' OR s.operation = 'rank')
    -- What silence implies is meant of the row that was silent alone.
    AND (l.kind <> 'implied' OR p.row_id = linked.row_id)
GROUP BY l.row_id, p.row_id
