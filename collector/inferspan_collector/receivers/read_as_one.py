"""Several requests read and queued as one: what holds whichever way they come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from inferspan_collector.batches import Decoded
from inferspan_collector.config import Limits
from inferspan_collector.decode import Together
from inferspan_collector.receivers.access import Rights
from inferspan_collector.receivers.defects import Defects
from inferspan_collector.receivers.failures import is_expected
from inferspan_collector.receivers.intake import permitted
from inferspan_collector.receivers.pending_labels import PendingLabels
from inferspan_collector.submission import Sink

ONE_BY_ONE_SECONDS: Final = 1.0
"""How long each of a kind is read by itself once reading them as one did not pay."""
_TOGETHER_BYTES: Final = 3_000_000
"""Twice as many would save little more, and hold up the event loop for twice as long."""
_ROW_WEIGHT: Final = 16
"""How much more a body may weigh in the queue than its bytes, for short rows."""


def bytes_max(limits: Limits) -> int:
    """Of the bodies that are read as one: they must fit into an empty queue, as any one does."""
    return min(_TOGETHER_BYTES, limits.queue_bytes // _ROW_WEIGHT)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """Requests that are stored as one."""

    decoded: Decoded
    future: Future[Any]
    """Done once they are on disk."""
    places: tuple[int, ...]
    """Which of them these are, rising."""


def pays(sizes: Sequence[int], kept: Kept | None) -> bool:
    """Whether reading some of these sizes as one was worth it: most of their bytes were.

    Who wants to keep all others from it has to send more than they do.
    """
    return kept is not None and 2 * sum(sizes[place] for place in kept.places) >= sum(sizes)


def kept_as_one(
    decode: Callable[[], Together | None],
    rights: Rights,
    *,
    sink: Sink,
    pending: PendingLabels,
    defects: Defects,
    transport: str,
    waited: float = 0.0,
) -> Kept | None:
    """Have several requests stored as one, or those of them for which that can be.

    Args:
        decode: reads them; None where all are to be read one by one.
        rights: of their senders, which are the same.
        sink: takes their rows.
        pending: limits the labels that wait.
        defects: counts those of ours.
        transport: how they came.
        waited: how long the first of them has waited for the others, s.

    Returns:
        What is stored of them; whoever is not among them hears of its own faults when it is read
        alone. None where nothing was done.
    """
    try:
        read = decode()
        if read is None or not pending.knows_of(read.decoded):
            return None
        decoded = pending.admit(permitted(read.decoded, rights))
        if decoded.refused:
            return None
        return Kept(decoded, sink.keep(decoded, transport, waited), read.places)
    except Exception as error:
        if not is_expected(error):
            defects.note(error, "it and those that came with it are read one by one instead")
        return None
