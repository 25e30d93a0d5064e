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
from inferspan_collector.store.matching import matching, windows_of

_JOIN = sql("inferspan_collector", "join.sql")

# A label joined when it is somebody's winner (a tombstone that wins has its effect, too), is
# superseded when it only lost, is late when all it is about was received too long before or after,
# and waits when it has not met its prediction.
_LABEL_RESULTS = """
SELECT
    CASE
        WHEN n.row_id IS NULL THEN 'duplicate'
        WHEN n.row_id IN (SELECT label_row FROM winners) THEN 'joined'
        WHEN n.row_id IN (SELECT label_row FROM matches) THEN 'superseded'
        WHEN n.row_id IN (SELECT label_row FROM late) THEN 'late'
        ELSE 'waiting'
    END AS result
FROM staged_labels AS s
LEFT JOIN new_labels AS n ON n.row_id = s.row_id
ORDER BY s.row_id
"""


def prepare(cursor: duckdb.DuckDBPyConnection, config: Config) -> str:
    """Give the writer's connection what the join asks of the configuration.

    Returns:
        The statements of the join, for `join_delta`.
    """
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
    windows = windows_of(config)
    return _JOIN.format(
        match_new_labels=matching("new_labels", "predictions", windows),
        match_touched_predictions=matching("labels", "touched_predictions", windows),
    )


def join_delta(cursor: duckdb.DuckDBPyConnection, statements: str) -> None:
    """Join what `append.sql` found new, inside the open transaction.

    Makes the TEMP tables `removed` and `added`: what the counters must take back and take in.
    """
    cursor.execute(statements)


def labels_met(cursor: duckdb.DuckDBPyConnection) -> int:
    """How many labels that had waited have met their prediction in this transaction."""
    return int(cursor.execute("SELECT count(*) FROM met").fetchall()[0][0])


def label_results(cursor: duckdb.DuckDBPyConnection) -> list[str]:
    """Of each staged label, in order: joined, superseded, late, waiting or duplicate."""
    return [row[0] for row in cursor.execute(_LABEL_RESULTS).fetchall()]
