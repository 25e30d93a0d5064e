"""The Δ-join: new labels ⋈ stored predictions, new predictions ⋈ stored labels.

`join.sql` holds the statements; they are the definition of the join, close enough to standard
SQL that another engine can run them. One winner per (prediction, target): the greatest (rank of
its source, revision, time, label id). Deletions are tombstones in that same order. Two records
that claim the same label id and revision are told apart by their content. What the winner
replaces is taken back. The result is a function of the set of records, never of their order of
arrival.
"""

from __future__ import annotations

import duckdb

from inferspan_collector.config import Config
from inferspan_collector.store.database import sql
from inferspan_collector.store.matching import matching

_JOIN = sql("inferspan_collector", "join.sql").format(
    match_new_labels=matching("new_labels", "predictions"),
    match_touched_predictions=matching("labels", "touched_predictions"),
)

# A label joined when it is somebody's winner (a tombstone that wins has its effect, too), is
# superseded when it only lost, and waits when it has not met its prediction.
_LABEL_RESULTS = """
SELECT
    CASE
        WHEN n.row_id IS NULL THEN 'duplicate'
        WHEN n.row_id IN (SELECT label_row FROM winners) THEN 'joined'
        WHEN n.row_id IN (SELECT label_row FROM matches) THEN 'superseded'
        ELSE 'waiting'
    END AS result
FROM staged_labels AS s
LEFT JOIN new_labels AS n ON n.row_id = s.row_id
ORDER BY s.row_id
"""


def prepare(cursor: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Give the writer's connection what the join asks of the configuration."""
    models = config.models.items()
    ranks = [
        (name, target, source, rank)
        for name, model in models
        for target, section in model.targets.items()
        for rank, source in enumerate(section.sources)
    ]
    tolerances = [(name, model.tolerance) for name, model in models if model.tolerance is not None]
    for table, columns, rows in (
        ("source_ranks", "model VARCHAR, target VARCHAR, source VARCHAR, rank INTEGER", ranks),
        ("tolerances", "model VARCHAR, tolerance DOUBLE", tolerances),
    ):
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE {table} ({columns})")
        if rows:
            places = ", ".join("?" * len(rows[0]))
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def join_delta(cursor: duckdb.DuckDBPyConnection) -> None:
    """Join what `append.sql` found new, inside the open transaction.

    Makes the TEMP tables `removed` and `added`: what the counters must take back and take in.
    """
    cursor.execute(_JOIN)


def labels_met(cursor: duckdb.DuckDBPyConnection) -> int:
    """How many labels that had waited have met their prediction in this transaction."""
    return int(cursor.execute("SELECT count(*) FROM met").fetchall()[0][0])


def label_results(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """What became of each staged label, in order: joined, superseded, waiting or duplicate."""
    return [row[0] for row in cursor.execute(_LABEL_RESULTS).fetchall()]
