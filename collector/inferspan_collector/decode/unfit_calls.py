"""Calls of a slim record with a text that cannot be kept: refused, and no others.

A text that is too long, or no text, costs the call what it would cost the call's own span. What is
wrong with the record itself, a column's length or type, still costs all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.batches import Bool, Int64, Refusal
from inferspan_collector.decode.attributes import Entries, RefusedRecord

Places = Callable[[Int64], Int64]
"""Places in one column → places in another."""


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """What is refused of a record that is taken."""

    calls: dict[int, RefusedRecord]
    """Call → the first of its faults."""
    kept: Bool
    """Of each row."""

    def refusals(self) -> list[Refusal]:
        """One for each call."""
        return [Refusal("calls", fault.reason, str(fault)) for fault in self.calls.values()]


class UnfitCalls:
    """Gathers them, column by column, and takes no memory for it before `refused`.

    Args:
        calls: of the record.
        row_counts: rows of each call; None = 1 each.
    """

    def __init__(self, calls: int, row_counts: NDArray[np.uint32] | None) -> None:
        self._calls = calls
        self._row_counts = row_counts
        self._found: list[tuple[NDArray[Any] | None, Entries, Places]] = []

    def of_calls(self, codes: NDArray[Any] | None, entries: Entries | None) -> None:
        """Look at a column of one code a call; without codes, of one entry a call."""
        self._note(codes, entries, lambda calls: calls)

    def of_rows(self, codes: NDArray[Any] | None, entries: Entries | None) -> None:
        """The same, of rows."""
        self._note(codes, entries, self._calls_of)

    def of_sets(
        self, codes: NDArray[Any], offsets: NDArray[np.uint32], entries: Entries | None
    ) -> None:
        """Look at sets of codes, one a row, that begin at `offsets`."""
        self._note(codes, entries, lambda at: self._calls_of(_piece(offsets[1:], at)))

    def refused(self) -> Refused | None:
        """The calls to refuse; None where there is none.

        Raises:
            RefusedRecord: these are all; the first of their faults.
        """
        calls: dict[int, RefusedRecord] = {}
        for codes, entries, to_calls in self._found:
            at, places = _uses(codes, entries)
            unfit, first = np.unique(to_calls(at), return_index=True)
            for call, place in zip(unfit.tolist(), places[first].tolist(), strict=True):
                calls.setdefault(call, entries.unfit[place])
        if not calls:
            return None
        if len(calls) == self._calls:
            raise next(iter(calls.values()))
        kept = np.ones(self._calls, np.bool_)
        kept[list(calls)] = False
        return Refused(
            calls, kept if self._row_counts is None else np.repeat(kept, self._row_counts)
        )

    def _note(self, codes: NDArray[Any] | None, entries: Entries | None, to_calls: Places) -> None:
        if entries is not None and entries.unfit:
            self._found.append((codes, entries, to_calls))

    def _calls_of(self, rows: Int64) -> Int64:
        if self._row_counts is None:
            return rows
        return _piece(np.cumsum(self._row_counts, dtype=np.int64), rows)


def _uses(codes: NDArray[Any] | None, entries: Entries) -> tuple[Int64, Int64]:
    """Where unfit entries stand in a column, and which."""
    places = np.array(sorted(entries.unfit), np.int64)
    if codes is None:
        return places, places
    is_unfit = np.zeros(len(entries.texts) + 1, np.bool_)
    is_unfit[places + 1] = True
    at = np.flatnonzero(is_unfit[codes])
    return at, codes[at].astype(np.int64) - 1


def _piece(ends: NDArray[Any], at: Int64) -> Int64:
    """Which of the pieces that end at `ends` each place lies in."""
    return np.searchsorted(ends, at, side="right").astype(np.int64)


def texts_of(entries: Entries | None) -> list[str | None] | None:
    """What a dictionary's codes stand for; None where there is none."""
    return None if entries is None else entries.texts
