"""A store that no collector has open: is all of it readable, and what can be saved of it?

`check` changes nothing. `repair` keeps what it cuts or replaces: a log's tail beside the log, a
damaged file as `….before-repair`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from inferspan_collector.first_line import first_line
from inferspan_collector.journal import repair as journal_repair
from inferspan_collector.journal.packing import UnknownColumns
from inferspan_collector.store import durably
from inferspan_collector.store.database import (
    FILE_NAME,
    ROW_GROUP_ROWS,
    StoreError,
    connect,
    format_of,
    sql,
)
from inferspan_collector.store.keys import Secret
from inferspan_collector.store.lock import DirectoryInUse, DirectoryLock
from inferspan_collector.store.mending import Cut, logs_of, mend_logs
from inferspan_collector.store.migrations import FORMAT_VERSION
from inferspan_collector.store.write_ahead import Log


@dataclass(frozen=True, slots=True)
class Table:
    """One table as it could be read."""

    name: str
    rows: int
    unreadable: int
    fault: str | None
    """The first fault, in DuckDB's words."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What was found in a data directory."""

    path: Path
    version: int
    logs: dict[Path, Log]
    tables: tuple[Table, ...]
    """Empty where a log must be cut first, or the file cannot be opened."""
    fault: str | None
    """Why the file cannot be opened at all."""
    journal: tuple[journal_repair.File, ...] = ()
    """What is acknowledged and not in the file's tables, or was taken over a moment ago."""
    set_aside: tuple[journal_repair.SetAside, ...] = ()
    """What was acknowledged and the store could not take."""

    @property
    def sound(self) -> bool:
        """Whether a collector can start with it and loses nothing."""
        return (
            self.fault is None
            and not any(log.state == "broken" for log in self.logs.values())
            and not any(table.unreadable for table in self.tables)
            and not any(file.fault for file in self.journal)
        )


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did."""

    cuts: tuple[Cut, ...]
    before: Path | None
    """The damaged file, where it had to be written anew."""
    tables: tuple[Table, ...]
    journal: int | None = None
    """Records of a damaged journal that could be read; None where nothing of it was damaged."""


def check(directory: Path, memory: str = "1GB") -> Condition:
    """Read every byte of a store.

    Raises:
        StoreError: there is none, a collector has it open, or it is not ours.
    """
    path = directory / FILE_NAME
    with _held(directory):
        logs, journal = logs_of(path), tuple(journal_repair.inspect(directory))
        aside = tuple(journal_repair.set_aside(directory))
        if any(log.state in ("torn", "broken") for log in logs.values()):
            return Condition(path, 0, logs, (), None, journal, aside)
        try:
            with connect(path, memory, read_only=True) as connection:
                version = format_of(connection, path)
                names = _table_names(connection)
            tables = tuple(_read(path, memory, name) for name in names)
        except duckdb.Error as error:
            return Condition(path, 0, logs, (), first_line(error), journal, aside)
    return Condition(path, version, logs, tables, None, journal, aside)


def repair(directory: Path, memory: str = "1GB") -> Repaired:
    """Make a store readable again, at the price of what is damaged.

    Raises:
        StoreError: as `check`, or nothing can be read.
    """
    path = directory / FILE_NAME
    with _held(directory):
        cuts = tuple(mend_logs(path, even_broken=True))
        try:
            with connect(path, memory) as connection:
                version = format_of(connection, path)
                names = _table_names(connection)
                store = Secret.of(connection).name() if "id_secret" in names else ""
            tables = tuple(_read(path, memory, name) for name in names)
        except duckdb.Error as error:
            raise StoreError(
                f"nothing can be read of {path} ({first_line(error)}); restore a backup"
            ) from error
        gathered = _gathered(directory, store)
        if not any(table.unreadable for table in tables):
            return Repaired(cuts, None, tables, gathered)
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path} is damaged and of format {version}; repair it with the collector that "
                "wrote it"
            )
        return Repaired(cuts, _write_anew(path, memory, names), tables, gathered)


def _gathered(directory: Path, store: str) -> int | None:
    """Save what can be read of a damaged journal; None where nothing of it is damaged."""
    if not any(file.fault for file in journal_repair.inspect(directory)):
        return None
    try:
        return journal_repair.gather(directory, store)
    except UnknownColumns as error:
        raise StoreError(
            f"a newer collector wrote the journal in {directory} ({error}); repair it with that one"
        ) from error


@contextlib.contextmanager
def _held(directory: Path) -> Iterator[None]:
    if not (directory / FILE_NAME).exists():
        raise StoreError(f"there is no {FILE_NAME} in {directory}; name its directory with --data")
    try:
        lock = DirectoryLock.take(directory)
    except DirectoryInUse as error:
        raise StoreError(
            f"a collector has {directory} open (PID {error.holder or 'unknown'}); stop it first"
        ) from error
    except OSError as error:
        raise StoreError(f"cannot write in {directory} ({error.strerror})") from error
    try:
        yield
    finally:
        lock.release()


def _table_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    query = "SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY table_name"
    return [name for (name,) in connection.execute(query).fetchall()]


def _read(path: Path, memory: str, table: str) -> Table:
    """Read a table, piece by piece: a fault closes DuckDB, so each piece has its own connection."""
    with connect(path, memory, read_only=True) as connection:
        rows = _rows(connection, table)
        last = connection.execute(f"SELECT coalesce(max(rowid), -1) FROM {table}").fetchall()[0][0]
        try:
            connection.execute(f"SELECT count(hash(t)) FROM {table} AS t").fetchall()
            return Table(table, rows, 0, None)
        except duckdb.Error as error:
            fault = first_line(error)
    readable = 0
    for condition in _pieces(last):
        with contextlib.suppress(duckdb.Error), connect(path, memory, read_only=True) as connection:
            query = f"SELECT count(hash(t)) FROM {table} AS t WHERE {condition}"
            readable += connection.execute(query).fetchall()[0][0]
    return Table(table, rows, rows - readable, fault)


def _write_anew(path: Path, memory: str, names: list[str]) -> Path:
    """Write what can be read into a new file, which takes the old one's place."""
    anew, before = (path.with_name(f"{path.name}.{end}") for end in ("repaired", "before-repair"))
    anew.unlink(missing_ok=True)
    with connect(anew, memory) as connection:
        connection.execute(sql("inferspan_collector.store", "schema.sql"))
        for table in names:
            connection.execute(f"DELETE FROM {table}")
    for table in names:
        with connect(path, memory, read_only=True) as connection:
            last = connection.execute(f"SELECT coalesce(max(rowid), -1) FROM {table}").fetchall()
        for condition in _pieces(last[0][0]):
            with contextlib.suppress(duckdb.Error), connect(anew, memory) as connection:
                connection.execute(f"ATTACH '{_quoted(path)}' AS damaged (READ_ONLY)")
                connection.execute(
                    f"INSERT INTO {table} SELECT * FROM damaged.{table} WHERE {condition}"
                )
    durably.sync_file(anew)
    os.replace(path, before)
    durably.publish(anew, path)
    return before


def _pieces(last: int) -> Iterator[str]:
    for start in range(0, last + 1, ROW_GROUP_ROWS):
        yield f"rowid >= {start} AND rowid < {start + ROW_GROUP_ROWS}"


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
