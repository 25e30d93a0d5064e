-- Step 1 and 2 of the transaction: drop what was seen before, append the rest.
-- Reads staged_predictions and staged_labels; makes new_predictions and new_labels (TEMP).

-- A retry brings the same key and the same span. Ids alone would not do: processes that seed the
-- global random generator repeat their span ids.
CREATE OR REPLACE TEMP TABLE new_predictions AS
SELECT s.*
FROM staged_predictions AS s
ANTI JOIN predictions AS p
    ON p.id_hash = s.id_hash
    AND p.prediction_id = s.prediction_id
    AND p.identity = s.identity
    AND p.position = s.position
    AND p.span = s.span
    AND p.trace_high = s.trace_high
    AND p.trace_low = s.trace_low
    AND p.span_row = s.span_row
QUALIFY row_number() OVER (
    PARTITION BY
        s.id_hash, s.prediction_id, s.identity, s.position, s.span, s.trace_high, s.trace_low,
        s.span_row
    ORDER BY s.row_id
) = 1;

-- The same label again is a duplicate. Another content under the same id and revision is not: the
-- join decides which of the two stands, whichever came first.
CREATE OR REPLACE TEMP TABLE new_labels AS
SELECT s.*
FROM staged_labels AS s
ANTI JOIN labels AS l
    ON l.label_hash = s.label_hash
    AND l.label_id = s.label_id
    AND l.revision = s.revision
    AND l.content_hash = s.content_hash
QUALIFY row_number() OVER (
    PARTITION BY s.label_id, s.revision, s.content_hash ORDER BY s.row_id
) = 1;

-- One prediction per key counts, whatever order they came in: the server's own span beats its
-- client's (OTLP's kind 3), then the later event, then the greater ids.
CREATE OR REPLACE TEMP TABLE contenders AS
SELECT
    row_id,
    stored,
    row_number() OVER (
        PARTITION BY id_hash, prediction_id, identity, position
        ORDER BY
            kind <> 3 DESC, event_time DESC, trace_high DESC, trace_low DESC, span DESC,
            span_row DESC
    ) = 1 AS wins
FROM (
    SELECT
        row_id, id_hash, prediction_id, identity, position, kind, event_time, trace_high,
        trace_low, span, span_row, FALSE AS stored
    FROM new_predictions
    UNION ALL
    SELECT
        p.row_id, p.id_hash, p.prediction_id, p.identity, p.position, p.kind, p.event_time,
        p.trace_high, p.trace_low, p.span, p.span_row, TRUE AS stored
    FROM predictions AS p
    SEMI JOIN new_predictions AS n
        ON n.id_hash = p.id_hash
        AND n.prediction_id = p.prediction_id
        AND n.identity = p.identity
        AND n.position = p.position
    WHERE p.current
);

CREATE OR REPLACE TEMP TABLE superseded AS
SELECT row_id FROM contenders WHERE stored AND NOT wins;

UPDATE predictions SET current = FALSE WHERE row_id IN (SELECT row_id FROM superseded);

INSERT INTO predictions
SELECT n.* REPLACE (c.wins AS current)
FROM new_predictions AS n
JOIN contenders AS c ON c.row_id = n.row_id;

INSERT INTO labels SELECT * FROM new_labels;

-- Predictions enter their cells as they become current and leave them as they are superseded.
INSERT INTO prediction_cells
SELECT
    event_time // 60000000000 AS minute,
    series_id,
    slice_key,
    slice_value,
    error_type IS NOT NULL AS failed,
    bucket,
    sum(sign)::BIGINT AS n
FROM (
    SELECT p.*, 1 AS sign
    FROM new_predictions AS p
    JOIN contenders AS c ON c.row_id = p.row_id
    WHERE c.wins
    UNION ALL
    SELECT p.*, -1 AS sign
    FROM predictions AS p
    WHERE p.row_id IN (SELECT row_id FROM superseded)
)
JOIN slice_sets USING (slices_id)
GROUP BY ALL;
