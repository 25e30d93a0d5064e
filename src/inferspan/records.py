"""Slim records: what every prediction leaves behind, whatever is sampled.

The caller's thread appends one tuple to a bounded queue. A thread of ours takes them out, packs
those of a model into columns (`record_columns.py`) and hands them to a provider that samples all.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from inferspan import delivery, providers, record_probabilities, semconv, settings
from inferspan.capture import rows_of
from inferspan.containment import Contained, errors
from inferspan.features import FEATURES_MAX
from inferspan.outputs import Output
from inferspan.plans import PredictionPlan
from inferspan.record_columns import (
    DURATION,
    FEATURES,
    IDS,
    OUTPUT,
    PLAN,
    SLICES,
    START,
    Row,
    has_row_ids,
    pack,
)
from inferspan.record_weights import NUMBERS_OF_A_ROW, weight_of
from inferspan.settings import Settings
from inferspan.spans import emit_record

CALLS_WAITING_MAX: Final = 32_768
"""Calls that wait to be packed (some 35 MB); more push out the oldest, and are counted."""
ROWS_WAITING_MAX: Final = 1 << 20
"""Rows of batch calls that wait to be packed; a batch beyond that is left out, and counted."""
FLUSH_CALLS: Final = 2_048
"""Calls that wake the packing thread before its second is over, and calls of one record."""
FLUSH_ROWS: Final = 65_536
"""Rows of one record; a single batch has no more."""
PACK_SECONDS: Final = 1.0
"""How long a call waits at most to be packed."""
PROBABILITIES_WAITING_MAX: Final = 1 << 20
"""Probabilities of calls that wait to be packed (some 32 MB); a call beyond that leaves its record
without them, and is counted."""
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

    def _reset(self) -> None:
        self._waiting: deque[Row] = deque()
        # Both reentrant: a finalizer may end a prediction, or flush, while its own thread does.
        self._packing = threading.RLock()
        self._room = threading.RLock()
        # Held until it is to wake: no step of Python's, at which a signal's handler may raise,
        # lies between taking and giving back, as in an event, which then holds up everybody.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._thread: threading.Thread | None = None
        self._rows = 0
        self._probabilities = 0
        self._lost_told = 0
        self.lost = 0
        """Calls that left no record: pushed out by newer ones, without room, or not packable."""
        self.without_probabilities = 0
        """Calls whose record lacks its probabilities, because too many waited."""

    def append(self, row: Row) -> None:
        """Take one call; costs the caller a tuple."""
        rows = _room_of(row)
        if rows and not self._has_room(rows):
            return
        output = row[OUTPUT]
        if output is not None and output.probabilities is not None:
            row = self._with_what_is_kept(row, output)
        self.append_single(row)

    def append_single(self, row: Row) -> None:
        """Take one call of one prediction without columns, or one that has room already."""
        waiting = self._waiting
        if len(waiting) >= CALLS_WAITING_MAX:
            self._push_out()
        waiting.append(row)
        if len(waiting) >= FLUSH_CALLS and self._wake.locked():
            self._hurry()
        if self._thread is None and self._background:
            self._start()

    def flush(self) -> None:
        """Pack what waits, and hand it to the exporter's queue."""
        with self._packing:
            for group in _grouped(self._take()):
                with _PACK:
                    self._emit(group)
            lost, self._lost_told = self.lost - self._lost_told, self.lost
            if lost:
                providers.note_loss()
                errors.warn_sometimes(
                    "records lost",
                    f"inferspan: {lost:,} predictions left no slim record: more came than could be "
                    "packed. They count in no figure.",
                )

    def forget(self) -> None:
        """In a forked child: what waits is the parent's to send."""
        self._reset()

    def _hurry(self) -> None:
        """Wake the packing thread."""
        with suppress(RuntimeError):  # it is to wake already
            self._wake.release()

    def _push_out(self) -> None:
        with self._room:
            while len(self._waiting) >= CALLS_WAITING_MAX:
                self._leaves(self._waiting.popleft())
                self.lost += 1

    def _has_room(self, rows: int) -> bool:
        with self._room:
            if self._rows + rows > ROWS_WAITING_MAX and self._rows:
                self.lost += 1
                return False
            self._rows += rows
            if self._rows >= ROWS_WAITING_MAX // 2:
                self._hurry()
            return True

    def _with_what_is_kept(self, row: Row, output: Output) -> Row:
        """The call with its probabilities, or without where they are not for records."""
        task, most = row[PLAN].rule.task, settings.current().record_classes
        if record_probabilities.kept(output, task, most):
            count = len(output.probabilities or ())
            with self._room:
                if self._probabilities + count <= PROBABILITIES_WAITING_MAX:
                    self._probabilities += count
                    if self._probabilities >= PROBABILITIES_WAITING_MAX // 2:
                        self._hurry()
                    return row
                self.without_probabilities += 1
            errors.warn_sometimes(
                "probabilities lost",
                f"inferspan: {PROBABILITIES_WAITING_MAX:,} probabilities wait to be packed; slim "
                "records are left without them, and figures that need them are withheld.",
            )
        plan, context, own, ids, start_ns, duration_ns, error, _, slices, features = row
        without = record_probabilities.without(output)
        return plan, context, own, ids, start_ns, duration_ns, error, without, slices, features

    def _leaves(self, row: Row) -> None:
        """Give back the room of a call; `_room` is held."""
        self._rows -= _room_of(row)
        output = row[OUTPUT]
        if output is not None and output.probabilities is not None:
            self._probabilities -= len(output.probabilities)

    def _take(self) -> Iterator[Row]:
        # As many as there are now: others may append meanwhile, for ever.
        for _ in range(len(self._waiting)):
            try:
                row = self._waiting.popleft()
            except IndexError:
                return
            output = row[OUTPUT]
            if row[IDS] is not None or (output is not None and output.columnar):
                with self._room:
                    self._leaves(row)
            yield row

    def _lose(self, calls: int) -> None:
        with self._room:
            self.lost += calls

    def _emit(self, group: list[Row]) -> None:
        plan = group[0][PLAN]
        tracer = None
        with _PACK:
            tracer = providers.record_tracer()
        if tracer is None:
            self._lose(len(group))
            return
        try:
            attributes, start_ns = pack(group, settings.current().id_key)
        except BaseException as error:
            errors.contain("pack a slim record", error)
            self._emit_apart(group)
            return
        _learn(plan, group)
        # No clock is read here: a manual one of a test would tell the calls other times.
        end_ns = max(row[START] + row[DURATION] for row in group)
        times_ns = (start_ns, end_ns)
        emit_record(tracer, f"predictions {plan.model}", attributes, times_ns=times_ns)

    def _emit_apart(self, group: list[Row]) -> None:
        """Emit calls that cannot be packed together one by one, and of each what can be packed."""
        if len(group) > 1:
            # One call that cannot be packed takes no other with it.
            for row in group:
                self._emit([row])
        elif (less := _with_less(group[0])) is not None:
            self._emit([less])
        else:
            self._lose(1)

    def _start(self) -> None:
        with self._packing:
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
            wake.acquire(timeout=PACK_SECONDS)
            self.flush()


