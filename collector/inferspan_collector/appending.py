"""Requests into the journal, many in one append, whatever one of them does to it."""

from __future__ import annotations

import logging
from typing import Final

from inferspan_collector import failpoints
from inferspan_collector.applying import Request, refusal
from inferspan_collector.batches import LabelBatch, PredictionBatch, StageBatch
from inferspan_collector.first_line import first_line
from inferspan_collector.journal.journal import Journal
from inferspan_collector.queues import Queues
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import CONTAINED, Telemetry

_logger = logging.getLogger(__name__)
_PASSING: Final = (Overloaded, OSError, MemoryError)


class Appender:
    """Writes kept requests down and answers them. One thread owns it.

    Args:
        queues: has those that wait, and takes what is acknowledged.
        journal: where they are written.
        telemetry: counts.
    """

    def __init__(self, queues: Queues, journal: Journal, telemetry: Telemetry) -> None:
        self._queues = queues
        self._journal = journal
        self._telemetry = telemetry

    def keep(self, group: list[Request]) -> None:
        """Append all of them at once; one by one where one of them cannot be written as bytes."""
        size = sum(kept.size for kept in group)
        try:
            self._queues.check_store()
            entry = self._journal.append(
                PredictionBatch.concat([k.decoded.predictions for k in group]),
                LabelBatch.concat([k.decoded.labels for k in group]),
                StageBatch.concat([k.decoded.stages for k in group if len(k.decoded.stages)]),
            )
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
        self._queues.acknowledged(entry, size, counted=size)
        for kept in group:
            kept.done.set_result(None)

    def _told(self, error: Exception) -> Exception:
        """What senders are told: to come again, but for what their own rows bring about."""
        if isinstance(error, Overloaded):
            return error
        if isinstance(error, _PASSING):
            _logger.error("the journal cannot be written: %s", error)
            return refusal(error, of="journal")
        self._telemetry.add(CONTAINED, where="journal")
        _logger.error(
            "a request cannot be written to the journal for a defect of the collector; it was "
            "refused. Report this with the lines that follow",
            exc_info=error,
        )
        return Unstorable(f"this request cannot be written to the journal: {first_line(error)}")
