-- The file's format as it is now. A change here needs a step in `migrations/`, and that step's
-- version in the row of `format`.
--
-- Times are Unix nanoseconds, minutes are Unix minutes. Trace ids are two big-endian halves.

CREATE TABLE format (version INTEGER NOT NULL);
INSERT INTO format VALUES (8);

-- Interned combinations: what a prediction shares with its neighbours.
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    identity UBIGINT,               -- hash of environment, model, version and variant; NULL = folded
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

-- The secret with which ids that are no 32 hexadecimal digits become keys; one row, made once.
CREATE TABLE id_secret (high UBIGINT NOT NULL, low UBIGINT NOT NULL);

-- Every prediction ever accepted, also those that lost their key to another; for dedupe.
-- Narrow, because each column costs every row: what is rare stands in `prediction_details`. What is
-- random is not compressed: to find out that it cannot be takes a tenth of the time.
CREATE TABLE predictions (
    row_id BIGINT NOT NULL,
    key_high UBIGINT NOT NULL,      -- the id's 32 hexadecimal digits, or a hash of its text
    key_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    id_text VARCHAR,                -- the id where it is not in the key, behind `keys.PADDING`
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
    unsampled BOOLEAN               -- its slim record says so; NULL = of before it was asked
);

-- A row where anything of a prediction is not as usual: the first row of a span that is no
-- client's, began at the event's time, did not raise, stands for one, in a series not folded.
CREATE TABLE prediction_details (
    row_id BIGINT NOT NULL,
    identity UBIGINT,               -- where its series was folded
    position INTEGER NOT NULL,
    span_row INTEGER NOT NULL,
    client BOOLEAN NOT NULL,        -- OTLP's kind is CLIENT
    start_time BIGINT NOT NULL,
    error_type VARCHAR,
    adjusted_count DOUBLE NOT NULL
);

-- Probabilities of multiclass predictions, where they came: a little-endian double for each of the
-- classes, which are a JSON array.
CREATE TABLE prediction_probabilities (
    row_id BIGINT NOT NULL,
    classes VARCHAR NOT NULL,
    doubles BLOB NOT NULL USING COMPRESSION uncompressed
);

-- The declared features of predictions: a row for those of a transaction that have the same names.
CREATE TABLE feature_blocks (
    first_row BIGINT NOT NULL,
    last_row BIGINT NOT NULL,
    first_time BIGINT NOT NULL,     -- event times of its predictions
    last_time BIGINT NOT NULL,
    set_id INTEGER NOT NULL,
    rows BLOB USING COMPRESSION uncompressed,   -- int64[n], rising; NULL or '' = all between
    features BLOB NOT NULL USING COMPRESSION uncompressed -- rows of `decode.feature_rows`
);

-- Interned combinations: what the predictions of a block share. One may stand here twice.
CREATE TABLE feature_sets (
    set_id INTEGER NOT NULL,
    model VARCHAR NOT NULL,
    names VARCHAR,                  -- of the numbers: a JSON array; NULL = it has none
    category_names VARCHAR          -- of the texts
);

-- Rows of `predictions` whose key another row has won.
CREATE TABLE superseded_predictions (row_id BIGINT NOT NULL);

-- Interned combinations: what a label shares with its neighbours. One may stand here twice.
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

-- Every label ever accepted, deletions (tombstones) included.
CREATE TABLE labels (
    row_id BIGINT NOT NULL,
    label_high UBIGINT NOT NULL,    -- the label's own id, as a key
    label_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    label_text VARCHAR,
    revision BIGINT NOT NULL,
    content_hash UBIGINT NOT NULL USING COMPRESSION uncompressed,
    key_high UBIGINT NOT NULL,      -- the prediction's id; 0 = it names none
    key_low UBIGINT NOT NULL USING COMPRESSION uncompressed,
    id_text VARCHAR,
    set_id INTEGER NOT NULL,
    actual VARCHAR,
    value DOUBLE,
    time BIGINT NOT NULL,
    received BIGINT NOT NULL
);

-- A row where anything of a label is not as usual: index 0, a weight of 1, an upsert, named by id.
CREATE TABLE label_details (
    row_id BIGINT NOT NULL,
    position INTEGER NOT NULL,
    link_trace_high UBIGINT NOT NULL,
    link_trace_low UBIGINT NOT NULL,
    link_span UBIGINT NOT NULL,     -- 0 = it has no link, or needs none
    response_id VARCHAR,
    entity_id VARCHAR,
    text VARCHAR USING COMPRESSION uncompressed,    -- up to 16,384 characters
    deleted BOOLEAN NOT NULL,
    weight DOUBLE NOT NULL,
    item_id VARCHAR                 -- which item of a ranking; NULL = the prediction as a whole
);

