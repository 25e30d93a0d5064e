"""How many rows one request may become: a few bytes may claim any number of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from inferspan import semconv
from inferspan_collector.decode.attributes import RefusedRecord

ROWS_MAX: Final = semconv.REQUEST_ROWS_MAX
"""Rows of one request, however large."""
ROWS_FREE: Final = 10_000
"""Rows that a request of any size may hold. A span of a few bytes may claim any number of them, but
what has neither outputs nor ids holds nothing that a label could judge."""
ROW_BYTES_MIN: Final = 4
"""Bytes of a request that stand for one row more: the shortest output of a span takes more."""
RECORD_ROW_BYTES_MIN: Final = 1
"""The same in a slim record, where a row of a batch call may be the one byte of its class."""


def rows_max(size_bytes: int) -> int:
    """Rows of spans that a request of so many bytes, decompressed, may hold."""
    return RowLimit(size_bytes).room(ROW_BYTES_MIN)


class RowLimit:
    """The rows of one request so far, in spans and slim records together.

    Args:
        size_bytes: of the request, decompressed.
        reserve: told how many more rows are about to be made, before they take memory; what it
            raises passes through.
    """

    def __init__(self, size_bytes: int, reserve: Callable[[int], None] = lambda rows: None) -> None:
        self._size_bytes = size_bytes
        self._bytes_left = ROWS_FREE * ROW_BYTES_MIN + size_bytes
        self._rows = 0
        self._reserve = reserve

    def room(self, row_bytes: int) -> int:
        """How many more rows may come, each standing for so many bytes."""
        return min(ROWS_MAX - self._rows, self._bytes_left // row_bytes)

    def take(self, count: int, row_bytes: int = ROW_BYTES_MIN) -> None:
        """Announce `count` rows more.

        Raises:
            RefusedRecord: the request is too small for them, or holds `ROWS_MAX` rows.
        """
        if count > self.room(row_bytes):
            raise RefusedRecord(
                "too_many_rows",
                f"{count} rows, and {self._rows} before them: a request of {self._size_bytes} "
                f"bytes may hold {self._rows + self.room(row_bytes)}; send smaller batches",
            )
        self._reserve(count)
        self._rows += count
        self._bytes_left -= count * row_bytes

    def admit(self, records: int) -> int:
        """Of so many records of one row each, which were announced already: how many may come."""
        admitted = min(records, max(0, self.room(ROW_BYTES_MIN)))
        self._rows += admitted
        self._bytes_left -= admitted * ROW_BYTES_MIN
        return admitted
