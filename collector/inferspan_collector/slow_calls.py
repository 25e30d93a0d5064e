"""Traces of the slowest calls that came lately, so that a slow bucket can show one of them.

Only calls whose full span came: of the others there may be no trace to look at.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    # Whoever only counts does not load the batches for it.
    from inferspan_collector.batches import PredictionBatch

PER_TRANSACTION: Final = 32
"""Calls of one transaction that are looked at: the slowest."""
KEPT_MAX: Final = 1_000
"""Calls that are kept; the oldest leave."""
_NO_SPAN: Final = 0


@dataclass(frozen=True, slots=True)
class SlowCall:
    """One call."""

    series: tuple[str | None, ...]
    """Environment, service, model, version, variant."""
    trace_id: str
    span_id: str
    duration_ns: int
    received: int


def slowest(batch: PredictionBatch) -> list[SlowCall]:
    """The slowest calls of a batch that came with their span, in the order of receipt."""
    traced = (batch.trace[:, 0] | batch.trace[:, 1]) != 0
    real = np.flatnonzero((batch.kind > _NO_SPAN) & traced)
    if len(real) > PER_TRANSACTION:
        order = np.argpartition(batch.duration[real], -PER_TRANSACTION)
        real = np.sort(real[order[-PER_TRANSACTION:]])
    columns = (batch.environment, batch.service, batch.model, batch.version, batch.variant)
    return [
        SlowCall(
            tuple(column.text(row) for column in columns),
            f"{int(batch.trace[row, 0]):016x}{int(batch.trace[row, 1]):016x}",
            f"{int(batch.span[row]):016x}",
            int(batch.duration[row]),
            int(batch.received[row]),
        )
        for row in real.tolist()
    ]


class SlowCalls:
    """Thread-safe; the newest call of each series and range of durations can be asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: OrderedDict[tuple[tuple[str | None, ...], int], SlowCall] = OrderedDict()

    def note(self, calls: Sequence[SlowCall]) -> None:
        """Keep calls: of those of a series that took about as long, the newest."""
        with self._lock:
            for call in calls:
                key = call.series, max(1, call.duration_ns).bit_length()
                self._calls[key] = call
                self._calls.move_to_end(key)
            while len(self._calls) > KEPT_MAX:
                self._calls.popitem(last=False)

    def newest(self, edges_ns: Sequence[int]) -> list[tuple[SlowCall, int]]:
        """Calls and how many of the edges they lie above, the oldest first."""
        with self._lock:
            calls = list(self._calls.values())
        places = np.searchsorted(np.array(edges_ns), [call.duration_ns for call in calls], "left")
        return sorted(zip(calls, places.tolist(), strict=True), key=lambda pair: pair[0].received)
