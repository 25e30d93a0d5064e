-- Adds the cells of the minutes of `folding` (TEMP: first, last; whole hours) up to cells of hours,
-- which stand at the hour's first minute.

CREATE OR REPLACE TEMP TABLE hours AS
SELECT minute // 60 * 60 AS minute, series_id, slice_key, slice_value, failed, bucket,
    sum(n)::BIGINT AS n
FROM prediction_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding)
GROUP BY ALL
HAVING sum(n) <> 0;
DELETE FROM prediction_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding);
INSERT INTO prediction_cells SELECT * FROM hours;

CREATE OR REPLACE TEMP TABLE hours AS
SELECT minute // 60 * 60 AS minute, series_id, target, slice_key, slice_value, predicted, actual,
    correct, sum(n)::BIGINT AS n
FROM outcome_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding)
GROUP BY ALL
HAVING sum(n) <> 0;
DELETE FROM outcome_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding);
INSERT INTO outcome_cells SELECT * FROM hours;

CREATE OR REPLACE TEMP TABLE hours AS
SELECT minute // 60 * 60 AS minute, series_id, stage, phase, bucket, sum(n)::BIGINT AS n,
    sum(covered)::BIGINT AS covered, sum(duration)::HUGEINT AS duration
FROM stage_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding)
GROUP BY ALL;
DELETE FROM stage_cells
WHERE minute >= (SELECT first FROM folding) AND minute < (SELECT last FROM folding);
INSERT INTO stage_cells SELECT * FROM hours;
DROP TABLE hours;

UPDATE kept SET minutes_since = greatest(minutes_since, (SELECT last FROM folding));
