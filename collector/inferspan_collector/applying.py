"""Rows into the store, whatever one of them does to a transaction.

A transaction that fails is tried again in parts, so that only what is to blame is left out: of
requests that wait for their answer each is told; of rows that were acknowledged already the one
that the store can never take is set aside, in a file and counted.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector.batches import Decoded
from inferspan_collector.first_line import first_line
from inferspan_collector.journal.journal import Entry, Journal
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.naming import TooManyPairs
from inferspan_collector.store.writer import Writer
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import COMMIT_FAILURES, CONTAINED, SET_ASIDE, Telemetry

_logger = logging.getLogger(__name__)

_CONTENT_FAULTS: Final = (
    duckdb.DataError,
    duckdb.IntegrityError,
    duckdb.InvalidInputException,
    TooManyPairs,
)
"""What rows' own content can cause. Every other fault is ours or the disk's: it may pass, and a
sender that is told so keeps its data."""
_ROWS_MIN: Final = 1_000
"""A transaction of so few rows does not fail for its size."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that waits for its answer: to be in the journal, or what became of its rows."""

    decoded: Decoded
    size: int
    done: Future[Any]


@dataclass(slots=True)
class Applied:
    """What a round has done."""

    entries: int
    """The first so many of the journal's are in the store."""
    fault: Exception | None = None
    """What kept the next one out; it may pass."""
    fatal: str | None = None
    """Why the store can never be used again by this process."""
    answers: list[tuple[Request, Committed | Exception]] = field(default_factory=list)


class Applier:
    """Brings rows into the store. One thread owns it; it reads no clock.

    Args:
        writer: the store's.
        journal: keeps what the store cannot take.
        telemetry: counts.
    """

    def __init__(self, writer: Writer, journal: Journal, telemetry: Telemetry) -> None:
        self._writer = writer
        self._journal = journal
        self._telemetry = telemetry

    def apply(self, entries: Sequence[Entry], requests: Sequence[Request], now_ns: int) -> Applied:
        """Commit all of it in one transaction, or in as many as faults make necessary.

        Args:
            entries: of the journal, in its order; none is left out before one that is applied.
            requests: each gets an answer, in `Applied.answers`.
            now_ns: the current time, Unix ns.
        """
        result = Applied(0)
        if not requests:
            self._take_over(entries, now_ns, result)
            return result
        parts = [*map(_decoded, entries), *(request.decoded for request in requests)]
        try:
            committed = self._writer.commit(parts, now_ns, applied=_last(entries))
        except Exception as error:
            self._note(error, result)
            if len(parts) == 1:
                result.answers = [(requests[0], refusal(error))]
                return result
        else:
            result.entries = len(entries)
            result.answers = list(zip(requests, committed[len(entries) :], strict=True))
            return result
        self._take_over(entries, now_ns, result)
        for request in requests:
            self._answer(request, now_ns, result)
        return result

    def _answer(self, request: Request, now_ns: int, result: Applied) -> None:
        answer: Committed | Exception
        try:
            (answer,) = self._writer.commit([request.decoded], now_ns)
        except Exception as error:
            self._note(error, result)
            answer = refusal(error)
        result.answers.append((request, answer))

    def _take_over(self, entries: Sequence[Entry], now_ns: int, result: Applied) -> None:
        """All of them, or some at a time, down to the one that is to blame."""
        if not entries or result.fault is not None:
            return
        try:
            self._writer.commit([_decoded(e) for e in entries], now_ns, applied=_last(entries))
        except Exception as error:
            self._note(error, result)
            if result.fatal is None and len(entries) > 1:
                half = len(entries) // 2
                self._take_over(entries[:half], now_ns, result)
                self._take_over(entries[half:], now_ns, result)
            elif _of_its_rows(error, len(entries[0])):
                self._apply_rows(entries[0], now_ns, result)
            else:
                result.fault = error
        else:
            result.entries += len(entries)

    def _apply_rows(self, entry: Entry, now_ns: int, result: Applied) -> None:
        """The halves of an entry's rows, down to the one row that cannot be stored."""
        for part in _halves(entry):
            if result.fault is not None:
                return
            try:
                self._writer.commit([_decoded(part)], now_ns)
            except Exception as error:
                self._note(error, result)
                if len(part) > 1 and _of_its_rows(error, len(part)):
                    self._apply_rows(part, now_ns, result)
                elif isinstance(error, _CONTENT_FAULTS):
                    self._set_aside(part, error, result)
                else:
                    result.fault = error
        if result.fault is None and entry.sequence:
            self._writer.note_applied(entry.sequence)
            result.entries += 1

    def _set_aside(self, row: Entry, error: Exception, result: Applied) -> None:
        try:
            path = self._journal.set_aside(row.predictions, row.labels, row.stages)
        except OSError as fault:
            result.fault = fault
            return
        self._telemetry.add(SET_ASIDE, len(row))
        _logger.error(
            "a row that was acknowledged cannot be stored (%s); it is kept in %s",
            first_line(error),
            path,
        )

    def _note(self, error: Exception, result: Applied) -> None:
        self._telemetry.add(COMMIT_FAILURES)
        _logger.error("a transaction failed: %s", error)
        if not isinstance(error, (*_CONTENT_FAULTS, duckdb.Error, OSError)):
            self._telemetry.add(CONTAINED, where="writer")
        result.fatal = result.fatal or fatal(error)


def refusal(error: Exception, of: str = "store") -> Exception:
    """What a sender is told: 400 only for what its own request holds, else come again."""
    if isinstance(error, _CONTENT_FAULTS):
        return Unstorable(f"this request cannot be stored: {first_line(error)}")
    return Overloaded(f"the {of} cannot write now ({first_line(error)}); send this again", 5)


def fatal(error: Exception) -> str | None:
    """Why the store has closed itself for good, if that is what an error says."""
    return first_line(error) if isinstance(error, duckdb.FatalException) else None


def _of_its_rows(error: Exception, rows: int) -> bool:
    """Whether fewer rows may fare better."""
    too_large = isinstance(error, duckdb.OutOfMemoryException) and rows > _ROWS_MIN
    return too_large or isinstance(error, _CONTENT_FAULTS)


def _last(entries: Sequence[Entry]) -> int | None:
    return entries[-1].sequence if entries else None


def _decoded(entry: Entry) -> Decoded:
    return Decoded(entry.predictions, entry.labels, entry.stages)


def _halves(entry: Entry) -> list[Entry]:
    """Two halves of an entry's rows, without a sequence of their own; of one row, itself."""
    if len(entry) < 2:
        return [Entry(0, entry.predictions, entry.labels, entry.stages)]
    whole, half = len(entry), len(entry) // 2
    return [_rows(entry, 0, half), _rows(entry, half, whole)]


def _rows(entry: Entry, start: int, end: int) -> Entry:
    """A range of an entry's rows: labels are counted on behind the predictions, then stages."""
    rows = np.arange(start, end)
    labels = len(entry.predictions)
    stages = labels + len(entry.labels)
    return Entry(
        0,
        entry.predictions.take(rows[rows < labels]),
        entry.labels.take(rows[(rows >= labels) & (rows < stages)] - labels),
        entry.stages.take(rows[rows >= stages] - stages),
    )
