"""The rest of the step to format 7: features of old blocks, written as rows."""

from __future__ import annotations

from typing import Final

import duckdb
import numpy as np

from inferspan_collector.batches import Texts, object_column
from inferspan_collector.decode import feature_rows
from inferspan_collector.store import staging

_BLOCKS: Final = 10_000
"""Blocks of one step: some 40 MB in memory."""
_OLD: Final = """
SELECT b.first_row, b.last_row, b.first_time, b.last_time, s.set_id, b.rows,
    b.numbers, b.text_ends, b.texts
FROM wide_feature_blocks AS b
JOIN feature_sets AS s ON s.model = b.model AND s.names IS NOT DISTINCT FROM b.names
    AND s.category_names IS NOT DISTINCT FROM b.category_names
WHERE b.rowid >= ? AND b.rowid < ?
ORDER BY b.rowid
"""
_COLUMNS: Final = ("first_row", "last_row", "first_time", "last_time", "set_id", "rows")


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Move all blocks, inside the open transaction."""
    query = "SELECT coalesce(max(rowid), -1) FROM wide_feature_blocks"
    last = connection.execute(query).fetchall()[0][0]
    for start in range(0, last + 1, _BLOCKS):
        blocks = connection.execute(_OLD, [start, start + _BLOCKS]).fetchall()
        if not blocks:
            continue
        *columns, numbers, text_ends, texts = zip(*blocks, strict=True)
        written = dict(zip(_COLUMNS, columns, strict=True))
        features = map(_rows, *columns[:2], columns[5], numbers, text_ends, texts)
        staging.insert(
            connection,
            "feature_blocks",
            {name: np.array(column, np.int64) for name, column in written.items() if name != "rows"}
            | {"rows": object_column(columns[5]), "features": object_column(features)},
        )
    connection.execute("DROP TABLE wide_feature_blocks")


def _rows(
    first: int, last: int, rows: bytes, numbers: bytes, text_ends: bytes, texts: bytes
) -> bytes:
    """The rows of one block."""
    count = len(rows) // 8 or last - first + 1
    every = np.frombuffer(numbers, np.uint8)
    values = Texts(every, np.arange(count + 1) * (len(every) // count))
    ends = np.frombuffer(text_ends, "<i8") if text_ends else np.zeros(count, np.int64)
    categories = Texts(np.frombuffer(texts, np.uint8), np.append(0, ends))
    return feature_rows.written(values, categories).data.tobytes()
