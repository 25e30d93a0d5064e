-- What is to be forgotten: `asked` (TEMP: the id's key, model or NULL for any, most rows).
-- Makes forgetting_predictions and forgetting_labels (TEMP).

CREATE OR REPLACE TEMP TABLE forgetting_predictions AS
SELECT
    p.row_id, p.trace_high, p.trace_low, p.span,
    coalesce(
        (SELECT d.span_row FROM prediction_details AS d WHERE d.row_id = p.row_id), 0
    ) AS span_row
FROM predictions AS p
JOIN series AS s ON s.series_id = p.series_id
WHERE p.key_high = (SELECT key_high FROM asked) AND p.key_low = (SELECT key_low FROM asked)
    AND ((SELECT model FROM asked) IS NULL OR s.model = (SELECT model FROM asked))
LIMIT (SELECT most FROM asked);

-- Labels that name the id, and those that only link to its row of a span.
CREATE OR REPLACE TEMP TABLE forgetting_labels AS
SELECT row_id
FROM (
    SELECT l.row_id
    FROM labels AS l
    JOIN label_sets AS s ON s.set_id = l.set_id
    WHERE l.key_high = (SELECT key_high FROM asked) AND l.key_low = (SELECT key_low FROM asked)
        AND (
            (SELECT model FROM asked) IS NULL
            OR s.model IS NULL
            OR s.model = (SELECT model FROM asked)
        )
    UNION
    SELECT l.row_id
    FROM label_details AS l
    JOIN labels AS whole ON whole.row_id = l.row_id
    JOIN forgetting_predictions AS p
        ON p.span = l.link_span
        AND p.trace_high = l.link_trace_high
        AND p.trace_low = l.link_trace_low
        AND p.span_row = l.position
    WHERE l.link_span <> 0 AND whole.key_high = 0 AND whole.key_low = 0
)
LIMIT (SELECT most FROM asked);
