-- The rows that the SQL join looks at: all that may have to do with some keys, however old.
-- Filled in by `nearby.find`. Reads wanted_keys, older_predictions, older_labels, staged_predictions, staged_labels
-- (TEMP); makes near_predictions, near_labels, near_outcomes (TEMP): whole rows.

CREATE OR REPLACE TEMP TABLE found_predictions AS
SELECT *
FROM predictions AS p
SEMI JOIN wanted_keys AS k ON k.key_high = p.key_high AND k.key_low = p.key_low
WHERE p.row_id >= {first_prediction}
UNION ALL
SELECT *
FROM (SELECT * FROM predictions SEMI JOIN older_predictions USING (row_id)) AS p
SEMI JOIN wanted_keys AS k ON k.key_high = p.key_high AND k.key_low = p.key_low
WHERE p.row_id < {first_prediction};

CREATE OR REPLACE TEMP TABLE near_predictions AS {full_predictions};

-- By id; by a link to one of these predictions; and, of those that name no id, by their own.
CREATE OR REPLACE TEMP TABLE found_labels AS
SELECT *
FROM labels AS l
SEMI JOIN wanted_keys AS k ON k.key_high = l.key_high AND k.key_low = l.key_low
WHERE l.row_id >= {first_label} AND (l.key_high <> 0 OR l.key_low <> 0)
UNION ALL
SELECT *
FROM (SELECT * FROM labels SEMI JOIN older_labels USING (row_id)) AS l
SEMI JOIN wanted_keys AS k ON k.key_high = l.key_high AND k.key_low = l.key_low
WHERE l.row_id < {first_label};

INSERT INTO found_labels
SELECT l.*
FROM labels AS l
WHERE {with_links} AND l.row_id NOT IN (SELECT row_id FROM found_labels) AND l.row_id IN (
    SELECT d.row_id
    FROM label_details AS d
    SEMI JOIN (
        SELECT span, trace_high, trace_low, span_row FROM near_predictions
        UNION ALL
        SELECT span, trace_high, trace_low, span_row FROM staged_predictions
    ) AS p
        ON p.span = d.link_span
        AND p.trace_high = d.link_trace_high
        AND p.trace_low = d.link_trace_low
        AND p.span_row = d.position
    WHERE d.link_span <> 0
    UNION ALL
    SELECT known.row_id
    FROM labels AS known
    SEMI JOIN staged_labels AS s
        ON s.label_high = known.label_high AND s.label_low = known.label_low
    WHERE known.key_high = 0 AND known.key_low = 0
);

CREATE OR REPLACE TEMP TABLE near_labels AS {full_labels};

CREATE OR REPLACE TEMP TABLE found_outcomes AS
SELECT *
FROM outcomes AS o
SEMI JOIN near_predictions AS p ON p.row_id = o.prediction_row
WHERE o.prediction_row >= {first_prediction}
UNION ALL
SELECT *
FROM outcomes AS o
SEMI JOIN (SELECT row_id FROM near_predictions WHERE row_id < {first_prediction}) AS p
    ON p.row_id = o.prediction_row
WHERE o.prediction_row < {first_prediction};

CREATE OR REPLACE TEMP TABLE near_outcomes AS {full_outcomes};
