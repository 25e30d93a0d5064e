"""How many labels may wait for their prediction: beyond that, labels that would wait are refused.

Labels that match nothing stay until their time is over, for a prediction may still come. Sent with
a wrong prefix, every one of them stays, so there is a limit. Over it only labels that would not
wait are taken: the store is asked which those are. A request of labels alone with others among them
is told to come again, whole, so that nothing of it is lost; out of one that brings predictions too
the others are left out and named, because those predictions may be what they wait for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Decoded, LabelBatch, Refusal
from inferspan_collector.several_classes import rankings
from inferspan_collector.submission import Overloaded

REASON: Final = "pending_labels"
COME_AGAIN_SECONDS: Final = 60
WAITING: Final = "waiting"
"""What the store says of a label that matched nothing yet."""


class PendingLabels:
    """Knows about how many labels wait. Thread-safe.

    The estimate knows of no label that has met its prediction since, and so grows too great as time
    goes by; it is too small by those of requests that are on their way to the disk.

    Args:
        limit: how many may; None = no limit.
        ask: counts them in the store, some milliseconds. Asked where the estimate is over the
            limit.
        joining: which labels would join now; asked over the limit alone.
    """

    def __init__(
        self,
        limit: int | None = None,
        ask: Callable[[], int] = lambda: 0,
        joining: Callable[[LabelBatch], Bool] = lambda labels: np.zeros(len(labels), np.bool_),
    ) -> None:
        self._limit = limit
        self._ask = ask
        self._joining = joining
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
            Overloaded: it brings labels alone, some of which would wait, and as many wait as may.
            Unstorable: as the store would say of them.
        """
        if self._limit is None or not len(decoded.labels) or self._has_room(self._limit):
            return decoded
        taken = self._joining(decoded.labels) | _about_its_own(decoded)
        if taken.all():
            return decoded
        message = (
            f"{self._limit} label{' waits' if self._limit == 1 else 's wait'} for a prediction, "
            "limits.pending_labels; check that their "
            "ids are those of predictions (`inferspan labels push --dry-run`), or raise it"
        )
        if not len(decoded.predictions):
            raise Overloaded(message, COME_AGAIN_SECONDS, reason=REASON)
        refused = (Refusal("labels", REASON, message),) * int((~taken).sum())
        return replace(
            decoded, labels=decoded.labels.take(taken), refused=(*decoded.refused, *refused)
        )

    def note(self, results: Sequence[str]) -> None:
        """Learn what became of labels that were stored."""
        if self._limit is None or not results:
            return
        self.note_at_most(sum(result == WAITING for result in results))

    def note_at_most(self, waiting: int) -> None:
        """Learn that so many labels more may wait."""
        with self._lock:
            if self._at_most is not None:
                self._at_most += waiting

    def _has_room(self, limit: int) -> bool:
        with self._lock:
            known = self._at_most
        if known is None or known >= limit:
            # Not under the lock: the event loop asks for what is known.
            known = self._ask()
            with self._lock:
                self._at_most = known
        return known < limit


def _about_its_own(decoded: Decoded) -> Bool:
    """Which labels are about predictions of the same request: by id, or by a link to their span."""
    labels, predictions = decoded.labels, decoded.predictions
    known: set[tuple[object, ...]] = set()
    ranked = rankings(predictions.task, predictions.operation).tolist()
    columns = ("model", "environment", "version")
    said = [getattr(predictions, name).objects().tolist() for name in columns]
    spans = np.column_stack([predictions.trace, predictions.span]).tolist()
    for model, environment, version, prediction_id, index, span, row, ranking in zip(
        *said,
        predictions.prediction_id.objects().tolist(),
        predictions.index.tolist(),
        spans,
        predictions.span_row.tolist(),
        ranked,
        strict=True,
    ):
        # A label names an environment or a version, or neither; and an item of rankings alone.
        for of in (False, True)[: 1 + ranking]:
            known.add((of, *span, row))
            for where in {environment, None}:
                known.update(
                    (of, model, prediction_id, index, where, which) for which in {version, None}
                )
    by_link = labels.names_no_key().tolist()
    links = np.column_stack([labels.link_trace, labels.link_span]).tolist()
    keys = zip(
        *(
            column.objects().tolist()
            for column in (labels.model, labels.prediction_id, labels.environment, labels.version)
        ),
        strict=True,
    )
    found = [
        ((item > 0, *link, index) if linked else (item > 0, model, id_, index, where, which))
        in known
        for linked, link, index, item, (model, id_, where, which) in zip(
            by_link,
            links,
            labels.index.tolist(),
            labels.item_id.lengths().tolist(),
            keys,
            strict=True,
        )
    ]
    return np.array(found, np.bool_)


UNLIMITED: Final = PendingLabels()
