"""How large the store is: its files, the room beside them, and its rows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb

from inferspan_collector.journal.journal import DIRECTORY as JOURNAL
from inferspan_collector.store import clock_jumps

TABLES: Final = (
    "predictions",
    "labels",
    "waiting_labels",
    "outcomes",
    "item_outcomes",
    "named_predictions",
    "named_labels",
    "prediction_cells",
    "outcome_cells",
    "stage_cells",
    "stage_runs",
    "waiting_stages",
    "outbox",
)
"""Tables that grow with what comes, by the names that `/metrics` shows."""
_ROWS: Final = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in TABLES)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes and rows of one moment."""

    bytes: Mapping[str, int]
    """`file`: the database; `log`: what was committed since its last checkpoint; `journal`: what
    was acknowledged, until it is there; `other`: whatever else lies in the directory, copies of
    older formats and what DuckDB spills among it."""
    disk_free: int
    """Bytes that this process may still write there."""
    rows: Mapping[str, int]
    """By table."""
    held_until: int
    """As `clock_jumps.held_until`."""


def measure(cursor: duckdb.DuckDBPyConnection, path: Path) -> Sizes:
    """Look at the database `path` and its directory; a millisecond, for rows are not counted one
    by one.

    Raises:
        OSError: the directory cannot be read.
        duckdb.Error: the store cannot.
    """
    log = f"{path.name}.wal"
    found = {"file": 0, "log": 0, "journal": 0, "other": 0}
    for directory, _, names in os.walk(path.parent):
        for name in names:
            part = {path.name: "file", log: "log"}.get(name, "other")
            part = "journal" if Path(directory).name == JOURNAL else part
            try:
                found[part] += (Path(directory) / name).stat().st_size
            except FileNotFoundError:
                continue  # a log that a checkpoint has just removed
    room = os.statvfs(path.parent)
    rows = dict(cursor.execute(_ROWS).fetchall())
    until = clock_jumps.held_until(cursor)
    return Sizes(found, room.f_bavail * room.f_frsize, rows, until)
