"""Slim records: what every prediction leaves behind, whatever is sampled.

The caller's thread appends one tuple to a bounded queue. A thread of ours takes them out, packs
those of a model into columns (`record_columns.py`) and hands them to a provider that samples all.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from inferspan import delivery, providers, settings
from inferspan.containment import Contained, errors
from inferspan.plans import PredictionPlan
from inferspan.record_columns import Row, has_row_ids, pack, row_count
from inferspan.settings import Settings
from inferspan.spans import emit_record

CALLS_WAITING_MAX: Final = 32_768
"""Calls that wait to be packed (some 35 MB); more push out the oldest, and are counted."""
ROWS_WAITING_MAX: Final = 1 << 20
"""Rows of batch calls that wait to be packed; a batch beyond that is left out, and counted."""
FLUSH_CALLS: Final = 2_048
"""Calls that wake the packing thread before its second is over, and calls of one record."""
FLUSH_ROWS: Final = 65_536
"""Rows of one record, unless a single batch has more."""
FLUSH_SECONDS: Final = 1.0
LEARNT_FROM: Final = 4_096
"""Latest calls of a model from which it is learnt what is slow and what is unsure."""
LEARNT_FROM_MIN: Final = 200
"""Calls of a model before which nothing counts as slow or unsure."""

_PACK: Final = Contained("pack slim records")


class RecordBuffer:
    """Calls on their way into slim records.

    Args:
        background: whether a thread packs them; else they wait for `flush`.
    """

    def __init__(self, background: bool = True) -> None:
        self._background = background
        self._reset()
        self.taken = 0
        """Calls that were packed."""
        self.calls_refused = 0
        """Calls that found no room, or could not be packed."""
        self._issued = self._lost_told = 0

    def _reset(self) -> None:
        self._waiting: deque[tuple[int, Row]] = deque(maxlen=CALLS_WAITING_MAX)
        self._sequence = itertools.count(1)
        # Reentrant: a finalizer may end a prediction, or flush, while its own thread packs.
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._rows = 0
        self._learnt: dict[int, _Latest] = {}

    @property
    def lost(self) -> int:
        """Calls that left no record: pushed out before they were packed, or refused."""
        return max(0, self._issued - self.taken) + self.calls_refused

    def append(self, row: Row) -> None:
        """Take one call; costs the caller a tuple."""
        output = row[7]
        if output is not None and output.rows is not None and not self._has_room(output.rows):
            return
        waiting = self._waiting
        waiting.append((next(self._sequence), row))
        if len(waiting) >= FLUSH_CALLS and not self._wake.is_set():
            self._wake.set()
        if self._thread is None and self._background:
            self._start()

    def flush(self) -> None:
        """Pack what waits, and hand it to the exporter's queue."""
        with self._lock:
            for group in _grouped(self._take()):
                with _PACK:
                    self._emit(group)
            lost = self.lost - self._lost_told
            if lost:
                self._lost_told += lost
                providers.note_loss()
                errors.warn_sometimes(
                    "records lost",
                    f"inferspan: {lost:,} predictions left no slim record: more came than could be "
                    "packed. They count in no figure.",
                )

    def forget(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        self.taken = self.calls_refused = self._issued = self._lost_told = 0
        self._reset()

    def _has_room(self, rows: int) -> bool:
        with self._lock:
            if self._rows + rows > ROWS_WAITING_MAX and self._rows:
                self.calls_refused += 1
                return False
            self._rows += rows
            return True

    def _take(self) -> Iterator[Row]:
        # As many as there are now: others may append meanwhile, for ever.
        self._rows = 0
        for _ in range(len(self._waiting)):
            try:
                issued, row = self._waiting.popleft()
            except IndexError:
                return
            self.taken += 1
            self._issued = max(self._issued, issued)
            yield row

    def _emit(self, group: list[Row]) -> None:
        tracer = providers.record_tracer()
        if tracer is None:
            return
        plan = group[0][0]
        try:
            self._learn(plan, group)
            attributes, start_ns = pack(group, settings.current().id_key)
        except Exception as error:
            errors.report("pack a slim record", error)
            if len(group) == 1:
                self.calls_refused += 1
                return
            # One call that cannot be packed takes no other with it.
            for row in group:
                self._emit([row])
            return
        emit_record(tracer, f"predictions {plan.model}", attributes, start_ns=start_ns)

    def _learn(self, plan: PredictionPlan, group: list[Row]) -> None:
        latest = self._learnt.setdefault(id(plan), _Latest(plan))
        latest.add(group)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="inferspan-records", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        wake = self._wake
        while wake is self._wake:
            wake.wait(FLUSH_SECONDS)
            wake.clear()
            self.flush()


class _Latest:
    """Durations and confidences of a model's latest calls."""

    def __init__(self, plan: PredictionPlan) -> None:
        self._plan = plan
        self._durations: deque[int] = deque(maxlen=LEARNT_FROM)
        self._confidences: deque[float] = deque(maxlen=LEARNT_FROM)

    def add(self, group: list[Row]) -> None:
        """Learn from some calls."""
        for row in group[-LEARNT_FROM:]:
            self._durations.append(row[5])
            if row[7] is not None:
                confidence = self._plan.confidence(row[7].score)
                if confidence is not None:
                    self._confidences.append(confidence)
        thresholds = self._plan.thresholds
        if len(self._durations) >= LEARNT_FROM_MIN:
            thresholds.slow_ns = float(np.quantile(self._durations, 0.99))
        if len(self._confidences) >= LEARNT_FROM_MIN:
            thresholds.confidence = float(np.quantile(self._confidences, 0.01))


def _grouped(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Calls of one record: of one plan, all or none with ids of their rows, and not too many."""
    groups: dict[tuple[int, bool], list[Row]] = {}
    sizes: dict[tuple[int, bool], int] = {}
    for row in rows:
        count = row_count(row)
        if not count:  # a batch call of nothing
            continue
        key = (id(row[0]), has_row_ids(row))
        group = groups.setdefault(key, [])
        size = sizes.get(key, 0) + count
        if group and (len(group) >= FLUSH_CALLS or size > FLUSH_ROWS):
            yield group
            group, size = groups.setdefault(key, []), count
            groups[key] = group = []
        group.append(row)
        sizes[key] = size
    yield from (group for group in groups.values() if group)


_buffer: Final = RecordBuffer()


def buffer_in_force(told: Settings) -> RecordBuffer | None:
    """Where the calls go that leave slim records; None where they are off, or have no way."""
    if told.records == "none" or not providers.records_have_a_way(told):
        return None
    return _buffer


def flush_records() -> None:
    """Pack what waits, and hand it to the exporter's queue."""
    _buffer.flush()


def _after_fork() -> None:
    _buffer.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
delivery.before_flush(flush_records)
