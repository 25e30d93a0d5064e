-- Which labels came in time for what they are about: within their target's window, before or after.
-- By times of receipt, so that it does not matter when exactly what is too old was erased.
-- The names in braces stand for relations: `matches` gives (label_row, prediction_row, apart) of
-- `labels` and `predictions`; `windows` gives (model, target, length), NULL = of any other.
SELECT
    m.label_row,
    m.prediction_row,
    greatest(m.apart, abs(l.received - p.received))
        > coalesce(w.length, (SELECT length FROM {windows} WHERE model IS NULL)) AS late
FROM ({matches}) AS m
JOIN {labels} AS l ON l.row_id = m.label_row
JOIN {predictions} AS p ON p.row_id = m.prediction_row
JOIN series AS s ON s.series_id = p.series_id
LEFT JOIN {windows} AS w ON w.model = s.model AND w.target = l.target
