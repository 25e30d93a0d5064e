-- Labels by entity and by response.

CREATE TABLE named_predictions (
    entity_id VARCHAR,
    response_id VARCHAR,
    environment VARCHAR,
    model VARCHAR NOT NULL,
    version VARCHAR,
    prediction_id VARCHAR NOT NULL,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,
    span_row INTEGER NOT NULL,
    event_time BIGINT NOT NULL,
    received BIGINT NOT NULL
);
CREATE TABLE named_labels (
    label_id VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    content_hash UBIGINT NOT NULL,
    environment VARCHAR,
    model VARCHAR,
    version VARCHAR,
    response_id VARCHAR,
    entity_id VARCHAR,
    target VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    actual VARCHAR,
    value DOUBLE,
    text VARCHAR,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL,
    source VARCHAR,
    annotator_kind VARCHAR,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL
);

-- What was forgotten before has no hash of its id alone, by which rows are asked since. The hash 0,
-- for as long as one of those is kept, says to ask each row for its exact one.
INSERT INTO forgotten SELECT 0, max(until) FROM forgotten HAVING count(*) > 0;
