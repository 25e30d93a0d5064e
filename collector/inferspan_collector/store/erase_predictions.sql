-- Erases the predictions of `leaving` (TEMP: row_id) and what hangs on them. Counters stay: the
-- figures of their windows do not change.

UPDATE kept
SET prediction_rows = greatest(prediction_rows, (SELECT coalesce(max(row_id), 0) FROM leaving));

DELETE FROM predictions
WHERE row_id BETWEEN (SELECT min(row_id) FROM leaving) AND (SELECT max(row_id) FROM leaving)
    AND row_id IN (SELECT row_id FROM leaving);
-- Of features, whole blocks: the youngest row of one outlives the others by a transaction.
DELETE FROM feature_blocks
WHERE last_row < (SELECT coalesce(min(row_id), 9223372036854775807) FROM predictions);
DELETE FROM prediction_details WHERE row_id IN (SELECT row_id FROM leaving);
DELETE FROM prediction_probabilities WHERE row_id IN (SELECT row_id FROM leaving);
DELETE FROM superseded_predictions WHERE row_id IN (SELECT row_id FROM leaving);
DELETE FROM rebuilt_spans WHERE row_id IN (SELECT row_id FROM leaving);
DELETE FROM outcomes WHERE prediction_row IN (SELECT row_id FROM leaving);
DELETE FROM item_outcomes WHERE prediction_row IN (SELECT row_id FROM leaving);
