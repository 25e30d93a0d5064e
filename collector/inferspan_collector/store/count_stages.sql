-- Counts the runs of met_stages (TEMP), and keeps those that are to be known again.
-- Filled in by `stages.py`. What waited has met a prediction that is new: no run of it was counted.

CREATE OR REPLACE TEMP TABLE counted_stages AS
WITH before AS (
    SELECT DISTINCT trace_high, trace_low, owner, stage, phase FROM near_runs
)
SELECT
    m.event_time // {minute} AS minute,
    m.series_id,
    CASE WHEN m.stage = '' OR n.stage IS NOT NULL THEN m.stage ELSE '{other}' END AS stage,
    m.phase,
    {bucket} AS bucket,
    m.duration,
    -- A prediction is covered by the first run of a step that is seen of it.
    CASE
        WHEN b.owner IS NULL AND row_number() OVER (
            PARTITION BY m.trace_high, m.trace_low, m.owner, m.stage, m.phase
        ) = 1 THEN m.covered
        ELSE 0
    END AS covered
FROM met_stages AS m
JOIN series AS s ON s.series_id = m.series_id
LEFT JOIN stage_names AS n ON n.model = s.model AND n.stage = m.stage
LEFT JOIN before AS b
    ON b.owner = m.owner AND b.trace_low = m.trace_low AND b.trace_high = m.trace_high
    AND b.stage = m.stage AND b.phase = m.phase;

INSERT INTO stage_cells
SELECT
    minute, series_id, stage, phase, bucket, count(*), sum(covered)::BIGINT,
    sum(duration)::HUGEINT
FROM counted_stages
GROUP BY ALL;
INSERT INTO stage_arrivals
SELECT series_id, stage, phase, bucket, count(*), sum(covered)::BIGINT, sum(duration)::HUGEINT
FROM counted_stages
GROUP BY ALL;
INSERT INTO stage_runs SELECT {run}, received FROM met_stages;
DELETE FROM waiting_stages AS w
USING (SELECT * FROM met_stages WHERE NOT fresh) AS m
WHERE {same_run};
