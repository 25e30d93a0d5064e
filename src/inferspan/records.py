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

from inferspan import delivery, providers, semconv, settings
from inferspan.containment import Contained, errors
from inferspan.features import FEATURES_MAX
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
SET_BYTES_OF_A_ROW: Final = 512
"""Bytes of the classes of sets that weigh as much as a row; receivers count them so."""
EARLIEST_NS: Final = 946_684_800_000_000_000
"""The year 2000: receivers refuse calls before it, so one takes no other of its record with it."""

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
            # A call that was issued and is only about to wait counts as lost for this moment.
            lost, self._lost_told = self.lost - self._lost_told, self.lost
            if lost > 0:
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
        plan = group[0][0]
        tracer = None
        with _PACK:
            tracer = providers.record_tracer()
        if tracer is None:
            self.calls_refused += len(group)
            return
        try:
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
        _learn(plan, group)
        emit_record(tracer, f"predictions {plan.model}", attributes, start_ns=start_ns)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                # Now, and not when the first second is over: a shorter process ends before, and
                # at its end OpenTelemetry can no longer find out what its resource is.
                with _PACK:
                    providers.record_tracer()
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


def _learn(plan: PredictionPlan, group: list[Row]) -> None:
    scores = (row[7].score for row in group if row[7] is not None)
    confidences = (plan.confidence(score) for score in scores)
    plan.thresholds.learn(
        (row[5] for row in group), (each for each in confidences if each is not None)
    )


class _Group:
    """Calls of one record, and what limits them."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.weight = 0
        self.slices: set[str] = set()
        self.features: set[str] = set()

    def takes(self, row: Row, weight: int) -> bool:
        """Whether one more call has room; the first always has."""
        return not self.rows or (
            len(self.rows) < FLUSH_CALLS
            and self.weight + weight <= FLUSH_ROWS
            and _fit(self.slices, row[8], semconv.SLICE_KEYS_MAX)
            and _fit(self.features, row[9], FEATURES_MAX)
        )

    def add(self, row: Row, weight: int) -> None:
        """Take a call."""
        self.rows.append(row)
        self.weight += weight
        self.slices.update(row[8])
        self.features.update(row[9])


def _fit(known: set[str], more: dict[str, object], most: int) -> bool:
    # Most calls of a model have the names of the calls before them.
    return more.keys() <= known or len(known.union(more)) <= most


def _grouped(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Calls of one record: of one plan, all or none with ids of their rows, within every limit."""
    groups: dict[tuple[int, bool, bool], _Group] = {}
    for row in rows:
        count = row_count(row)
        if not count:  # a batch call of nothing
            continue
        weight = count + _set_bytes(row) // SET_BYTES_OF_A_ROW
        key = (id(row[0]), has_row_ids(row), row[4] < EARLIEST_NS)
        group = groups.setdefault(key, _Group())
        if not group.takes(row, weight):
            yield group.rows
            group = groups[key] = _Group()
        group.add(row, weight)
    yield from (group.rows for group in groups.values())


def _set_bytes(row: Row) -> int:
    output = row[7]
    if output is None or output.offsets is None or output.classes is None:
        return 0
    return sum(4 + len(entry.encode()) for entry in output.classes if entry is not None)


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
