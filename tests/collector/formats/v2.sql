-- A file of format 2: its schema as it was, then the rows that its collector wrote.

-- The format as it was then.
-- version in the row of `format`.
--
-- Times are Unix nanoseconds, minutes are Unix minutes. Trace ids are two big-endian halves.

CREATE TABLE format (version INTEGER NOT NULL);
INSERT INTO format VALUES (2);

-- Interned combinations: what a prediction shares with its neighbours.
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    environment VARCHAR,
    service VARCHAR,
    model VARCHAR NOT NULL,
    version VARCHAR,
    variant VARCHAR,
    operation VARCHAR,
    task VARCHAR,
    positive_class VARCHAR
);

-- Interned slice combinations, one row per key, and ('', '') for every combination, so that one
-- join gives the overall cell and the cell of each slice.
CREATE TABLE slice_sets (
    slices_id INTEGER NOT NULL,
    slice_key VARCHAR NOT NULL,
    slice_value VARCHAR NOT NULL
);
INSERT INTO slice_sets VALUES (0, '', '');

-- Classes that have cells of their own; the rest of a model's classes fold into __other__.
CREATE TABLE classes (model VARCHAR NOT NULL, class VARCHAR NOT NULL);

-- Every prediction ever accepted. Of the rows of one key only the winner is `current`; the
-- others stay for dedupe.
CREATE TABLE predictions (
    row_id BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    identity UBIGINT NOT NULL,      -- hash of environment, model, version and variant
    slices_id INTEGER NOT NULL,
    id_hash UBIGINT NOT NULL,
    prediction_id VARCHAR NOT NULL,
    position INTEGER NOT NULL,
    span_row INTEGER NOT NULL,
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,
    kind TINYINT NOT NULL,
    event_time BIGINT NOT NULL,
    start_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    bucket SMALLINT NOT NULL,
    received BIGINT NOT NULL,
    error_type VARCHAR,
    predicted VARCHAR,
    score DOUBLE,
    value DOUBLE,
    adjusted_count DOUBLE NOT NULL,
    current BOOLEAN NOT NULL
);

-- Every label ever accepted, deletions (tombstones) included.
CREATE TABLE labels (
    row_id BIGINT NOT NULL,
    label_hash UBIGINT NOT NULL,
    label_id VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    content_hash UBIGINT NOT NULL,
    environment VARCHAR,
    model VARCHAR,
    version VARCHAR,
    id_hash UBIGINT NOT NULL,
    prediction_id VARCHAR,
    position INTEGER NOT NULL,
    link_trace_high UBIGINT NOT NULL,
    link_trace_low UBIGINT NOT NULL,
    link_span UBIGINT NOT NULL,
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

-- Labels that have met no prediction yet.
CREATE TABLE waiting_labels (
    label_row BIGINT NOT NULL,
    model VARCHAR,
    received BIGINT NOT NULL
);

-- The join as it stands: the winning label of each (prediction, target). A row holds what it
-- added to the counters, so that a correction can take exactly that back.
CREATE TABLE outcomes (
    prediction_row BIGINT NOT NULL,
    target VARCHAR NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    counted BOOLEAN NOT NULL,       -- false: the call raised, so there is nothing to judge
    predicted VARCHAR,              -- as in the cell: folded, NULL for numbers
    actual VARCHAR,
    correct TINYINT NOT NULL        -- 1, 0, or -1 = not defined
);

-- Counters. Append-only: every transaction adds its own ±n, compaction adds them up.
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

-- Evaluation spans still to be sent; a row leaves after its span was accepted.
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
    error DOUBLE
);

-- From where on things are kept; one row. What is before was erased by age or size.
CREATE TABLE kept (
    rows_since BIGINT NOT NULL,     -- rows received since, Unix ns
    minutes_since BIGINT NOT NULL,  -- cells of minutes since; older ones are those of whole hours
    hours_since BIGINT NOT NULL,    -- cells of hours since, as a minute
    prediction_rows BIGINT NOT NULL,-- greatest row_id ever erased: numbers are not used twice
    label_rows BIGINT NOT NULL,
    scrub_due BOOLEAN NOT NULL      -- something was forgotten, and free blocks may hold it yet
);
INSERT INTO kept VALUES (0, 0, 0, 0, 0, FALSE);

-- Ids that were forgotten on request, as keyed hashes: a retry must not bring them back. After
-- `until` (Unix ns) nothing can, for by then their label windows have passed.
CREATE TABLE forgetting_key (key BLOB NOT NULL);
CREATE TABLE forgotten (hash UBIGINT NOT NULL, until BIGINT NOT NULL);

INSERT INTO arrival_cells VALUES
    (1, 'default', 'fraud', 'fraud', 1, 1, 0),
    (1, 'default', 'legit', 'fraud', 0, 1, 0),
    (1, 'default', 'fraud', 'fraud', 1, 0, 1),
    (1, 'default', 'fraud', 'legit', 0, 1, 0);
