-- Step 3: the Δ-join. New labels ⋈ stored predictions, new predictions ⋈ stored labels.
--
-- Reads new_predictions, new_labels, contenders, superseded (TEMP), and predictions, labels,
-- series, outcomes, source_ranks, tolerances, class_aliases. Makes matches, winners, removed and added (TEMP).
-- The result depends on the set of records only, never on their order.

-- Which predictions a label is about: by its prediction id and model, else by its one link.
-- A label names the model and holds for every version, variant and environment with that id,
-- unless it says which.
CREATE OR REPLACE TEMP TABLE label_matches AS
SELECT p.row_id AS prediction_row
FROM new_labels AS l
JOIN predictions AS p
    ON p.id_hash = l.id_hash AND p.prediction_id = l.prediction_id AND p.position = l.position
JOIN series AS s ON s.series_id = p.series_id AND s.model = l.model
WHERE p.current
    AND (l.environment IS NULL OR l.environment IS NOT DISTINCT FROM s.environment)
    AND (l.version IS NULL OR l.version IS NOT DISTINCT FROM s.version)
UNION
SELECT p.row_id AS prediction_row
FROM new_labels AS l
JOIN predictions AS p
    ON p.span = l.link_span
    AND p.trace_high = l.link_trace_high
    AND p.trace_low = l.link_trace_low
    AND p.position = l.position
WHERE p.current AND l.link_span <> 0 AND (l.prediction_id IS NULL OR l.model IS NULL);

CREATE OR REPLACE TEMP TABLE touched AS
SELECT prediction_row FROM label_matches
UNION
SELECT row_id AS prediction_row FROM contenders WHERE wins AND NOT stored;

-- Every label, old or new, of every prediction that was touched.
CREATE OR REPLACE TEMP TABLE matches AS
SELECT p.row_id AS prediction_row, l.row_id AS label_row
FROM touched AS t
JOIN predictions AS p ON p.row_id = t.prediction_row
JOIN series AS s ON s.series_id = p.series_id
JOIN labels AS l
    ON l.id_hash = p.id_hash AND l.prediction_id = p.prediction_id AND l.position = p.position
WHERE l.model = s.model
    AND (l.environment IS NULL OR l.environment IS NOT DISTINCT FROM s.environment)
    AND (l.version IS NULL OR l.version IS NOT DISTINCT FROM s.version)
UNION
SELECT p.row_id AS prediction_row, l.row_id AS label_row
FROM touched AS t
JOIN predictions AS p ON p.row_id = t.prediction_row
JOIN labels AS l
    ON l.link_span = p.span
    AND l.link_trace_high = p.trace_high
    AND l.link_trace_low = p.trace_low
    AND l.position = p.position
WHERE l.link_span <> 0 AND (l.prediction_id IS NULL OR l.model IS NULL);

-- One winner per (prediction, target). A tombstone can win: then there is no label.
CREATE OR REPLACE TEMP TABLE winners AS
SELECT
    m.prediction_row,
    m.label_row,
    l.target,
    l.deleted,
    p.series_id,
    p.slices_id,
    p.event_time // 60000000000 AS minute,
    p.error_type IS NULL AS counted,
    s.model,
    CASE
        WHEN s.task IN ('regression', 'forecasting') OR p.predicted IS NULL THEN NULL
        ELSE coalesce(pa.class, p.predicted)
    END AS predicted_class,
    CASE
        WHEN s.task IN ('regression', 'forecasting') OR p.predicted IS NULL THEN NULL
        ELSE coalesce(la.class, l.actual)
    END AS actual_class,
    CASE
        WHEN coalesce(s.task, '') NOT IN ('regression', 'forecasting')
            AND p.predicted IS NOT NULL
            THEN coalesce(
                (coalesce(pa.class, p.predicted) = coalesce(la.class, l.actual))::TINYINT, -1
            )
        WHEN tol.tolerance IS NULL OR coalesce(isnan(p.value), TRUE) OR coalesce(isnan(l.value), TRUE)
            THEN -1
        ELSE (abs(p.value - l.value) <= tol.tolerance)::TINYINT
    END AS correct
FROM matches AS m
JOIN predictions AS p ON p.row_id = m.prediction_row
JOIN labels AS l ON l.row_id = m.label_row
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN tolerances AS tol ON tol.model = s.model
LEFT JOIN class_aliases AS pa ON pa.model = s.model AND pa.alias = p.predicted
LEFT JOIN class_aliases AS la ON la.model = s.model AND la.alias = l.actual
LEFT JOIN source_ranks AS r
    ON r.model = s.model AND r.target = l.target AND r.source = l.source
QUALIFY row_number() OVER (
    PARTITION BY m.prediction_row, l.target
    ORDER BY coalesce(r.rank, -1) DESC, l.revision DESC, l.time DESC, l.label_id DESC
) = 1;

-- What stood before and stands no more; what stands now and did not before.
CREATE OR REPLACE TEMP TABLE removed AS
SELECT o.*
FROM outcomes AS o
LEFT JOIN winners AS w
    ON w.prediction_row = o.prediction_row AND w.target = o.target AND NOT w.deleted
WHERE (o.prediction_row IN (SELECT prediction_row FROM touched)
    OR o.prediction_row IN (SELECT row_id FROM superseded))
    AND w.label_row IS DISTINCT FROM o.label_row;

CREATE OR REPLACE TEMP TABLE added AS
SELECT w.*
FROM winners AS w
LEFT JOIN outcomes AS o
    ON o.prediction_row = w.prediction_row
    AND o.target = w.target
    AND o.label_row = w.label_row
WHERE NOT w.deleted AND o.label_row IS NULL;
