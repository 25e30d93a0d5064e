-- How long the stages and phases of predictions took, see schema.sql.

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
