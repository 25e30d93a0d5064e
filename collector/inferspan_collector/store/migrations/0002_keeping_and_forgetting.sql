-- What was erased by age or size, and which ids were forgotten on request.

CREATE TABLE kept (
    rows_since BIGINT NOT NULL,
    minutes_since BIGINT NOT NULL,
    hours_since BIGINT NOT NULL,
    prediction_rows BIGINT NOT NULL,
    label_rows BIGINT NOT NULL,
    scrub_due BOOLEAN NOT NULL
);
INSERT INTO kept VALUES (0, 0, 0, 0, 0, FALSE);

CREATE TABLE forgetting_key (key BLOB NOT NULL);
CREATE TABLE forgotten (hash UBIGINT NOT NULL, until BIGINT NOT NULL);
