"""Several requests read and queued as one: what holds whichever way they come."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.receivers.access import Rights
from inferspan_collector.receivers.defects import Defects
from inferspan_collector.receivers.failures import is_expected
from inferspan_collector.receivers.intake import permitted
from inferspan_collector.receivers.pending_labels import PendingLabels
from inferspan_collector.submission import Sink

ONE_BY_ONE_SECONDS: Final = 1.0
"""How long each is read by itself once some that came together could not be read as one."""
_TOGETHER_BYTES: Final = 3_000_000
"""Twice as many would save little more, and hold up the event loop for twice as long."""
_ROW_WEIGHT: Final = 16
"""How much more a body may weigh in the queue than its bytes, for short rows."""


def bytes_max(limits: Limits) -> int:
    """Of the bodies that are read as one: they must fit into an empty queue, as any one does."""
    return min(_TOGETHER_BYTES, limits.queue_bytes // _ROW_WEIGHT)


def kept_as_one(
    decode: Callable[[], Decoded | None],
    rights: Rights,
    *,
    sink: Sink,
    pending: PendingLabels,
    defects: Defects,
    transport: str,
) -> tuple[Decoded, Future[Any]] | None:
    """Have several requests stored as one.

    Args:
        decode: reads them; None where they are to be read one by one.
        rights: of their senders, which are the same.
        sink: takes their rows.
        pending: limits the labels that wait.
        defects: counts those of ours.
        transport: how they came.

    Returns:
        What they hold, and a future that is done once it is on disk. None where nothing was done:
        anything that is not ordinary, so that each hears of its own faults when it is read alone.
    """
    try:
        decoded = decode()
        if decoded is None or not pending.knows_of(decoded):
            return None
        decoded = pending.admit(permitted(decoded, rights))
        if decoded.refused:
            return None
        return decoded, sink.keep(decoded, transport)
    except Exception as error:
        if not is_expected(error):
            defects.note(error, "it and those that came with it are read one by one instead")
        return None