INSERT INTO classes VALUES
    ('fraud', 'fraud'),
    ('fraud', 'legit');
INSERT INTO labels VALUES
    (2, 11365156302456224830, 'label-2', 0, 15043196006750922921, NULL, 'fraud', NULL, 11230035279431667731, 'order-2', 0, 0, 0, 0, NULL, NULL, 'default', 'ground_truth', 'fraud', NULL, NULL, 1795000060000000000, 1795000060000000000, NULL, NULL, FALSE, '1.0'::DOUBLE),
    (1, 14675062789577392622, 'label-1', 0, 2033351287972032754, NULL, 'fraud', NULL, 4396106474611317029, 'order-1', 0, 0, 0, 0, NULL, NULL, 'default', 'ground_truth', 'fraud', NULL, NULL, 1795000060000000000, 1795000060000000000, NULL, NULL, FALSE, '1.0'::DOUBLE),
    (3, 13765935517347902833, 'label-9', 0, 913390711142730807, NULL, 'fraud', NULL, 1428157971456620761, 'order-9', 0, 0, 0, 0, NULL, NULL, 'default', 'ground_truth', 'legit', NULL, NULL, 1795000060000000000, 1795000060000000000, NULL, NULL, FALSE, '1.0'::DOUBLE),
    (4, 14675062789577392622, 'label-1', 1, 1201087647852037067, NULL, 'fraud', NULL, 4396106474611317029, 'order-1', 0, 0, 0, 0, NULL, NULL, 'default', 'ground_truth', 'legit', NULL, NULL, 1795000060000000000, 1795000060000000000, 'bank', NULL, FALSE, '1.0'::DOUBLE);
INSERT INTO outbox VALUES
    (1, 9313129656221122646, 0, 1, 2, 1795000000005000000, 1795000000000000000, 1, 'order-2', 0, 'default', 'label-2', 0, 1795000060000000000, 'incorrect', 'legit', 'fraud', NULL),
    (2, 8188349072983220858, 0, 1, 1, 1795000000005000000, 1795000000000000000, 1, 'order-1', 0, 'default', 'label-1', 0, 1795000060000000000, 'correct', 'fraud', 'fraud', NULL),
    (3, 18361339059914204215, 0, 1, 1, 1795000000005000000, 1795000000000000000, 1, 'order-1', 0, 'default', 'label-1', 1, 1795000060000000000, 'incorrect', 'fraud', 'legit', NULL);
INSERT INTO outcomes VALUES
    (2, 'default', 2, 1, 2, 29916666, TRUE, 'legit', 'fraud', 0),
    (1, 'default', 4, 1, 1, 29916666, TRUE, 'fraud', 'legit', 0);
INSERT INTO outcome_cells VALUES
    (29916666, 1, 'default', '', '', 'fraud', 'fraud', 1, 1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'fraud', 1, 1),
    (29916666, 1, 'default', '', '', 'legit', 'fraud', 0, 1),
    (29916666, 1, 'default', 'country', 'FR', 'legit', 'fraud', 0, 1),
    (29916666, 1, 'default', '', '', 'fraud', 'legit', 0, 1),
    (29916666, 1, 'default', '', '', 'fraud', 'fraud', 1, -1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'fraud', 1, -1),
    (29916666, 1, 'default', 'country', 'DE', 'fraud', 'legit', 0, 1);
INSERT INTO predictions VALUES
    (1, 1, 5012295404910556414, 1, 4396106474611317029, 'order-1', 0, 0, 0, 1, 1, 1, 1795000000000000000, 1795000000000000000, 5000000, 772, 1795000000000000000, NULL, 'fraud', NULL, NULL, '1.0'::DOUBLE, TRUE),
    (3, 1, 5012295404910556414, 0, 593843983341453921, 'order-3', 0, 0, 0, 1, 3, 1, 1795000000000000000, 1795000000000000000, 5000000, 772, 1795000000000000000, 'ValueError', NULL, NULL, NULL, '1.0'::DOUBLE, TRUE),
    (2, 1, 5012295404910556414, 2, 11230035279431667731, 'order-2', 0, 0, 0, 1, 2, 1, 1795000000000000000, 1795000000000000000, 5000000, 772, 1795000000000000000, NULL, 'legit', NULL, NULL, '1.0'::DOUBLE, TRUE);
INSERT INTO prediction_cells VALUES
    (29916666, 1, '', '', TRUE, 772, 1),
    (29916666, 1, '', '', FALSE, 772, 2),
    (29916666, 1, 'country', 'DE', FALSE, 772, 1),
    (29916666, 1, 'country', 'FR', FALSE, 772, 1);
INSERT INTO series VALUES
    (1, NULL, 'fraud-api', 'fraud', '7', NULL, 'predict', 'binary_classification', 'fraud');
INSERT INTO slice_sets VALUES
    (1, '', ''),
    (1, 'country', 'DE'),
    (2, '', ''),
    (2, 'country', 'FR');
INSERT INTO waiting_labels VALUES
    (3, 'fraud', 1795000060000000000);
