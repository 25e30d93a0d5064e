-- Runs of steps: which of those that arrived are new, which predictions they are of.
-- Filled in by `stages.py`. Reads arrived_stages (a batch); makes near_runs, fresh_stages,
-- met_stages (TEMP). Large tables are looked through by one column of 8 bytes.

CREATE OR REPLACE TEMP TABLE near_runs AS
SELECT * FROM stage_runs WHERE owner IN (SELECT owner FROM arrived_stages);

CREATE OR REPLACE TEMP TABLE fresh_stages AS
WITH known AS (
    SELECT {run} FROM near_runs
    UNION ALL
    SELECT {run} FROM waiting_stages WHERE owner IN (SELECT owner FROM arrived_stages)
)
SELECT {run}, min(received) AS received
FROM arrived_stages
ANTI JOIN known USING ({run})
GROUP BY ALL
LIMIT {room};

-- What is new may be of any prediction of about its time, what waits of one that has just come. Of
-- several spans with the same ids, which random numbers that are not random give, the nearest.
CREATE OR REPLACE TEMP TABLE met_stages AS
WITH asked AS (
    SELECT *, TRUE AS fresh FROM fresh_stages
    UNION ALL
    SELECT *, FALSE FROM waiting_stages
),
near_rows AS (
    SELECT row_id
    FROM predictions
    WHERE received >= {received_since} AND span IN (SELECT owner FROM fresh_stages)
    UNION
    SELECT row_id
    FROM predictions
    WHERE row_id >= {first_row} AND span IN (SELECT owner FROM waiting_stages)
),
spans AS (
    SELECT
        trace_high, trace_low, span, series_id, event_time, min(received) AS received,
        count(*) AS covered
    FROM predictions
    WHERE row_id IN (SELECT row_id FROM near_rows)
    GROUP BY ALL
)
SELECT a.*, s.series_id, s.event_time, s.covered
FROM asked AS a
JOIN spans AS s
    ON s.span = a.owner AND s.trace_low = a.trace_low AND s.trace_high = a.trace_high
    AND abs(s.received - a.received) <= {window}
QUALIFY row_number() OVER (
    PARTITION BY {asked_run} ORDER BY abs(s.event_time - a.start_time), s.event_time, s.series_id
) = 1;
