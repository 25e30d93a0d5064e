"""Rows into the store, whatever one of them does to a transaction.

A transaction that fails is tried again in parts, so that only what is to blame is left out: of
requests that wait for their answer each is told; of rows that were acknowledged already the one
that the store can never take is set aside, in a file and counted.

So is a row at which our own code fails, or the database's. Whether it is the row's fault, or that
of the state the store is in, an ordinary row tells: where the store does not take that one either,
nothing is set aside, and this process can use the store no more (decision 0070).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import numpy as np

from inferspan_collector import failpoints
from inferspan_collector.batches import Decoded, NamedBatch, PredictionBatch
from inferspan_collector.first_line import first_line
from inferspan_collector.journal.journal import Entry, Journal
from inferspan_collector.store.cells import Committed
from inferspan_collector.store.durably import Gone
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
"""What rows' own content can cause."""
PASSING: Final = (
    OSError,
    MemoryError,
    duckdb.OperationalError,
    duckdb.PermissionException,
    duckdb.InterruptException,
    duckdb.FatalException,
)
"""What may pass: the disk, memory, a store that has closed itself. Senders come again."""
_BLAMED_MAX: Final = 32
"""Rows that are sought out in one round; of what fails beyond them whole pieces are left out."""
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
    traced: bool = False
    """Whether the log has the trace of a defect."""
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
                result.answers = [(requests[0], self._refused(requests[0], error, now_ns, result))]
                return result
        else:
            result.entries = len(entries)
            result.answers = list(zip(requests, committed[len(entries) :], strict=True))
            return result
        self._take_over(entries, now_ns, result)
        for request in requests:
            result.answers.append((request, self._answer(request, now_ns, result)))
        return result

    def _answer(self, request: Request, now_ns: int, result: Applied) -> Committed | Exception:
        try:
            return self._writer.commit([request.decoded], now_ns)[0]
        except Exception as error:
            self._note(error, result)
            return self._refused(request, error, now_ns, result)

    def _refused(
        self, request: Request, error: Exception, now_ns: int, result: Applied
    ) -> Exception:
        """What is said of a request that failed; of a defect, only its rows to blame are left."""
        if not is_defect(error) or not self._takes_others(now_ns, result):
            return refusal(error)
        left_out: list[Decoded] = []
        passing = self._in_parts(
            request.decoded, now_ns, result, lambda part, _: left_out.append(part)
        )
        if passing is not None:
            return refusal(passing)
        rows, most = sum(map(_size, left_out)), _size(request.decoded)
        return Unstorable(
            f"{rows} of {most} rows cannot be stored for a defect of the collector "
            f"({_named(error)}), whose log says more; the others are stored"
        )

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
            elif _of_its_rows(error, len(entries[0])) or (
                is_defect(error) and self._takes_others(now_ns, result)
            ):
                self._apply_rows(entries[0], now_ns, result)
            else:
                result.fault = error
        else:
            result.entries += len(entries)

    def _apply_rows(self, entry: Entry, now_ns: int, result: Applied) -> None:
        """An entry without the rows that cannot be stored, which are set aside."""
        result.fault = self._in_parts(_decoded(entry), now_ns, result, self._set_aside)
        if result.fault is None:
            self._writer.note_applied(entry.sequence)
            result.entries += 1

    def _in_parts(
        self,
        rows: Decoded,
        now_ns: int,
        result: Applied,
        leave_out: Callable[[Decoded, Exception], None],
    ) -> Exception | None:
        """Store rows that failed together by halves, down to the single ones that are to blame.

        Args:
            rows: to store.
            now_ns: the current time, Unix ns.
            result: is told of faults.
            leave_out: told of what is to blame, and why; may raise `OSError`.

        Returns:
            What keeps some of them out for now; None where all others are stored.
        """
        blamed = 0
        waiting = _halves(rows)[::-1]
        while waiting:
            part = waiting.pop()
            try:
                self._writer.commit([part], now_ns)
            except Exception as error:
                self._note(error, result)
                to_blame = isinstance(error, _CONTENT_FAULTS) or is_defect(error)
                if not to_blame and not _of_its_rows(error, _size(part)):
                    return error
                if _size(part) > 1 and (blamed < _BLAMED_MAX or not to_blame):
                    waiting += _halves(part)[::-1]
                    continue
                if is_defect(error) and not self._takes_others(now_ns, result):
                    return error
                try:
                    leave_out(part, error)
                except OSError as fault:
                    return fault
                blamed += 1
        return None

    def _takes_others(self, now_ns: int, result: Applied) -> bool:
        """Whether the store takes an ordinary row; if not, none is to blame."""
        try:
            self._writer.probe(now_ns)
        except Exception as error:
            self._note(error, result)
            if is_defect(error) and result.fatal is None:
                _logger.error("the store takes nothing, not even an ordinary row", exc_info=error)
                result.fatal = f"it takes no row at all ({_named(error)})"
            return False
        return True

    def _set_aside(self, rows: Decoded, error: Exception) -> None:
        path = self._journal.set_aside(rows.predictions, rows.labels, rows.stages)
        failpoints.reach("set-aside")
        self._telemetry.add(SET_ASIDE, _size(rows))
        _logger.error(
            "%d rows that were acknowledged cannot be stored (%s); they are kept in %s",
            _size(rows),
            _named(error),
            path,
        )

    def _note(self, error: Exception, result: Applied) -> None:
        self._telemetry.add(COMMIT_FAILURES)
        _logger.error("a transaction failed: %s", _named(error))
        result.fatal = result.fatal or fatal(error)
        if is_defect(error):
            self._telemetry.add(CONTAINED, where="writer")
            # The search for one row meets the same again and again.
            if not result.traced:
                _logger.error("that is a defect of the collector; report it", exc_info=error)
                result.traced = True


