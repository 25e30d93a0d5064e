-- Numbers and texts of features as rows of bytes, a third to a half as long. `feature_rows` fills the
-- new blocks from the old ones and drops those.

ALTER TABLE feature_blocks RENAME TO wide_feature_blocks;

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
INSERT INTO feature_sets
SELECT row_number() OVER (ORDER BY first_row), model, names, category_names
FROM (
    SELECT model, names, category_names, min(first_row) AS first_row
    FROM wide_feature_blocks
    GROUP BY ALL
);
