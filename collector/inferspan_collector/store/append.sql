-- Step 1 of the join in SQL: drop what was seen before.
-- Reads staged_predictions, staged_labels and the near tables (TEMP); makes new_predictions and
-- new_labels (TEMP), and adds them to the near tables.

-- A retry brings the same key and the same span. Ids alone would not do: processes that seed the
-- global random generator repeat their span ids.
CREATE OR REPLACE TEMP TABLE new_predictions AS
SELECT s.*
FROM staged_predictions AS s
ANTI JOIN near_predictions AS p
    ON p.key_high = s.key_high
    AND p.key_low = s.key_low
    AND p.identity = s.identity
    AND p.position = s.position
    AND p.span = s.span
    AND p.trace_high = s.trace_high
    AND p.trace_low = s.trace_low
    AND p.span_row = s.span_row
QUALIFY row_number() OVER (
    PARTITION BY
        s.key_high, s.key_low, s.identity, s.position, s.span, s.trace_high, s.trace_low,
        s.span_row
    ORDER BY s.row_id
) = 1;

-- The same label again is a duplicate. Another content under the same id and revision is not: the
-- join decides which of the two stands, whichever came first.
CREATE OR REPLACE TEMP TABLE new_labels AS
SELECT s.*
FROM staged_labels AS s
ANTI JOIN near_labels AS l
    ON l.label_high = s.label_high
    AND l.label_low = s.label_low
    AND l.revision = s.revision
    AND l.content_hash = s.content_hash
QUALIFY row_number() OVER (
    PARTITION BY s.label_high, s.label_low, s.revision, s.content_hash ORDER BY s.row_id
) = 1;

-- One prediction per key counts, whatever order they came in: the server's own span beats its
-- client's (OTLP's kind 3), then the later event, then the greater ids.
CREATE OR REPLACE TEMP TABLE contenders AS
SELECT
    row_id,
    stored,
    row_number() OVER (
        PARTITION BY key_high, key_low, identity, position
        ORDER BY
            client, event_time DESC, trace_high DESC, trace_low DESC, span DESC, span_row DESC
    ) = 1 AS wins
FROM (
    SELECT *, FALSE AS stored FROM new_predictions
    UNION ALL BY NAME
    SELECT p.*, TRUE AS stored
    FROM near_predictions AS p
    SEMI JOIN new_predictions AS n
        ON n.key_high = p.key_high
        AND n.key_low = p.key_low
        AND n.identity = p.identity
        AND n.position = p.position
    WHERE p.current
);

CREATE OR REPLACE TEMP TABLE superseded AS
SELECT row_id FROM contenders WHERE stored AND NOT wins;

UPDATE near_predictions SET current = FALSE WHERE row_id IN (SELECT row_id FROM superseded);

INSERT INTO near_predictions BY NAME
SELECT n.* REPLACE (c.wins AS current)
FROM new_predictions AS n
JOIN contenders AS c ON c.row_id = n.row_id;

INSERT INTO near_labels BY NAME SELECT * FROM new_labels;
