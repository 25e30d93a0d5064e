-- Step 4: what the join added and removed becomes ±n in the counters. Removal takes back exactly
-- what the outcome's own row says it added.
-- Reads removed, added (TEMP) and classes; writes outcomes, outcome_cells, arrival_cells.

CREATE OR REPLACE TEMP TABLE counted_outcomes AS
SELECT
    a.prediction_row,
    a.target,
    a.label_row,
    a.series_id,
    a.slices_id,
    a.minute,
    a.counted,
    CASE WHEN a.predicted_class IS NULL THEN NULL ELSE coalesce(p.class, '__other__') END
        AS predicted,
    CASE WHEN a.actual_class IS NULL THEN NULL ELSE coalesce(t.class, '__other__') END AS actual,
    a.correct
FROM added AS a
LEFT JOIN classes AS p ON p.model = a.model AND p.class = a.predicted_class
LEFT JOIN classes AS t ON t.model = a.model AND t.class = a.actual_class;

DELETE FROM outcomes
USING removed
WHERE outcomes.prediction_row = removed.prediction_row
    AND outcomes.target = removed.target
    AND outcomes.label_row = removed.label_row;

INSERT INTO outcomes SELECT * FROM counted_outcomes;

INSERT INTO outcome_cells
SELECT
    minute, series_id, target, slice_key, slice_value, predicted, actual, correct,
    sum(sign)::BIGINT AS n
FROM (
    SELECT *, 1 AS sign FROM counted_outcomes WHERE counted
    UNION ALL
    SELECT *, -1 AS sign FROM removed WHERE counted
)
JOIN slice_sets USING (slices_id)
GROUP BY ALL
HAVING sum(sign) <> 0;

INSERT INTO arrival_cells
SELECT
    series_id, target, predicted, actual, correct,
    count(*) FILTER (sign > 0) AS added,
    count(*) FILTER (sign < 0) AS retracted
FROM (
    SELECT *, 1 AS sign FROM counted_outcomes WHERE counted
    UNION ALL
    SELECT *, -1 AS sign FROM removed WHERE counted
)
GROUP BY ALL;
