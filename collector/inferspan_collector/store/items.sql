-- What the join says of single items of rankings: run after `join.sql`, where a label of an item is
-- near. Reads winners, touched, superseded and the near tables (TEMP); changes item_outcomes.

CREATE OR REPLACE TEMP TABLE removed_items AS
SELECT o.prediction_row, o.label_row
FROM item_outcomes AS o
LEFT JOIN winners AS w
    ON w.prediction_row = o.prediction_row AND w.label_row = o.label_row AND NOT w.deleted
WHERE (o.prediction_row IN (SELECT prediction_row FROM touched)
    OR o.prediction_row IN (SELECT row_id FROM superseded))
    AND w.label_row IS NULL;

DELETE FROM item_outcomes USING removed_items AS r
WHERE item_outcomes.prediction_row = r.prediction_row AND item_outcomes.label_row = r.label_row;

-- Of a call that raised there is no ranking. One item alone may stand without its brackets.
INSERT INTO item_outcomes
SELECT
    w.prediction_row, w.label_row, w.series_id, w.slices_id, w.minute, w.target,
    CASE
        WHEN p.predicted = l.item_id THEN 1
        WHEN json_valid(p.predicted) AND json_type(p.predicted) = 'ARRAY'
            THEN nullif(list_position(from_json(p.predicted, '["VARCHAR"]'), l.item_id), 0)
    END AS place,
    l.value AS relevance
FROM winners AS w
JOIN near_predictions AS p ON p.row_id = w.prediction_row
JOIN near_labels AS l ON l.row_id = w.label_row
ANTI JOIN item_outcomes AS o
    ON o.prediction_row = w.prediction_row AND o.label_row = w.label_row
WHERE w.item_id IS NOT NULL AND w.counted AND NOT w.deleted;
