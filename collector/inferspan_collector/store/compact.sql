-- Adds up the append-only counter tables, in a transaction of its own.

CREATE OR REPLACE TEMP TABLE sums AS
SELECT minute, series_id, slice_key, slice_value, failed, bucket, sum(n)::BIGINT AS n
FROM prediction_cells
GROUP BY ALL
HAVING sum(n) <> 0;
DELETE FROM prediction_cells;
INSERT INTO prediction_cells SELECT * FROM sums ORDER BY minute;

CREATE OR REPLACE TEMP TABLE sums AS
SELECT
    minute, series_id, target, slice_key, slice_value, predicted, actual, correct,
    sum(n)::BIGINT AS n
FROM outcome_cells
GROUP BY ALL
HAVING sum(n) <> 0;
DELETE FROM outcome_cells;
INSERT INTO outcome_cells SELECT * FROM sums ORDER BY minute;

CREATE OR REPLACE TEMP TABLE sums AS
SELECT
    series_id, target, predicted, actual, correct,
    sum(added)::BIGINT AS added,
    sum(retracted)::BIGINT AS retracted
FROM arrival_cells
GROUP BY ALL;
DELETE FROM arrival_cells;
INSERT INTO arrival_cells SELECT * FROM sums;

CREATE OR REPLACE TEMP TABLE sums AS
SELECT
    minute, series_id, stage, phase, bucket, sum(n)::BIGINT AS n, sum(covered)::BIGINT AS covered,
    sum(duration)::HUGEINT AS duration
FROM stage_cells
GROUP BY ALL;
DELETE FROM stage_cells;
INSERT INTO stage_cells SELECT * FROM sums ORDER BY minute;

CREATE OR REPLACE TEMP TABLE sums AS
SELECT
    series_id, stage, phase, bucket, sum(n)::BIGINT AS n, sum(covered)::BIGINT AS covered,
    sum(duration)::HUGEINT AS duration
FROM stage_arrivals
GROUP BY ALL;
DELETE FROM stage_arrivals;
INSERT INTO stage_arrivals SELECT * FROM sums;
DROP TABLE sums;
