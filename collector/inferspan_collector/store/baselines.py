"""Baselines in the store: written by the writer between two transactions, read by questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

PER_MODEL_MAX: Final = 20
"""Baselines of one model; the oldest leaves for a new one."""
ALL_MAX: Final = 1_000
"""Baselines of all models; one more is refused."""


@dataclass(frozen=True, slots=True)
class Head:
    """A baseline without its content."""

    number: int
    model: str
    version: str | None
    target: str
    received: int


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a new one."""

    number: int
    left: tuple[int, ...]
    """Older ones that left for it."""


def add(
    cursor: duckdb.DuckDBPyConnection,
    model: str,
    version: str | None,
    target: str,
    received: int,
    document: str,
) -> Added | None:
    """Add one, inside the open transaction; None where there are `ALL_MAX` already."""
    ((n,),) = cursor.execute("SELECT count(*) FROM baselines").fetchall()
    mine = [head.number for head in heads(cursor, model)]
    left = tuple(sorted(mine)[: max(0, len(mine) + 1 - PER_MODEL_MAX)])
    if n - len(left) >= ALL_MAX:
        return None
    remove(cursor, model, left)
    ((number,),) = cursor.execute(
        "UPDATE baseline_numbers SET last = last + 1 RETURNING last"
    ).fetchall()
    cursor.execute(
        "INSERT INTO baselines VALUES (?, ?, ?, ?, ?, ?)",
        [number, model, version, target, received, document],
    )
    return Added(number, left)


def remove(cursor: duckdb.DuckDBPyConnection, model: str, numbers: tuple[int, ...]) -> int:
    """Remove some of a model's, inside the open transaction; how many there were."""
    if not numbers:
        return 0
    found = cursor.execute(
        "DELETE FROM baselines WHERE model = ? AND list_contains(?, number) RETURNING number",
        [model, list(numbers)],
    ).fetchall()
    return len(found)


def heads(cursor: duckdb.DuckDBPyConnection, model: str) -> list[Head]:
    """Those of a model, the newest first."""
    rows = cursor.execute(
        "SELECT number, model, version, target, received FROM baselines"
        " WHERE model = ? ORDER BY number DESC",
        [model],
    ).fetchall()
    return [Head(*row) for row in rows]


def document(cursor: duckdb.DuckDBPyConnection, number: int) -> str | None:
    """The content of one; None where there is none."""
    rows = cursor.execute("SELECT document FROM baselines WHERE number = ?", [number]).fetchall()
    return str(rows[0][0]) if rows else None
