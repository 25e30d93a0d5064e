"""What this process sends: its queues, what became of their spans, and how they end with it."""

from __future__ import annotations

import atexit
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.export import SpanExporter

from inferspan.containment import Contained

if TYPE_CHECKING:
    # With all that reads receivers' answers, it is loaded where the first queue is made: not by
    # whoever imports inferspan, and has a provider and no labels.
    from inferspan.span_queue import SpanQueue

RECORDS_WAITING_MAX: Final = 256
"""Slim records, of up to 2,048 calls each, that wait for export: some 30 MB."""
RECORDS_PER_REQUEST: Final = 7
"""Slim records of one request: of 65,536 rows each at most, and a receiver takes 500,000."""

_QUEUE_VARIABLE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
_BATCH_VARIABLE: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
_DELAY_VARIABLE: Final = "OTEL_BSP_SCHEDULE_DELAY"
_NOTHING: Final = {"handed": 0, "sent": 0, "failed": 0, "pushed_out": 0, "waiting": 0}
_GATHER: Final = Contained("hand over what waits")
_COUNT: Final = Contained("count what was lost")
_END: Final = Contained("end a provider")


class _Registry:
    """The queues of this process."""

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may send a label while its thread does.
        self.lock = threading.RLock()
        self.queues: list[SpanQueue] = []
        self.ended: dict[str, Counter[str]] = {}
        """Counts of queues that were closed, by what they held."""
        self.sources: list[Callable[[], object]] = []
        self.losses: list[tuple[str, Callable[[], int]]] = []
        """What counts losses before a queue, with what is lost there."""
        self.ends: list[Callable[[], object]] = []
        """Called after the queues were emptied at the end of the process."""
        self.watched = False


_registry: Final = _Registry()


def exporting(
    what: str,
    make: Callable[[], SpanExporter],
    size_max: int | None = None,
    batch_max: int | None = None,
) -> SpanQueue:
    """A new queue in front of a new exporter, counted, and emptied when the process ends.

    Args:
        what: what the spans are, for messages and counts: `predictions`.
        make: makes its exporter, here and again in each forked child.
        size_max: spans that wait at most; `OTEL_BSP_MAX_QUEUE_SIZE` lowers it, and replaces the
            default.
        batch_max: spans of one request; `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` likewise.
    """
    from inferspan.span_queue import BATCH_SPANS, DELAY_SECONDS, QUEUE_SPANS_MAX, SpanQueue

    size = _number(_QUEUE_VARIABLE, QUEUE_SPANS_MAX)
    batch = _number(_BATCH_VARIABLE, BATCH_SPANS)
    return _register(
        SpanQueue(
            make(),
            what,
            remake=make,
            size=size if size_max is None else min(size, size_max),
            batch_size=batch if batch_max is None else min(batch, batch_max),
            delay=_number(_DELAY_VARIABLE, int(DELAY_SECONDS * 1000)) / 1000,
        )
    )


def _number(variable: str, otherwise: int) -> int:
    told = os.environ.get(variable, "")
    return int(told) if told.isdecimal() and int(told) > 0 else otherwise


def _register(spans: SpanQueue) -> SpanQueue:
    with _registry.lock:
        for closed in [known for known in _registry.queues if known.closed]:
            _registry.queues.remove(closed)
            _registry.ended.setdefault(closed.what, Counter()).update(closed.counts())
        _registry.queues.append(spans)
        if not _registry.watched:
            _registry.watched = True
            _watch_the_end()
    return spans


def _watch_the_end() -> None:
    # Here, because importing inferspan need not wait for it.
    from multiprocessing.process import parent_process
    from multiprocessing.util import Finalize, register_after_fork

    def watch_child(_: object = None) -> None:
        Finalize(None, leave_all, exitpriority=0)

    # Before what others registered earlier, such as multiprocessing, which waits for children.
    atexit.register(leave_all, last=False)
    # Children of multiprocessing end by `os._exit`, without `atexit`.
    register_after_fork(_registry, watch_child)
    if parent_process() is not None:
        watch_child()


def queues() -> list[SpanQueue]:
    """The registered queues."""
    with _registry.lock:
        return list(_registry.queues)


def before_flush(hand_over: Callable[[], object]) -> None:
    """Have what waits elsewhere handed to a queue before a flush, and before the process ends."""
    _registry.sources.append(hand_over)


def count_losses(what: str, lost: Callable[[], int]) -> None:
    """Have `delivery_counts` tell of predictions that were lost before they reached a queue.

    Args:
        what: in whose counts they stand as `unrecorded`: `records`, `probabilities`.
        lost: how many they are so far, 0 or more; called from any thread.
    """
    _registry.losses.append((what, lost))


def at_end(end: Callable[[], object]) -> None:
    """Have `end` called once the process ends and its queues are empty."""
    _registry.ends.append(end)


def gather() -> None:
    """Have everything queued that waits elsewhere."""
    for hand_over in _registry.sources:
        with _GATHER:
            hand_over()


def delivery_counts() -> dict[str, dict[str, int]]:
    """What became of what this process emitted, since it started or was forked.

    Returns:
        By `predictions`, `labels` and `records`: how many spans were `handed` to the queue, and of
        these `sent` (the receiver took them), `failed` (it refused them, or left them out of a
        request that it took, or they were left at the end), `pushed_out` (by newer ones, because
        the queue was full) and `waiting`. Beside them, under `records`, `unrecorded`: predictions
        (not spans) that left no slim record, because more came than could be packed; under
        `probabilities`, those whose record is there, but lacks its probabilities. Only what
        inferspan's own exporters carry is counted, not what goes through your own TracerProvider.
    """
    with _registry.lock:
        counted = {what: Counter(counts) for what, counts in _registry.ended.items()}
        for spans in _registry.queues:
            counted.setdefault(spans.what, Counter()).update(spans.counts())
    for what, lost in _registry.losses:
        with _COUNT:
            unrecorded = lost()
            if unrecorded or what in counted:
                counted.setdefault(what, Counter(_NOTHING)).update(unrecorded=unrecorded)
    return {what: dict(counts) for what, counts in sorted(counted.items())}


def leave_all(*, last: bool = True) -> None:
    """At the end of the process: deliver what waits, in one time for everything.

    Args:
        last: whether nothing comes any more; else queues that were emptied go on.
    """
    gather()
    if waiting := queues():
        from inferspan.leaving import LEAVE_SECONDS, leave

        leave(waiting, LEAVE_SECONDS, last=last)
    if last:
        ends, _registry.ends = _registry.ends, []
        for end in ends:
            with _END:
                end()


def after_fork() -> None:
    """In a forked child: a thread that it does not have may have held the lock."""
    _registry.lock = threading.RLock()
    _registry.ended.clear()
    for spans in _registry.queues:
        spans.after_fork()


# Handlers that others registered before us end after this; what was registered since, by `atexit`
# in a handler, is never called.
atexit.register(leave_all)
