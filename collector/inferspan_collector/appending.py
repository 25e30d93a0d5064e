"""Requests into the journal, many in one append, whatever one of them does to it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from inferspan_collector import failpoints
from inferspan_collector.applying import Request, fatal, refusal
from inferspan_collector.batches import Decoded, LabelBatch, PredictionBatch, StageBatch
from inferspan_collector.first_line import first_line
from inferspan_collector.journal.journal import Journal
from inferspan_collector.journal.packing import Batches
from inferspan_collector.queues import Queues
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import CONTAINED, Telemetry

_logger = logging.getLogger(__name__)
_PASSING: Final = (Overloaded, OSError, MemoryError)
_RECORD_ROWS: Final = 1_000
"""Rows for which a record of their own takes less than to stack them with others."""


class Appender:
    """Writes kept requests down and answers them. One thread owns it.

    Args:
        queues: has those that wait, and takes what is acknowledged.
        journal: where they are written.
        telemetry: counts.
        note_fatal: told of each fault why the journal can never be used again, or None.
    """

    def __init__(
        self,
        queues: Queues,
        journal: Journal,
        telemetry: Telemetry,
        note_fatal: Callable[[str | None], None],
    ) -> None:
        self._queues = queues
        self._journal = journal
        self._telemetry = telemetry
        self._note_fatal = note_fatal

    def keep(self, group: list[Request]) -> None:
        """Append all of them at once; one by one where one of them cannot be written as bytes."""
        size = sum(kept.size for kept in group)
        parts = _parts(group)
        try:
            self._queues.check_store()
            entries = self._journal.append([_stacked(part) for part in parts])
        except Exception as error:
            if len(group) > 1 and not isinstance(error, _PASSING):
                for kept in group:
                    self.keep([kept])
                return
            told = self._told(error)
            self._queues.give_back(size)
            for kept in group:
                kept.done.set_exception(told)
            return
        failpoints.reach("journal-synced")
        for entry, part in zip(entries, parts, strict=True):
            held = sum(kept.size for kept in part)
            self._queues.acknowledged(entry, held, counted=held)
        for kept in group:
            kept.done.set_result(None)

    def _told(self, error: Exception) -> Exception:
        """What senders are told: to come again, but for what their own rows bring about."""
        if isinstance(error, Overloaded):
            return error
        if isinstance(error, _PASSING):
            _logger.error("the journal cannot be written: %s", error)
            self._note_fatal(fatal(error))
            return refusal(error, of="journal")
        self._telemetry.add(CONTAINED, where="journal")
        _logger.error(
            "a request cannot be written to the journal for a defect of the collector; it was "
            "refused. Report this with the lines that follow",
            exc_info=error,
        )
        return Unstorable(f"this request cannot be written to the journal: {first_line(error)}")


def _parts(group: list[Request]) -> list[list[Request]]:
    """What becomes a record each: each request, where they are large, as those read as one are."""
    if sum(_rows(kept.decoded) for kept in group) < _RECORD_ROWS * len(group):
        return [group]
    return [[kept] for kept in group]


def _rows(decoded: Decoded) -> int:
    return len(decoded.predictions) + len(decoded.labels) + len(decoded.stages)


def _stacked(part: list[Request]) -> Batches:
    if len(part) == 1:
        decoded = part[0].decoded
        return decoded.predictions, decoded.labels, decoded.stages
    return (
        PredictionBatch.concat([kept.decoded.predictions for kept in part]),
        LabelBatch.concat([kept.decoded.labels for kept in part]),
        StageBatch.concat([kept.decoded.stages for kept in part if len(kept.decoded.stages)]),
    )
