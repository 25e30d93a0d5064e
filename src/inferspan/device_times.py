"""Times that a device measures itself: read once it has come so far, and never waited for.

A call on an accelerator returns before the device has done its part. Marks are set in what the
device is to do; what lies between two of them becomes a stage of the prediction when both are
passed: at the next such call, at a flush, or as the process ends.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol, Self

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext

from inferspan import semconv
from inferspan.attributes import text
from inferspan.containment import Contained, errors
from inferspan.delivery import before_flush
from inferspan.providers import prediction_tracer
from inferspan.sampling import SPAN_KEY

STAGE: Final = "device"
WAITING_MAX: Final = 1_024
"""Pairs of marks that the device has yet to pass; of more, the oldest are dropped and said."""
_READ: Final = Contained("read what a device took")


class Mark(Protocol):
    """A place in what a device does, as `torch.cuda.Event`."""

    def query(self) -> bool:
        """Whether the device has passed it; answers at once."""

    def elapsed_time(self, end: Self, /) -> float:
        """Milliseconds from it to another; both are passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """What a device does of a prediction."""

    prediction: SpanContext
    model: str
    start_ns: int
    """When the first mark was set, Unix time: the device comes to it later, or not at all."""
    begun: Mark
    ended: Mark


class _Waiting:
    def __init__(self) -> None:
        # Reentrant: a signal handler may call a model while its thread does.
        self.lock = threading.RLock()
        self.intervals: deque[Interval] = deque()
        self.registered = False


_waiting: Final = _Waiting()


def later(interval: Interval) -> None:
    """Keep an interval until the device has passed it; write those that it has passed by now."""
    with _waiting.lock:
        if not _waiting.registered:
            _waiting.registered = True
            before_flush(settle)
        _waiting.intervals.append(interval)
        full = len(_waiting.intervals) > WAITING_MAX
        if full:
            _waiting.intervals.popleft()
    if full:
        errors.warn_sometimes(
            "device times",
            f"inferspan: a device is more than {WAITING_MAX} calls behind; how long it took for "
            "the oldest of them is not said",
        )
    settle()


def settle() -> None:
    """Write the stages of all intervals that the device has passed, in the order of the calls."""
    while True:
        with _waiting.lock:
            if not _waiting.intervals:
                return
            interval = _waiting.intervals[0]
            passed = None
            with _READ:  # what cannot be asked is let go
                passed = interval.ended.query()
            if passed is False:
                return
            _waiting.intervals.popleft()
        if passed:
            with _READ:
                _write(interval)


def _write(interval: Interval) -> None:
    seconds = interval.begun.elapsed_time(interval.ended) / 1_000
    span = prediction_tracer().start_span(
        text(f"{STAGE} {interval.model}"),
        Context({SPAN_KEY: NonRecordingSpan(interval.prediction)}),
        start_time=interval.start_ns,
        attributes={semconv.STAGE_NAME: STAGE, semconv.PHASE_COMPUTE_DURATION: seconds},
    )
    span.end(interval.start_ns + int(seconds * 1e9))


def _after_fork() -> None:
    # The marks are the parent's.
    _waiting.lock = threading.RLock()
    _waiting.intervals.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
