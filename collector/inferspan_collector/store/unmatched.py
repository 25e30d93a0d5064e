"""Labels that have met no prediction for a while: reported once, and they go on waiting."""

from __future__ import annotations

from typing import Final

import duckdb

from inferspan_collector.store.cells import MINUTE_NS

UNMATCHED: Final = "unmatched"
AFTER_NS: Final = 10 * MINUTE_NS
"""How long a label waits before it is reported."""


class Unmatched:
    """Counts each waiting label once, when it has waited long enough. It reads no clock."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._seen_ns: int | None = None

    def due(self, now_ns: int) -> bool:
        """Whether a look may find something: once a minute."""
        return self._seen_ns is None or not self._seen_ns <= now_ns < self._seen_ns + MINUTE_NS

    def count(self, now_ns: int) -> int:
        """How many labels have waited long enough since the last look.

        Counters count since the start of the process, so the first look counts nothing.
        """
        seen, self._seen_ns = self._seen_ns, now_ns
        if seen is None:
            return 0
        query = "SELECT count(*) FROM waiting_labels WHERE received > ? AND received <= ?"
        bounds = [seen - AFTER_NS, now_ns - AFTER_NS]
        return int(self._cursor.execute(query, bounds).fetchall()[0][0])
