"""Connections to the store for those who ask: one a question, or one for a whole answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import duckdb


class Cursors(Protocol):
    """Gives connections to the store, one for each question."""

    @property
    def path(self) -> Path:
        """Of the store's file."""

    def cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection of its own, for one thread."""


class OneMoment:
    """Gives the same connection each time, in one transaction."""

    def __init__(self, path: Path, cursor: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._cursor = cursor

    def cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """The one."""
        return nullcontext(self._cursor)


@contextmanager
def one_state(cursors: Cursors) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose statements all see one committed state."""
    with cursors.cursor() as cursor:
        if isinstance(cursors, OneMoment):
            yield cursor
            return
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            yield cursor
        finally:
            cursor.execute("ROLLBACK")