def _with_less(row: Row) -> Row | None:
    """A call without slices and features, or else without its answer; None where it has neither."""
    plan, context, own, ids, start_ns, duration_ns, error, output, slices, features = row
    if slices or features:
        return plan, context, own, ids, start_ns, duration_ns, error, output, {}, {}
    if output is not None or ids is not None:
        return plan, context, own, None, start_ns, duration_ns, error, None, {}, {}
    return None


def _room_of(row: Row) -> int:
    """Rows of a batch call, and as many more as its features weigh; 0 for a single prediction."""
    output = row[OUTPUT]
    if output is not None and output.rows is None and row[IDS] is None:
        return 0
    rows = rows_of(row[IDS], output) or 0
    return rows + rows * len(row[FEATURES]) // NUMBERS_OF_A_ROW


def _learn(plan: PredictionPlan, group: list[Row]) -> None:
    scores = (row[OUTPUT].score for row in group if row[OUTPUT] is not None)
    confidences = (plan.confidence(score) for score in scores)
    plan.thresholds.learn(
        (row[DURATION] for row in group), (each for each in confidences if each is not None)
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
            and _fit(self.slices, row[SLICES], semconv.SLICE_KEYS_MAX)
            and _fit(self.features, row[FEATURES], FEATURES_MAX)
        )

    def add(self, row: Row, weight: int) -> None:
        """Take a call."""
        self.rows.append(row)
        self.weight += weight
        self.slices.update(row[SLICES])
        self.features.update(row[FEATURES])


def _fit(known: set[str], more: dict[str, object], most: int) -> bool:
    # Most calls of a model have the names of the calls before them.
    return more.keys() <= known or len(known.union(more)) <= most


def _grouped(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Calls of one record: of one plan, all or none with ids of their rows, within every limit."""
    groups: dict[tuple[int, bool, bool], _Group] = {}
    for row in rows:
        weight = weight_of(row)
        if not weight:  # a batch call of nothing
            continue
        key = (id(row[PLAN]), has_row_ids(row), row[START] < EARLIEST_NS)
        group = groups.setdefault(key, _Group())
        if not group.takes(row, weight):
            yield group.rows
            group = groups[key] = _Group()
        group.add(row, weight)
    yield from (group.rows for group in groups.values())


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
delivery.count_losses("records", lambda: _buffer.lost)
delivery.count_losses("probabilities", lambda: _buffer.without_probabilities)