def refusal(error: Exception, of: str = "store") -> Exception:
    """What a sender is told: 400 only for what its own request holds, else come again."""
    if isinstance(error, _CONTENT_FAULTS):
        return Unstorable(f"this request cannot be stored: {first_line(error)}")
    return Overloaded(f"the {of} cannot write now ({first_line(error)}); send this again", 5)


def fatal(error: Exception) -> str | None:
    """Why the store can never be used again, if that is what an error says."""
    return first_line(error) if isinstance(error, (duckdb.FatalException, Gone)) else None


def is_defect(error: Exception) -> bool:
    """Whether neither the rows' content, as we know it, nor the disk or memory explain an error."""
    return not isinstance(error, (*_CONTENT_FAULTS, *PASSING))


def _named(error: Exception) -> str:
    """What an error says, and what it is where that alone says little."""
    said = first_line(error)
    return f"{type(error).__name__}: {said}" if is_defect(error) else said


def _of_its_rows(error: Exception, rows: int) -> bool:
    """Whether fewer rows may fare better."""
    too_large = isinstance(error, duckdb.OutOfMemoryException) and rows > _ROWS_MIN
    return too_large or isinstance(error, _CONTENT_FAULTS)


def _last(entries: Sequence[Entry]) -> int | None:
    return entries[-1].sequence if entries else None


def _decoded(entry: Entry) -> Decoded:
    return Decoded(entry.predictions, entry.labels, entry.stages)


def _size(part: Decoded) -> int:
    return len(part.predictions) + len(part.labels) + len(part.stages)


def _halves(part: Decoded) -> list[Decoded]:
    """Two halves of some rows; of one row, itself."""
    whole, half = _size(part), _size(part) // 2
    return [_rows(part, 0, half), _rows(part, half, whole)] if half else [part]


def _rows(part: Decoded, start: int, end: int) -> Decoded:
    """A range of rows: labels are counted on behind the predictions, then stages."""
    rows = np.arange(start, end)
    labels = len(part.predictions)
    stages = labels + len(part.labels)
    predictions = part.predictions.take(rows[rows < labels])
    return Decoded(
        predictions,
        part.labels.take(rows[(rows >= labels) & (rows < stages)] - labels),
        part.stages.take(rows[rows >= stages] - stages),
        named=None if part.named is None else _named_of(part.named, predictions),
    )


def _named_of(named: NamedBatch, predictions: PredictionBatch) -> NamedBatch:
    """The other names of some predictions."""
    among = set(_spans(predictions))
    return named.take(np.array([span in among for span in _spans(named)], np.bool_))


def _spans(batch: NamedBatch | PredictionBatch) -> Iterator[tuple[int, ...]]:
    trace = batch.trace.T.tolist()
    return zip(*trace, batch.span.tolist(), batch.span_row.tolist(), strict=True)
