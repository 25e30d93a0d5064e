"""The DuckDB file: one process opens it, mends and migrates it, and closes it whole."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final, Self

import duckdb

from inferspan_collector.first_line import first_line
from inferspan_collector.store import durably, migrations
from inferspan_collector.store.lock import DirectoryInUse, DirectoryLock
from inferspan_collector.store.mending import BrokenLog, Cut, mend_logs
from inferspan_collector.store.migrations import FORMAT_VERSION

FILE_NAME: Final = "inferspan.duckdb"
ROW_GROUP_ROWS: Final = 30_720
"""Each checkpoint writes the last row group of a table anew: a quarter of DuckDB's usual size costs
a third less CPU and stalls half as long (decision 0014)."""
_SETTINGS: Final[dict[str, str | int]] = {
    # Of statements as small as ours a second thread doubles the CPU time.
    "threads": 1,
    # How long a checkpoint stalls grows with it; how much all of them cost shrinks.
    "checkpoint_threshold": "64MiB",
}
_ATTACHED: Final = "store"
_HEADER_BYTES: Final = 64
"""As much of a log as tells it from the one before: its header numbers the checkpoints."""

_logger = logging.getLogger(__name__)


class StoreError(RuntimeError):
    """The store cannot be used; the message names the file, the fault and the remedy."""


def sql(package: str, name: str) -> str:
    """Read an SQL file that lies beside the code which runs it."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


class Database:
    """One open file. `cursor()` gives each thread a connection of its own.

    `cuts` says which logs had a torn tail that was cut off when this was opened.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        path: Path,
        lock: DirectoryLock,
        cuts: Sequence[Cut] = (),
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._log = path.with_name(f"{path.name}.wal")
        self._log_header = b""
        self._inode = path.stat().st_ino
        self.path = path
        self.cuts = tuple(cuts)

    @classmethod
    def open(cls, directory: Path, memory: str = "1GB") -> Self:
        """Open the store in a directory, or create it there.

        A log with a torn tail is cut behind its last whole transaction. A file of an older
        format is copied to `….before-vN` and taken to the newest one.

        Args:
            directory: created where it is missing.
            memory: DuckDB's memory limit, `1GB`.

        Raises:
            StoreError: held by another process, damaged, of a newer format, or not writable.
        """
        path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = DirectoryLock.take(directory)
        except DirectoryInUse as error:
            raise StoreError(
                f"{path} is in use by another process (PID {error.holder or 'unknown'}); stop that "
                "collector, or name another directory with --data"
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot write in {directory} ({error.strerror}); make it writable for this user, "
                "or name another directory with --data"
            ) from error
        try:
            return cls._open(path, memory, lock)
        except BaseException as error:
            lock.release()
            explained = _explained(path, error)
            if explained is None:
                raise
            raise StoreError(explained) from error

    @classmethod
    def _open(cls, path: Path, memory: str, lock: DirectoryLock) -> Self:
        cuts = mend_logs(path)
        connection = _prepared(path, memory)
        durably.sync_directory(path.parent)
        return cls(connection, path, lock, cuts)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same file, for one thread."""
        cursor = self._connection.cursor()
        cursor.execute(f"USE {_ATTACHED}")
        return cursor

    def settle(self) -> None:
        """Put the log's name on disk if it is a new one; called after a commit.

        After each checkpoint DuckDB begins a new log. It puts the log's bytes on disk, and not the
        directory that says where they are.

        Raises:
            durably.Gone: the file has no name any more, or another one has it.
            OSError: nobody may be told that the commit is on disk.
        """
        try:
            named = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            named = False
        if not named:
            raise durably.Gone(self.path)
        try:
            with self._log.open("rb") as log:
                header = log.read(_HEADER_BYTES)
        except FileNotFoundError:
            return
        if header != self._log_header:
            durably.sync_directory(self.path.parent)
            self._log_header = header

    def close(self) -> None:
        """Write everything into the file and let go of it. Idempotent."""
        self._connection.close()
        self._lock.release()


def connect(path: Path, memory: str, *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """Open the file as it is.

    Raises:
        duckdb.Error: it cannot be opened.
    """
    # What does not fit into memory goes beside the file, not into the directory we were started in.
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "temp_directory": f"{path}.tmp",
        **_SETTINGS,
    }
    connection = duckdb.connect(config=settings)
    quoted = str(path).replace("'", "''")
    options = f"ROW_GROUP_SIZE {ROW_GROUP_ROWS}{', READ_ONLY' if read_only else ''}"
    try:
        # The size of row groups is an option of ATTACH alone.
        connection.execute(f"ATTACH '{quoted}' AS {_ATTACHED} ({options})")
        connection.execute(f"USE {_ATTACHED}")
    except BaseException:
        connection.close()
        raise
    return connection


def format_of(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """The version of an open file's format; 0 where the file is new.

    Raises:
        StoreError: it is not a file of ours, or of a newer version.
    """
    tables = "SELECT count(*) FROM duckdb_tables() WHERE NOT internal"
    if connection.execute(tables).fetchall() == [(0,)]:
        return 0
    try:
        found = connection.execute("SELECT version FROM format").fetchall()
    except duckdb.CatalogException as error:
        raise StoreError(
            f"{path} is a DuckDB file of something else; name another directory with --data"
        ) from error
    version = found[0][0] if len(found) == 1 else None
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {'unknown' if version is None else version}, this collector writes "
            f"format {FORMAT_VERSION}; run the collector that wrote it, or name another directory "
            "with --data"
        )
    return version


def _prepared(path: Path, memory: str) -> duckdb.DuckDBPyConnection:
    connection = connect(path, memory)
    try:
        found = format_of(connection, path)
        if found == 0:
            connection.begin()
            connection.execute(sql("inferspan_collector.store", "schema.sql"))
            connection.commit()
        elif found < FORMAT_VERSION:
            # Closed for the copy, so that all there is lies in the one file.
            connection.close()
            before = _keep_a_copy(path)
            connection = connect(path, memory)
            migrations.migrate(connection, found)
            _logger.info(
                "%s was of format %d and is of format %d now; as it was, it is kept in %s",
                path,
                found,
                FORMAT_VERSION,
                before,
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _keep_a_copy(path: Path) -> Path:
    before = path.with_name(f"{path.name}.before-v{FORMAT_VERSION}")
    needed, free = path.stat().st_size, shutil.disk_usage(path.parent).free
    if needed > free:
        raise StoreError(
            f"{path} is to be taken to format {FORMAT_VERSION}, and there is no room for the copy "
            f"that is kept of it as it is: {needed} bytes are needed, {free} are free; make room"
        )
    durably.copy(path, before)
    return before


def _explained(path: Path, error: BaseException) -> str | None:
    """What an error in opening means to the user; None where it is said already, or is ours."""
    data = path.parent
    if isinstance(error, BrokenLog):
        return (
            f"{error}; see `inferspan store check --data {data}`, then restore a backup, or give "
            f"them up with `inferspan store repair --data {data}`"
        )
    if isinstance(error, OSError):
        return f"cannot use {path}: {error.strerror or error}"
    if not isinstance(error, duckdb.Error):
        return None
    text = first_line(error)
    if "Could not set lock" in text:
        return (
            f"{path} is in use by another process ({text}); stop that program, or name "
            "another directory with --data"
        )
    if any(sign in text for sign in ("No space left", "File too large", "disk full")):
        return f"cannot write {path}: {text}; make room on that disk, and start again"
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"cannot open {path}: {text}; raise store.memory"
    return (
        f"cannot open {path}: {text}; see `inferspan store check --data {data}`, restore a "
        "backup, or name another directory with --data"
    )
