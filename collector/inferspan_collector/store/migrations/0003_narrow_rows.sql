-- Rows as narrow as most of them are; ids of 32 hexadecimal digits as their own keys. `narrow_rows`
-- fills these tables from the wide ones and drops those.

ALTER TABLE series RENAME TO wide_series;
ALTER TABLE predictions RENAME TO wide_predictions;
ALTER TABLE labels RENAME TO wide_labels;
ALTER TABLE outcomes RENAME TO wide_outcomes;

CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    identity UBIGINT,
    environment VARCHAR,
    service VARCHAR,
    model VARCHAR NOT NULL,
    version VARCHAR,
    variant VARCHAR,
    operation VARCHAR,
    task VARCHAR,
    positive_class VARCHAR
);

CREATE TABLE id_secret (high UBIGINT NOT NULL, low UBIGINT NOT NULL);

CREATE TABLE predictions (
    row_id BIGINT NOT NULL,
    key_high UBIGINT NOT NULL,
    key_low UBIGINT NOT NULL,
    id_text VARCHAR,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    event_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    received BIGINT NOT NULL,
    predicted VARCHAR,
    score DOUBLE,
    value DOUBLE
);

CREATE TABLE prediction_details (
    row_id BIGINT NOT NULL,
    identity UBIGINT,
    position INTEGER NOT NULL,
    span_row INTEGER NOT NULL,
    client BOOLEAN NOT NULL,
    start_time BIGINT NOT NULL,
    error_type VARCHAR,
    adjusted_count DOUBLE NOT NULL
);

CREATE TABLE superseded_predictions (row_id BIGINT NOT NULL);

CREATE TABLE label_sets (
    set_id INTEGER NOT NULL,
    environment VARCHAR,
    model VARCHAR,
    version VARCHAR,
    target VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    source VARCHAR,
    annotator_kind VARCHAR
);

CREATE TABLE labels (
    row_id BIGINT NOT NULL,
    label_high UBIGINT NOT NULL,
    label_low UBIGINT NOT NULL,
    label_text VARCHAR,
    revision BIGINT NOT NULL,
    content_hash UBIGINT NOT NULL,
    key_high UBIGINT NOT NULL,
    key_low UBIGINT NOT NULL,
    id_text VARCHAR,
    set_id INTEGER NOT NULL,
    actual VARCHAR,
    value DOUBLE,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL
);

CREATE TABLE label_details (
    row_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    link_trace_high UBIGINT NOT NULL,
    link_trace_low UBIGINT NOT NULL,
    link_span UBIGINT NOT NULL,
    response_id VARCHAR,
    entity_id VARCHAR,
    text VARCHAR,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL
);

CREATE TABLE outcomes (
    prediction_row BIGINT NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    judgement_id INTEGER NOT NULL
);

CREATE TABLE judgements (
    judgement_id INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    counted BOOLEAN NOT NULL,
    predicted VARCHAR,
    actual VARCHAR,
    correct TINYINT NOT NULL
);