-- Labels that have met no prediction yet.
CREATE TABLE waiting_labels (
    label_row BIGINT NOT NULL,      -- of a label by entity or response, that has no row: below 0
    model VARCHAR,
    received BIGINT NOT NULL
);

-- The join as it stands: the winning label of each (prediction, target). A row holds what it
-- added to the counters, so that a correction can take exactly that back.
CREATE TABLE outcomes (
    prediction_row BIGINT NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    judgement_id INTEGER NOT NULL
);

-- The same of single items of rankings: the winning label of each (prediction, target, item). They
-- count in no cell: a prediction is labelled once, however many of its items are.
CREATE TABLE item_outcomes (
    prediction_row BIGINT NOT NULL,
    label_row BIGINT NOT NULL,
    series_id INTEGER NOT NULL,
    slices_id INTEGER NOT NULL,
    minute BIGINT NOT NULL,
    target VARCHAR NOT NULL,
    place INTEGER,                  -- of the item in the ranking, from 1; NULL = it is not in it
    relevance DOUBLE NOT NULL
);

-- Interned combinations: what an outcome says. One may stand here twice.
CREATE TABLE judgements (
    judgement_id INTEGER NOT NULL,
    target VARCHAR NOT NULL,
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
    prediction_id VARCHAR NOT NULL, -- behind `keys.PADDING`
    position INTEGER NOT NULL,
    target VARCHAR NOT NULL,
    label_id VARCHAR NOT NULL,
    revision BIGINT NOT NULL,
    label_time BIGINT NOT NULL,
    outcome VARCHAR NOT NULL,
    predicted VARCHAR,
    expected VARCHAR,
    error DOUBLE,
    rebuilt VARCHAR                 -- JSON of the prediction's own span; NULL = it is not sent
);

-- Spans of unsampled predictions that were rebuilt: none is a second time.
CREATE TABLE rebuilt_spans (
    row_id BIGINT NOT NULL,         -- the prediction that was wrong
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL
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

-- When ages were looked at last, and until when nothing is erased by them because the clock jumped;
-- one row, or none in a file that never was looked at.
CREATE TABLE looks (last BIGINT NOT NULL, held_until BIGINT NOT NULL);

-- The last record of the journal that is in these tables; one row.
CREATE TABLE journal (applied UBIGINT NOT NULL);
INSERT INTO journal VALUES (0);

-- Ids that were forgotten on request, as keyed hashes: a retry must not bring them back. After
-- `until` (Unix ns) nothing can, for by then their label windows have passed.
CREATE TABLE forgetting_key (key BLOB NOT NULL);
CREATE TABLE forgotten (hash UBIGINT NOT NULL, until BIGINT NOT NULL);

-- Predictions by their other names, an entity's and a response's, and labels that name their
-- predictions by these alone: the join sees a label of its own for each prediction that is meant.
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

-- What models were like before they went live, learnt from files: JSON of `baselines.document`.
CREATE TABLE baselines (
    number BIGINT NOT NULL,         -- rises, never used twice
    model VARCHAR NOT NULL,
    version VARCHAR,                -- NULL = of any
    target VARCHAR NOT NULL,
    received BIGINT NOT NULL,       -- Unix ns
    document VARCHAR NOT NULL
);
CREATE TABLE baseline_numbers (last BIGINT NOT NULL);
INSERT INTO baseline_numbers VALUES (0);

-- Runs of steps of predictions that came lately and are counted, to know one that comes again.
CREATE TABLE stage_runs (
    trace_high UBIGINT NOT NULL,
    trace_low UBIGINT NOT NULL,
    span UBIGINT NOT NULL,          -- what says it: the step's own, or its prediction's
    owner UBIGINT NOT NULL,         -- the span of its prediction
    stage VARCHAR NOT NULL,         -- '' = the prediction itself
    phase VARCHAR NOT NULL,         -- '' = the whole step
    start_time BIGINT NOT NULL,
    duration BIGINT NOT NULL,
    received BIGINT NOT NULL
);

-- The same of those that have met no prediction yet.
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

-- Steps that have cells of their own; the rest of a model's steps fold into __other__.
CREATE TABLE stage_names (model VARCHAR NOT NULL, stage VARCHAR NOT NULL);

-- Counters of steps, as those above: append-only, added up by compaction.
CREATE TABLE stage_cells (
    minute BIGINT NOT NULL,         -- of their prediction's time
    series_id INTEGER NOT NULL,
    stage VARCHAR NOT NULL,
    phase VARCHAR NOT NULL,
    bucket SMALLINT NOT NULL,
    n BIGINT NOT NULL,              -- runs
    covered BIGINT NOT NULL,        -- predictions whose first run this is; of any bucket
    duration HUGEINT NOT NULL       -- the sum, ns
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
