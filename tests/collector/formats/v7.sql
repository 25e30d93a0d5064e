-- A file of format 7: its schema as it was, then the rows that its collector wrote, and features.

CREATE TABLE format (version INTEGER NOT NULL);
INSERT INTO format VALUES (7);
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
CREATE TABLE slice_sets (
    slices_id INTEGER NOT NULL,
    slice_key VARCHAR NOT NULL,
    slice_value VARCHAR NOT NULL
);
INSERT INTO slice_sets VALUES (0, '', '');
CREATE TABLE classes (model VARCHAR NOT NULL, class VARCHAR NOT NULL);
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
    value DOUBLE,
    unsampled BOOLEAN
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
CREATE TABLE prediction_probabilities (
    row_id BIGINT NOT NULL,
    classes VARCHAR NOT NULL,
    doubles BLOB NOT NULL USING COMPRESSION uncompressed
);
CREATE TABLE feature_blocks (
    first_row BIGINT NOT NULL,
    last_row BIGINT NOT NULL,
    first_time BIGINT NOT NULL,
    last_time BIGINT NOT NULL,
    set_id INTEGER NOT NULL,
    rows BLOB USING COMPRESSION uncompressed,
    features BLOB NOT NULL USING COMPRESSION uncompressed
);
CREATE TABLE feature_sets (
    set_id INTEGER NOT NULL,
    model VARCHAR NOT NULL,
    names VARCHAR,
    category_names VARCHAR
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
    text VARCHAR USING COMPRESSION uncompressed,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL,
    item_id VARCHAR
);
CREATE TABLE waiting_labels (
    label_row BIGINT NOT NULL,
    model VARCHAR,
    received BIGINT NOT NULL
);
CREATE TABLE outcomes (
    prediction_row BIGINT NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    judgement_id INTEGER NOT NULL
);
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
CREATE TABLE judgements (
    judgement_id INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    counted BOOLEAN NOT NULL,
    predicted VARCHAR,
    actual VARCHAR,
    correct TINYINT NOT NULL
);
CREATE TABLE prediction_cells (
    minute BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slice_key VARCHAR NOT NULL,
    slice_value VARCHAR NOT NULL,
    failed BOOLEAN NOT NULL,
    bucket SMALLINT NOT NULL,
    n BIGINT NOT NULL
);
CREATE TABLE outcome_cells (
    minute BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    slice_key VARCHAR NOT NULL,
    slice_value VARCHAR NOT NULL,
    predicted VARCHAR,
    actual VARCHAR,
    correct TINYINT NOT NULL,
    n BIGINT NOT NULL
);
CREATE TABLE arrival_cells (
    series_id INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    predicted VARCHAR,
    actual VARCHAR,
    correct TINYINT NOT NULL,
    added BIGINT NOT NULL,
    retracted BIGINT NOT NULL
);
CREATE SEQUENCE outbox_sequence;
CREATE TABLE outbox (
    sequence BIGINT NOT NULL DEFAULT nextval('outbox_sequence'),
    span UBIGINT NOT NULL,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    prediction_span UBIGINT NOT NULL,
    prediction_end BIGINT NOT NULL,
    event_time BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    prediction_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    label_id VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    label_time BIGINT NOT NULL,
    outcome VARCHAR NOT NULL,
    predicted VARCHAR,
    expected VARCHAR,
    error DOUBLE,
    rebuilt VARCHAR
);
CREATE TABLE rebuilt_spans (
    row_id BIGINT NOT NULL,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL
);
CREATE TABLE kept (
    rows_since BIGINT NOT NULL,
    minutes_since BIGINT NOT NULL,
    hours_since BIGINT NOT NULL,
    prediction_rows BIGINT NOT NULL,
    label_rows BIGINT NOT NULL,
    scrub_due BOOLEAN NOT NULL
);
INSERT INTO kept VALUES (0, 0, 0, 0, 0, FALSE);
CREATE TABLE looks (last BIGINT NOT NULL, held_until BIGINT NOT NULL);
CREATE TABLE journal (applied UBIGINT NOT NULL);
INSERT INTO journal VALUES (0);
CREATE TABLE forgetting_key (key BLOB NOT NULL);
CREATE TABLE forgotten (hash UBIGINT NOT NULL, until BIGINT NOT NULL);
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
    text VARCHAR USING COMPRESSION uncompressed,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL,
    source VARCHAR,
    annotator_kind VARCHAR,
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL,
    item_id VARCHAR
);
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
CREATE TABLE stage_runs (
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,
    owner UBIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    start_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    received BIGINT NOT NULL
);
CREATE TABLE waiting_stages (
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,
    owner UBIGINT NOT NULL,
    stage VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    start_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    received BIGINT NOT NULL
);
CREATE TABLE stage_names (model VARCHAR NOT NULL, stage VARCHAR NOT NULL);
CREATE TABLE stage_cells (
    minute BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    n BIGINT NOT NULL,
    covered BIGINT NOT NULL,
    duration HUGEINT NOT NULL
);
CREATE TABLE stage_arrivals (
    series_id INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    n BIGINT NOT NULL,
    covered BIGINT NOT NULL,
    duration HUGEINT NOT NULL
);

INSERT INTO arrival_cells VALUES
    (1, 'default', 'fraud', 'fraud', 1, 1, 0),
    (1, 'default', 'legit', 'fraud', 0, 1, 0),
    (1, 'default', 'fraud', 'legit', 0, 1, 0),
    (1, 'default', 'fraud', 'fraud', 1, 0, 1);
INSERT INTO classes VALUES
    ('fraud', 'fraud'),
    ('fraud', 'legit');
INSERT INTO id_secret VALUES
    (17982127432227697463, 16958698745628120755);
