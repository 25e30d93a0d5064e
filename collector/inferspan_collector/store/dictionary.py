"""Combinations of values that many rows share, by number: sets of labels, judgements.

What is remembered is bounded: beyond the limit all is forgotten, and a combination that comes again
gets another number. The tables may hold one twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb

REMEMBERED_MAX: Final = 50_000
CHARACTERS_MAX: Final = 16_000_000
"""Of the texts of all that is remembered: those of one may be a hundred thousand."""
_AT_ONCE: Final = 1_024
"""Numbers whose combinations are read at once; DuckDB holds all of their texts then."""

Combination = tuple[Any, ...]


class Dictionary:
    """The combinations in one table, whose first column is the number."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, table: str) -> None:
        self._cursor = cursor
        self.table = table
        # Its first column.
        self.key = str(cursor.execute(f"FROM {table} LIMIT 0").description[0][0])
        self.reload()

    def reload(self) -> None:
        """Remember of what is on disk the newest, as far as the limits go, and nothing else."""
        self.forget()
        self._next = (self._newest(2**31 - 1) or 0) + 1
        end = self._next - 1
        for _ in range(0, REMEMBERED_MAX, _AT_ONCE):
            newest = self._newest(end)
            if newest is None or self._characters >= CHARACTERS_MAX:
                return
            end = newest - _AT_ONCE
            try:
                rows = self._cursor.execute(
                    f"FROM {self.table} WHERE {self.key} > ? AND {self.key} <= ? ORDER BY 1 DESC",
                    [end, newest],
                ).fetchall()
            except duckdb.OutOfMemoryException:
                # Of a file that holds longer texts than are taken now: it need not be remembered.
                return
            for number, *combination in rows:
                self._numbers.setdefault(tuple(combination), number)
                self._characters += _characters(combination)

    def forget(self) -> None:
        """Remember nothing: every combination that comes gets another number."""
        self._numbers: dict[Combination, int] = {}
        self._characters = 0

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
                if len(self._numbers) >= REMEMBERED_MAX or self._characters >= CHARACTERS_MAX:
                    self.forget()
                number = self._numbers[combination] = self._next
                self._characters += _characters(combination)
                new.append((number, *combination))
                self._next += 1
            found.append(number)
        if new:
            columns = [list(column) for column in zip(*new, strict=True)]
            chosen = ", ".join(["unnest(?)"] * len(columns))
            self._cursor.execute(f"INSERT INTO {self.table} SELECT {chosen}", columns)
        return found

    def _newest(self, most: int) -> int | None:
        """The greatest number up to one; None where there is none."""
        greatest = f"SELECT max({self.key}) FROM {self.table} WHERE {self.key} <= ?"
        number: int | None = self._cursor.execute(greatest, [most]).fetchall()[0][0]
        return number


def _characters(combination: Sequence[Any]) -> int:
    return sum(len(each) for each in combination if isinstance(each, str))
