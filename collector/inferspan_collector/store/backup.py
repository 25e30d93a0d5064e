"""A copy of a running store: one committed state, in a file of its own that opens as any other."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from inferspan_collector.first_line import first_line
from inferspan_collector.store import durably
from inferspan_collector.store.database import FILE_NAME, Database, StoreError, connect, format_of

LET_GO_SECONDS: Final = 30.0
"""How long a finished copy is waited for: whatever transaction began meanwhile has it open."""
_AGAIN_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Backup:
    """A finished copy."""

    path: Path
    bytes: int
    predictions: int
    labels: int


def backup(database: Database, directory: Path, memory: str = "1GB") -> Backup:
    """Copy what is committed now into a directory; ingest goes on meanwhile.

    The copy has its name only once it is whole and on disk, so a file of that name is a backup.

    Args:
        database: the open store.
        directory: absolute; created where it is missing.
        memory: DuckDB's memory limit for the look at the finished copy.

    Raises:
        StoreError: the directory is unusable, has a store already, or the copy failed.
    """
    path = directory / FILE_NAME
    partial = directory / f"{FILE_NAME}.partial"
    if not directory.is_absolute():
        raise StoreError(
            f"{directory} is relative, and the collector's own directory is not yours; name an "
            "absolute path on the collector's machine"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            raise StoreError(f"{path} is there already; name an empty directory")
        # Of a copy that did not come to its end.
        for name in (partial, partial.with_name(f"{partial.name}.wal")):
            name.unlink(missing_ok=True)
        with database.cursor() as cursor:
            _copy(cursor, partial)
        found = _look(partial, memory)
        durably.publish(partial, path)
    except OSError as error:
        raise StoreError(f"cannot write in {directory} ({error.strerror or error})") from error
    except duckdb.Error as error:
        partial.unlink(missing_ok=True)
        raise StoreError(f"the copy to {directory} failed: {first_line(error)}") from error
    return Backup(path, path.stat().st_size, *found)


def _copy(cursor: duckdb.DuckDBPyConnection, target: Path) -> None:
    (name,) = cursor.execute("SELECT current_database()").fetchall()[0]
    quoted = str(target).replace("'", "''")
    # A transaction that has seen the one before may still go on, and takes no other of its name.
    copy = f"backup_{secrets.token_hex(8)}"
    cursor.execute(f"ATTACH '{quoted}' AS {copy}")
    try:
        # One statement, so one committed state of all tables and sequences.
        cursor.execute(f'COPY FROM DATABASE "{name}" TO {copy}')
    finally:
        cursor.execute(f"DETACH {copy}")


def _opened(path: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """The copy, once the transactions have ended that began while it was attached."""
    clock, until = threading.Event(), time.monotonic() + LET_GO_SECONDS
    while True:
        try:
            return connect(path, memory, read_only=True)
        except duckdb.ResourceInUseException:
            if time.monotonic() > until:
                raise
            clock.wait(_AGAIN_SECONDS)


def _look(path: Path, memory: str) -> tuple[int, int]:
    """Whether the copy opens; how many predictions and labels it has."""
    with _opened(path, memory) as connection:
        format_of(connection, path)
        counts = "SELECT (SELECT count(*) FROM predictions), (SELECT count(*) FROM labels)"
        predictions, labels = connection.execute(counts).fetchall()[0]
    return int(predictions), int(labels)
