"""Connections to the store for those who ask: one a question, or one for a whole answer; and what
ends a transaction of those who change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
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


@contextmanager
def transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A transaction that is on disk when the block has ended, or of which nothing is left."""
    cursor.begin()
    try:
        yield
        cursor.commit()
    except BaseException:
        # Left open, it would keep every other out. A COMMIT that failed has ended it already.
        with suppress(duckdb.TransactionException):
            cursor.rollback()
        raise
