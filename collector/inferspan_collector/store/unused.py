"""Combinations that no row has any more: senders of ever-changing names must not leave them behind.

They cost no figure and no question, but would stay for ever, whatever the ages and the size say.
"""

from __future__ import annotations

from typing import Final

import duckdb

from inferspan_collector.store.dictionary import Dictionary

LEFT_ALONE: Final = 1_000
"""Combinations in a table that are not worth a look at all of the rows that have them."""
_HAVE_THEM: Final = {
    "feature_sets": "feature_blocks",
    "label_sets": "labels",
    "judgements": "outcomes",
}
"""Table of combinations → table of the rows that have them, by the same name of the number."""


def drop(cursor: duckdb.DuckDBPyConnection, dictionary: Dictionary, most: int) -> int:
    """Erase combinations that no row has, in the open transaction; how many left, `most` at most.

    What is remembered of the table is forgotten with them: one of them may come again.
    """
    table, number = dictionary.table, dictionary.key
    if cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] <= LEFT_ALONE:
        return 0
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE unused AS SELECT {number} FROM {table}"
        f" ANTI JOIN {_HAVE_THEM[table]} USING ({number}) LIMIT {most}"
    )
    rows = int(cursor.execute("SELECT count(*) FROM unused").fetchall()[0][0])
    if rows:
        # Before they leave: nothing may be given a number that stands for nothing.
        dictionary.forget()
        cursor.execute(f"DELETE FROM {table} WHERE {number} IN (FROM unused)")
    return rows
