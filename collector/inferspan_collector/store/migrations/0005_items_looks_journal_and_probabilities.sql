-- Labels of single items of rankings; and texts as they are, see schema.sql.

CREATE TABLE label_details_with_items (
    row_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    link_trace_high UBIGINT NOT NULL,
    link_trace_low UBIGINT NOT NULL,
    link_span UBIGINT NOT NULL,
    response_id VARCHAR,
    entity_id VARCHAR,
    text VARCHAR USING COMPRESSION uncompressed,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL,
    item_id VARCHAR
);
INSERT INTO label_details_with_items SELECT *, NULL FROM label_details;
DROP TABLE label_details;
ALTER TABLE label_details_with_items RENAME TO label_details;
CREATE TABLE named_labels_with_items (
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
    text VARCHAR USING COMPRESSION uncompressed,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL,
    source VARCHAR,
    annotator_kind VARCHAR,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL,
    item_id VARCHAR
);
INSERT INTO named_labels_with_items SELECT *, NULL FROM named_labels;
DROP TABLE named_labels;
ALTER TABLE named_labels_with_items RENAME TO named_labels;
CREATE TABLE item_outcomes (
    prediction_row BIGINT NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    target VARCHAR NOT NULL,
    place INTEGER,
    relevance DOUBLE NOT NULL
);

-- When ages were looked at last: a clock that jumps must not erase everything at once.
CREATE TABLE looks (last BIGINT NOT NULL, held_until BIGINT NOT NULL);

-- How far the store has taken over the journal, which a file of before does not have.

CREATE TABLE journal (applied UBIGINT NOT NULL);
INSERT INTO journal VALUES (0);

-- Probabilities of all classes of multiclass predictions.

CREATE TABLE prediction_probabilities (
    row_id BIGINT NOT NULL,
    classes VARCHAR NOT NULL,
    doubles BLOB NOT NULL USING COMPRESSION uncompressed
);

-- Declared features of predictions.

CREATE TABLE feature_blocks (
    first_row BIGINT NOT NULL,
    last_row BIGINT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    model VARCHAR NOT NULL,
    names VARCHAR,
    category_names VARCHAR,
    rows BLOB NOT NULL USING COMPRESSION uncompressed,
    numbers BLOB NOT NULL USING COMPRESSION uncompressed,
    text_ends BLOB NOT NULL USING COMPRESSION uncompressed,
    texts BLOB NOT NULL USING COMPRESSION uncompressed
);

-- What models were like before they went live.

CREATE TABLE baselines (
    number BIGINT NOT NULL,
    model VARCHAR NOT NULL,
    version VARCHAR,
    target VARCHAR NOT NULL,
    received BIGINT NOT NULL,
    document VARCHAR NOT NULL
);
CREATE TABLE baseline_numbers (last BIGINT NOT NULL);
INSERT INTO baseline_numbers VALUES (0);

-- Latencies in buckets of 2^(1/64) instead of 1.01/0.99: each goes where the value that stood for it
-- belongs. Of these alone a quantile may be off by 1.5 % from now on.
UPDATE prediction_cells
SET bucket = ceil(round(
    ln(2 * pow(1.01 / 0.99, bucket) / (1.01 / 0.99 + 1)) / ln(2) * 64, 9
))::SMALLINT
WHERE bucket > 0;

-- Spans of wrong predictions that were not sampled.

ALTER TABLE predictions ADD COLUMN unsampled BOOLEAN;
ALTER TABLE outbox ADD COLUMN rebuilt VARCHAR;
CREATE TABLE rebuilt_spans (
    row_id BIGINT NOT NULL,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL
);