INSERT INTO judgements VALUES
    (1, 'default', TRUE, 'fraud', 'fraud', 1),
    (2, 'default', TRUE, 'legit', 'fraud', 0),
    (3, 'default', TRUE, 'fraud', 'legit', 0);
INSERT INTO labels VALUES
    (1, 12775405711692784714, 6885810354191944462, '------------label-1', 0, 4725631816286309991, 1928230557828956037, 10112538700108758045, '------------order-1', 1, 'fraud', NULL, 1795000060000000000, 1795000060000000000),
    (2, 5763247527846791159, 6714540536457067358, '------------label-2', 0, 14569192096116259685, 14564319373638988452, 12183910565283413037, '------------order-2', 1, 'fraud', NULL, 1795000060000000000, 1795000060000000000),
    (3, 5159360057613491841, 3281061800251195575, '------------label-9', 0, 2615877410724003611, 4392726459382409599, 15359501735421269239, '------------order-9', 1, 'legit', NULL, 1795000060000000000, 1795000060000000000),
    (4, 12775405711692784714, 6885810354191944462, '------------label-1', 1, 17746976638045991873, 1928230557828956037, 10112538700108758045, '------------order-1', 2, 'legit', NULL, 1795000060000000000, 1795000060000000000);
INSERT INTO label_sets VALUES
    (1, NULL, 'fraud', NULL, 'default', 'ground_truth', NULL, NULL),
    (2, NULL, 'fraud', NULL, 'default', 'ground_truth', 'bank', NULL);
INSERT INTO named_predictions VALUES
    ('customer-1', NULL, NULL, 'fraud', '7', 'order-1', 0, 1, 1, 0, 1795000000000000000, 1795000000000000000);
INSERT INTO named_labels VALUES
    ('label-e', 0, 1, NULL, 'fraud', NULL, NULL, 'customer-2', 'default', 'ground_truth', 'fraud', NULL, NULL, 1795000060000000000, 1795000060000000000, NULL, NULL, FALSE, 1, NULL);
INSERT INTO outbox VALUES
    (1, 6882670572232301165, 0, 1, 2, 1795000000005000000, 1795000000000000000, 1, '------------order-2', 0, 'default', 'label-2', 0, 1795000060000000000, 'incorrect', 'legit', 'fraud', NULL, NULL),
    (2, 14656781048698010699, 0, 1, 1, 1795000000005000000, 1795000000000000000, 1, '------------order-1', 0, 'default', 'label-1', 0, 1795000060000000000, 'correct', 'fraud', 'fraud', NULL, NULL),
    (3, 14063800151239549850, 0, 1, 1, 1795000000005000000, 1795000000000000000, 1, '------------order-1', 0, 'default', 'label-1', 1, 1795000060000000000, 'incorrect', 'fraud', 'legit', NULL, NULL);
INSERT INTO outcomes VALUES
    (2, 2, 1, 2, 29916666, 2),
    (1, 4, 1, 1, 29916666, 3);
INSERT INTO outcome_cells VALUES
    (29916666, 1, 'default', '', '', 'fraud', 'fraud', 1, 1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'fraud', 1, 1),
    (29916666, 1, 'default', '', '', 'legit', 'fraud', 0, 1),
    (29916666, 1, 'default', 'country', 'FR', 'legit', 'fraud', 0, 1),
    (29916666, 1, 'default', '', '', 'fraud', 'legit', 0, 1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'legit', 0, 1),
    (29916666, 1, 'default', '', '', 'fraud', 'fraud', 1, -1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'fraud', 1, -1);
INSERT INTO predictions VALUES
    (1, 1928230557828956037, 10112538700108758045, '------------order-1', 0, 1, 1, 1, 1, 1795000000000000000, 5000000, 1795000000000000000, 'fraud', NULL, NULL, FALSE),
    (2, 14564319373638988452, 12183910565283413037, '------------order-2', 0, 1, 2, 1, 2, 1795000000000000000, 5000000, 1795000000000000000, 'legit', NULL, NULL, FALSE),
    (3, 9161953560439411118, 1337650569421123530, '------------order-3', 0, 1, 3, 1, 0, 1795000000000000000, 5000000, 1795000000000000000, NULL, NULL, NULL, FALSE);
INSERT INTO prediction_cells VALUES
    (29916666, 1, '', '', FALSE, 1425, 2),
    (29916666, 1, 'country', 'DE', FALSE, 1425, 1),
    (29916666, 1, 'country', 'FR', FALSE, 1425, 1),
    (29916666, 1, '', '', TRUE, 1425, 1);
INSERT INTO prediction_details VALUES
    (3, NULL, 0, 0, FALSE, 1795000000000000000, 'ValueError', '1.0'::DOUBLE);
INSERT INTO series VALUES
    (1, 5012295404910556414, NULL, 'fraud-api', 'fraud', '7', NULL, 'predict', 'binary_classification', 'fraud');
INSERT INTO slice_sets VALUES
    (1, '', ''),
    (1, 'country', 'DE'),
    (2, '', ''),
    (2, 'country', 'FR');
INSERT INTO waiting_labels VALUES
    (3, 'fraud', 1795000060000000000);
INSERT INTO feature_blocks VALUES
    (1, 3, 1795000000000000000, 1795000000000000000, 1, unhex('01000000000000000300000000000000'), unhex('22C40972F87F02444578555555555555D53F718000')),
    (2, 2, 1795000000000000000, 1795000000000000000, 2, '', unhex('02465202C3A9')),
    (4, 4, 1795000000000000000, 1795000000000000000, 3, '', unhex('789C7500883CE4377E'));
INSERT INTO feature_sets VALUES
    (1, 'fraud', '["amount","age"]', '["country"]'),
    (2, 'fraud', NULL, '["country","kind"]'),
    (3, 'fraud', '["amount"]', NULL);
