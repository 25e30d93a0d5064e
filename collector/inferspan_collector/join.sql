-- Step 2 of the join in SQL: new labels ⋈ predictions, new predictions ⋈ labels, of the keys that
-- are not ordinary.
--
-- Reads new_labels, contenders, superseded and the near tables (TEMP), and series, source_ranks,
-- tolerances. Makes matches, winners, removed, added and met (TEMP). The result depends on
-- the set of records only, never on their order.

CREATE OR REPLACE TEMP TABLE new_matches AS {match_new_labels};
CREATE OR REPLACE TEMP TABLE touched AS
SELECT prediction_row FROM new_matches WHERE NOT late
UNION
SELECT row_id AS prediction_row FROM contenders WHERE wins;

-- Every label, old or new, of every prediction that was touched.
CREATE OR REPLACE TEMP VIEW touched_predictions AS
SELECT * FROM near_predictions WHERE row_id IN (SELECT prediction_row FROM touched);
CREATE OR REPLACE TEMP TABLE matches AS
SELECT label_row, prediction_row FROM ({match_touched_predictions}) WHERE NOT late;

-- Labels that are about stored predictions, but only about such as are beyond their window.
CREATE OR REPLACE TEMP TABLE late AS
SELECT DISTINCT label_row
FROM new_matches
WHERE late AND label_row NOT IN (SELECT label_row FROM matches);

-- One winner per (prediction, target). A tombstone can win: then there is no label. What silence
-- implies loses to whatever was said. Two records
-- that claim the same label id and revision are told apart by their time, then their content.
-- A ranking as a whole is neither right nor wrong; each item that was labelled has its own winner.
CREATE OR REPLACE TEMP TABLE winners AS
SELECT
    m.prediction_row,
    m.label_row,
    l.target,
    l.deleted,
    l.item_id,
    p.series_id,
    p.slices_id,
    p.event_time // 60000000000 AS minute,
    p.error_type IS NULL AS counted,
    s.model,
    CASE
        WHEN s.task IN ('regression', 'forecasting', 'ranking') OR s.operation = 'rank' THEN NULL
        ELSE p.predicted
    END AS predicted_class,
    CASE
        WHEN s.task IN ('regression', 'forecasting', 'ranking') OR s.operation = 'rank'
            OR p.predicted IS NULL
            THEN NULL
        ELSE l.actual
    END AS actual_class,
    CASE
        WHEN coalesce(s.task, '') NOT IN ('regression', 'forecasting', 'ranking')
            AND coalesce(s.operation, '') <> 'rank' AND p.predicted IS NOT NULL
            THEN coalesce((p.predicted = l.actual)::TINYINT, -1)
        WHEN tol.tolerance IS NULL OR coalesce(isnan(p.value), TRUE) OR coalesce(isnan(l.value), TRUE)
            THEN -1
        ELSE (abs(p.value - l.value) <= tol.tolerance)::TINYINT
    END AS correct
FROM matches AS m
JOIN near_predictions AS p ON p.row_id = m.prediction_row
JOIN near_labels AS l ON l.row_id = m.label_row
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN tolerances AS tol ON tol.model = s.model
LEFT JOIN source_ranks AS r
    ON r.model = s.model AND r.target = l.target AND r.source = l.source
QUALIFY row_number() OVER (
    PARTITION BY m.prediction_row, l.target, l.item_id
    ORDER BY
        l.kind = 'implied', coalesce(r.rank, -1) DESC, l.revision DESC, l.time DESC, l.label_id DESC, l.deleted DESC,
        l.content_hash DESC
) = 1;

-- What stood before and stands no more; what stands now and did not before.
CREATE OR REPLACE TEMP TABLE removed AS
SELECT o.*
FROM near_outcomes AS o
LEFT JOIN winners AS w
    ON w.prediction_row = o.prediction_row AND w.target = o.target AND NOT w.deleted
    AND w.item_id IS NULL
WHERE (o.prediction_row IN (SELECT prediction_row FROM touched)
    OR o.prediction_row IN (SELECT row_id FROM superseded))
    AND w.label_row IS DISTINCT FROM o.label_row;

CREATE OR REPLACE TEMP TABLE added AS
SELECT w.*
FROM winners AS w
LEFT JOIN near_outcomes AS o
    ON o.prediction_row = w.prediction_row
    AND o.target = w.target
    AND o.label_row = w.label_row
WHERE NOT w.deleted AND o.label_row IS NULL AND w.item_id IS NULL;

-- Labels that had met no prediction yet. Once met, a key keeps a current prediction for ever.
CREATE OR REPLACE TEMP TABLE met AS
SELECT label_row FROM waiting_labels WHERE label_row IN (SELECT label_row FROM matches);
DELETE FROM waiting_labels WHERE label_row IN (SELECT label_row FROM met);
