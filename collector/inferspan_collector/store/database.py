"""The DuckDB file: opened by one process, created or checked at start, closed with a checkpoint."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final, Self

import duckdb

FORMAT_VERSION: Final = 1
FILE_NAME: Final = "inferspan.duckdb"


class StoreError(RuntimeError):
    """The store cannot be used; the message names the file, the fault and the remedy."""


def sql(package: str, name: str) -> str:
    """Read an SQL file that lies beside the code which runs it."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


class Database:
    """One open file. `cursor()` gives each thread a connection of its own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, directory: Path, memory: str = "1GB") -> Self:
        """Open the store in a directory, or create it there.

        Args:
            directory: created where it is missing.
            memory: DuckDB's memory limit, `1GB`.

        Raises:
            StoreError: held by another process, damaged, of a newer format, or not writable.
        """
        path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            # DuckDB reads ahead of what it needs with more threads than this machine's writer
            # leaves free; two keep queries quick and ingest undisturbed.
            connection = duckdb.connect(str(path), config={"memory_limit": memory, "threads": 2})
        except OSError as error:
            raise StoreError(f"cannot use {directory} for data: {error.strerror}") from error
        except duckdb.Error as error:
            raise StoreError(_explain(path, error)) from error
        try:
            _prepare(connection, path)
        except duckdb.Error as error:
            connection.close()
            raise StoreError(_explain(path, error)) from error
        except StoreError:
            connection.close()
            raise
        return cls(connection)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same file, for one thread."""
        return self._connection.cursor()

    def close(self) -> None:
        """Write everything into the file and let go of it."""
        self._connection.close()


def _prepare(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE NOT internal"
    ).fetchall()
    if tables[0][0] == 0:
        connection.begin()
        connection.execute(sql("inferspan_collector.store", "schema.sql"))
        connection.commit()
        return
    try:
        found = connection.execute("SELECT version FROM format").fetchall()
    except duckdb.CatalogException as error:
        raise StoreError(
            f"{path} is a DuckDB file of something else; name another directory with --data"
        ) from error
    if found != [(FORMAT_VERSION,)]:
        version = found[0][0] if found else "unknown"
        raise StoreError(
            f"{path} has format {version}, this collector writes format {FORMAT_VERSION}; run the "
            "collector that wrote it, or name another directory with --data"
        )


def _explain(path: Path, error: duckdb.Error) -> str:
    text = str(error).strip().splitlines()[0]
    if "Could not set lock" in text:
        return (
            f"{path} is in use by another process ({text}); stop that collector, or name "
            "another directory with --data"
        )
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"cannot open {path}: {text}; raise store.memory"
    return f"cannot open {path}: {text}; restore a backup, or name another directory with --data"
