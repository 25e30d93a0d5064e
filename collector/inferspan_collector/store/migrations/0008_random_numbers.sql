-- Columns of random numbers, which DuckDB need not try to compress. How a column is compressed cannot be
-- altered: both tables are written anew.

ALTER TABLE predictions RENAME TO predictions_before;
ALTER TABLE labels RENAME TO labels_before;

CREATE TABLE predictions (
    row_id BIGINT NOT NULL,
    key_high UBIGINT NOT NULL,
    key_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    id_text VARCHAR,
    trace_high UBIGINT NOT NULL USING COMPRESSION uncompressed,
    trace_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    span UBIGINT NOT NULL USING COMPRESSION uncompressed,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    event_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    received BIGINT NOT NULL,
    predicted VARCHAR,
    score DOUBLE,
    value DOUBLE,
    unsampled BOOLEAN
);
INSERT INTO predictions SELECT * FROM predictions_before;
DROP TABLE predictions_before;

CREATE TABLE labels (
    row_id BIGINT NOT NULL,
    label_high UBIGINT NOT NULL,
    label_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    label_text VARCHAR,
    revision BIGINT NOT NULL,
    content_hash UBIGINT NOT NULL USING COMPRESSION uncompressed,
    key_high UBIGINT NOT NULL,
    key_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    id_text VARCHAR,
    set_id INTEGER NOT NULL,
    actual VARCHAR,
    value DOUBLE,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL
);
INSERT INTO labels SELECT * FROM labels_before;
DROP TABLE labels_before;
