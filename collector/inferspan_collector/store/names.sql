-- New labels that name their predictions by a response or an entity, with all predictions that have
-- that name; and new predictions with such labels that came before. Reads new_named_labels and
-- new_named_predictions (TEMP), named_labels without the new ones, named_predictions with them;
-- {horizons} gives (model, target, length). One row a label and prediction that it means; with {rows}
-- of them there are too many, and more are not made.
WITH pairs AS (
    SELECT l.*, p.* EXCLUDE (entity_id, response_id, environment, version, model, received),
        p.model AS of_model, p.environment AS of_environment, p.version AS of_version, TRUE AS asked
    FROM new_named_labels AS l
    JOIN named_predictions AS p ON p.response_id = l.response_id
    UNION ALL
    SELECT l.*, p.* EXCLUDE (entity_id, response_id, environment, version, model, received),
        p.model, p.environment, p.version, TRUE
    FROM new_named_labels AS l
    JOIN named_predictions AS p ON p.entity_id = l.entity_id AND p.model = l.model
    WHERE l.response_id IS NULL
    UNION ALL
    SELECT NULL AS place, l.*,
        p.* EXCLUDE (entity_id, response_id, environment, version, model, received),
        p.model, p.environment, p.version, FALSE
    FROM new_named_predictions AS p
    JOIN named_labels AS l ON p.response_id = l.response_id
    UNION ALL
    SELECT NULL AS place, l.*,
        p.* EXCLUDE (entity_id, response_id, environment, version, model, received),
        p.model, p.environment, p.version, FALSE
    FROM new_named_predictions AS p
    JOIN named_labels AS l ON p.entity_id = l.entity_id AND p.model = l.model
    WHERE l.response_id IS NULL
)
SELECT
    p.place, p.asked, p.label_id, p.revision, p.content_hash, p.of_model, p.trace_high, p.trace_low, p.span,
    p.span_row, p.target, p.kind, p.actual, p.value, p.text, p.time, p.received, p.source,
    p.annotator_kind, p.deleted, p.weight, p.item_id
FROM pairs AS p
LEFT JOIN {horizons} AS h ON h.model = p.of_model AND h.target = p.target
WHERE (p.model IS NULL OR p.model = p.of_model)
    AND (p.environment IS NULL OR p.environment IS NOT DISTINCT FROM p.of_environment)
    AND (p.version IS NULL OR p.version IS NOT DISTINCT FROM p.of_version)
    AND (
        p.response_id IS NOT NULL
        OR p.time - p.event_time BETWEEN 0
            AND coalesce(h.length, (SELECT length FROM {horizons} WHERE model IS NULL))
    )
ORDER BY p.asked DESC, p.place, p.trace_high, p.trace_low, p.span, p.span_row, p.label_id, p.revision
LIMIT {rows}
