-- Erases the labels of `leaving` (TEMP: row_id) and what hangs on them.

UPDATE kept SET label_rows = greatest(label_rows, (SELECT coalesce(max(row_id), 0) FROM leaving));

DELETE FROM labels
WHERE row_id BETWEEN (SELECT min(row_id) FROM leaving) AND (SELECT max(row_id) FROM leaving)
    AND row_id IN (SELECT row_id FROM leaving);
DELETE FROM label_details WHERE row_id IN (SELECT row_id FROM leaving);
DELETE FROM waiting_labels WHERE label_row IN (SELECT row_id FROM leaving);
