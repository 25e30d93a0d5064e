"""Combinations of values that many rows share, by number: sets of labels, judgements.

What is remembered is bounded: beyond the limit all is forgotten, and a combination that comes again
gets another number. The tables may hold one twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb

REMEMBERED_MAX: Final = 50_000

Combination = tuple[Any, ...]


class Dictionary:
    """The combinations in one table, whose first column is the number."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, table: str) -> None:
        self._cursor = cursor
        self._table = table
        self.reload()

    def reload(self) -> None:
        """Remember what is on disk, and nothing else."""
        rows = self._cursor.execute(
            f"SELECT * FROM {self._table} ORDER BY 1 DESC LIMIT {REMEMBERED_MAX}"
        ).fetchall()
        self._numbers: dict[Combination, int] = {tuple(row): n for n, *row in reversed(rows)}
        self._next = rows[0][0] + 1 if rows else 1

    def number(self, combination: Combination) -> int:
        """The number of a combination; a new one is written in the open transaction."""
        return self.numbers([combination])[0]

    def numbers(self, combinations: Sequence[Combination]) -> list[int]:
        """The numbers of combinations; the new ones are written at once."""
        found: list[int] = []
        new: list[tuple[Any, ...]] = []
        for combination in combinations:
            number = self._numbers.get(combination)
            if number is None:
                if len(self._numbers) >= REMEMBERED_MAX:
                    self._numbers.clear()
                number = self._numbers[combination] = self._next
                new.append((number, *combination))
                self._next += 1
            found.append(number)
        if new:
            columns = [list(column) for column in zip(*new, strict=True)]
            chosen = ", ".join(["unnest(?)"] * len(columns))
            self._cursor.execute(f"INSERT INTO {self._table} SELECT {chosen}", columns)
        return found
