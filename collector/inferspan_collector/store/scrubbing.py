"""Overwrite what the file no longer needs, so that what was forgotten is not left in free blocks.

DuckDB gives a block free and leaves its bytes as they are. So random numbers are written until no
block is free, and dropped again: in pieces, each a small step of the writer's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import duckdb

STEP_BYTES: Final = 16 * 1024 * 1024
_FREE: Final = """
SELECT free_blocks, block_size FROM pragma_database_size()
WHERE database_name = current_database()
"""
# Not to be compressed, so that so many bytes take so much room.
_WRITE: Final = """
INSERT INTO scrubbing
SELECT hash(r.i, $seed), hash(r.i + 1, $seed), hash(r.i + 2, $seed), hash(r.i + 3, $seed)
FROM range($rows) AS r(i)
"""


def due(cursor: duckdb.DuckDBPyConnection) -> bool:
    """Whether something was forgotten since the last scrubbing."""
    return bool(cursor.execute("SELECT scrub_due FROM kept").fetchall()[0][0])


def scrub(cursor: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """Overwrite the free blocks, a piece at each step; yields the bytes written.

    Raises:
        duckdb.Error: it is still due, and begins anew the next time.
    """
    # What was forgotten leaves its blocks with this.
    cursor.execute("CHECKPOINT")
    cursor.execute("CREATE OR REPLACE TABLE scrubbing (a UBIGINT, b UBIGINT, c UBIGINT, d UBIGINT)")
    yield 0
    free, block = cursor.execute(_FREE).fetchall()[0]
    # As much as was free at first: what becomes free meanwhile was not forgotten.
    left = (free + 1) * block
    while left > 0:
        size = min(left, STEP_BYTES)
        cursor.execute(_WRITE, {"seed": left, "rows": size // 32 + 1})
        cursor.execute("CHECKPOINT")
        left -= size
        yield size
    cursor.execute("DROP TABLE scrubbing")
    cursor.execute("UPDATE kept SET scrub_due = FALSE")
    cursor.execute("CHECKPOINT")
    yield 0
