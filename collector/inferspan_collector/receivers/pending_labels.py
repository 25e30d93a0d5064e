"""How many labels may wait for their prediction: beyond that, labels are refused.

Labels that match nothing stay until their time is over, for a prediction may still come. Sent with
a wrong prefix, every one of them stays, so there is a limit. Over it a request of labels alone is
told to come again; out of one that brings predictions too the labels are left out and named,
because those predictions may be what the others wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from inferspan_collector.batches import Decoded, LabelBatch, Refusal
from inferspan_collector.submission import Overloaded

REASON: Final = "pending_labels"
COME_AGAIN_SECONDS: Final = 60
WAITING: Final = "waiting"
"""What the store says of a label that matched nothing yet."""


class PendingLabels:
    """Knows about how many labels wait, never too few. Thread-safe.

    Args:
        limit: how many may; None = no limit.
        ask: counts them in the store, some milliseconds. Asked where the estimate, which knows of
            no label that has met its prediction since, is over the limit.
    """

    def __init__(self, limit: int | None = None, ask: Callable[[], int] = lambda: 0) -> None:
        self._limit = limit
        self._ask = ask
        self._lock = threading.Lock()
        self._at_most: int | None = None

    async def admit_here(self, decoded: Decoded) -> Decoded:
        """As `admit`, in an event loop: the store is asked in a thread."""
        if self.knows_of(decoded):
            return self.admit(decoded)
        return await asyncio.to_thread(self.admit, decoded)

    def knows_of(self, decoded: Decoded) -> bool:
        """Whether `admit` would not ask the store."""
        if self._limit is None or not len(decoded.labels):
            return True
        with self._lock:
            return self._at_most is not None and self._at_most < self._limit

    def admit(self, decoded: Decoded) -> Decoded:
        """What may be stored of a request now.

        Raises:
            Overloaded: it brings labels alone, and as many wait as may.
        """
        if self._limit is None or not len(decoded.labels) or self._has_room(self._limit):
            return decoded
        message = (
            f"{self._limit} labels wait for a prediction, limits.pending_labels; check that their "
            "ids are those of predictions (`inferspan labels push --dry-run`), or raise it"
        )
        if not len(decoded.predictions):
            raise Overloaded(message, COME_AGAIN_SECONDS, reason=REASON)
        refused = (Refusal("labels", REASON, message),) * len(decoded.labels)
        return replace(decoded, labels=LabelBatch.empty(), refused=(*decoded.refused, *refused))

    def note(self, results: Sequence[str]) -> None:
        """Learn what became of labels that were stored."""
        if self._limit is None or not results:
            return
        waiting = sum(result == WAITING for result in results)
        with self._lock:
            if self._at_most is not None:
                self._at_most += waiting

    def _has_room(self, limit: int) -> bool:
        with self._lock:
            if self._at_most is None or self._at_most >= limit:
                self._at_most = self._ask()
            return self._at_most < limit


UNLIMITED: Final = PendingLabels()
