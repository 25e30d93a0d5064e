"""Spans on their way out: a bounded queue, the thread that empties it, and what became of each.

Every span that is handed over ends in one of three counts: sent, failed, or pushed out by newer
ones. What a receiver asks to be sent later, or nobody takes, goes back to the head of its queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, detach, set_value
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from inferspan import semconv
from inferspan.answers import Answer, Rejection
from inferspan.containment import Contained, errors
from inferspan.leaving import LEAVE_SECONDS, leave
from inferspan.span_weights import WAITING_BYTES_MAX, beyond, rows_of, too_large

QUEUE_SPANS_MAX: Final = 16_384
"""Spans that wait for export: a burst of predictions must not push out its own beginning."""
BATCH_SPANS: Final = 128
"""Spans of one request."""
DELAY_SECONDS: Final = 5.0
"""How long a span waits at most while fewer than a request's spans do."""
_LAST_TRIES_SECONDS: Final = 0.5

_EXPORT: Final = "export spans"
_END: Final = Contained("end an exporter")


class SpanQueue(SpanProcessor):
    """A bounded queue of ended spans in front of one exporter.

    Args:
        exporter: gets the spans; one that has an attribute `answer` (`Answer` or None) tells by it
            why a request failed, and by `rejection` (`Rejection` or None) what was left out of one
            that succeeded.
        what: what the spans are, for messages and counts: `predictions`.
        remake: makes the exporter of a forked child, which must not share the parent's connection.
        size: spans that may wait at a time; more push out the oldest.
        batch_size: spans of one request, at most `size`.
        delay: seconds that a span waits at most while fewer than `batch_size` do.
        keeps: whether what nobody takes waits for another try; else it failed.
        bytes_max: memory that may wait, estimated after each try that failed; more pushes out the
            oldest, too.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        what: str = "spans",
        *,
        remake: Callable[[], SpanExporter] | None = None,
        size: int = QUEUE_SPANS_MAX,
        batch_size: int = BATCH_SPANS,
        delay: float = DELAY_SECONDS,
        keeps: bool = True,
        bytes_max: int = WAITING_BYTES_MAX,
    ) -> None:
        self.what = what
        self.size = size
        self._exporter = exporter
        self._remake = remake
        self._inherited: SpanExporter | None = None
        self._batch_size = min(batch_size, size)
        self._delay = delay
        self._keeps = keeps
        self._bytes_max = bytes_max
        self._lost_told = 0
        self.closed = False
        self._empty()

    def _empty(self) -> None:
        # Reentrant: a finalizer or signal handler may end a span while its own thread ends one.
        self._lock = threading.RLock()
        self._settled = threading.Condition(self._lock)
        self._waiting: deque[ReadableSpan] = deque()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._woken = False
        self._worker: threading.Thread | None = None
        self._leaving = False
        self._deferred = 0
        self.handed = 0
        self.sent = 0
        self.failed = 0
        self.rejected = Rejection(0, "")
        """Of the failed, what receivers left out of requests that they took; why, the latest."""
        self.pushed_out = 0

    # --- the caller's thread ---

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a sampled span."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            self.handed += 1
            if self.closed:
                self.failed += 1
                return
            waiting = self._waiting
            if len(waiting) >= self.size:
                waiting.popleft()
                self.pushed_out += 1
            waiting.append(span)
            wakes = len(waiting) >= self._batch_size and not self._woken
            if wakes:
                self._woken = True
        if self._worker is None:
            self._start()
        if wakes:
            self._wake.put(False)

    @property
    def unsettled(self) -> int:
        """Spans that wait, and those that are on their way."""
        return self.handed - self.sent - self.failed - self.pushed_out

    def has_room(self) -> bool:
        """Whether one more span can wait without pushing out another."""
        return self.unsettled < self.size

    def counts(self) -> dict[str, int]:
        """What became of the spans: handed = sent + failed + pushed_out + waiting."""
        with self._lock:
            return {
                "handed": self.handed,
                "sent": self.sent,
                "failed": self.failed,
                "pushed_out": self.pushed_out,
                "waiting": self.unsettled,
            }

    def lost_since_asked(self) -> bool:
        """Whether spans failed or were pushed out since this was asked before."""
        lost = self.failed + self.pushed_out
        told, self._lost_told = self._lost_told, lost
        return lost != told

    def force_flush(self, timeout_millis: int | None = 30_000) -> bool:
        """Export all that waits.

        Returns:
            Whether nothing of it waits any more, in time. False as soon as the receiver cannot
            take it now.
        """
        with self._settled:
            handed, deferred = self.handed, self._deferred
            if not self.unsettled:
                return True
            self.hurry()
            self._settled.wait_for(
                lambda: self._settled_since(handed) or self._deferred != deferred,
                None if timeout_millis is None else timeout_millis / 1000,
            )
            return self._settled_since(handed)

    def hurry(self) -> None:
        """Export what waits now, without waiting for it."""
        if self.unsettled:
            self._wake.put(True)

    def _settled_since(self, handed: int) -> bool:
        return self.handed - self.unsettled >= handed

    # --- the end ---

    def shutdown(self) -> None:
        """Export what waits, for `LEAVE_SECONDS` at most; what is left then failed."""
        leave([self], LEAVE_SECONDS)

    def begin_leaving(self) -> None:
        """Ask the thread to export what waits, and to end."""
        self._leaving = True
        self._wake.put(True)

    def join(self, seconds: float) -> None:
        """Wait for the thread's end; where none could be started, export once, here."""
        if self._worker is not None:
            self._worker.join(max(0.0, seconds))
        elif self.unsettled and seconds > 0:
            self._export_waiting(everything=True)

    def go_on(self) -> bool:
        """Take more, though the thread has ended; False where it has not, or spans are left."""
        with self._lock:
            if self.unsettled or (self._worker is not None and self._worker.is_alive()):
                return False
            self._worker, self._leaving = None, False
        return True

    def close(self) -> int:
        """Take no more, stop trying, and answer how many spans were left."""
        with self._settled:
            if self.closed:
                return 0
            self.closed = True
            left = self.unsettled
            self.failed += left
            self._waiting.clear()
            self._settled.notify_all()
        with _END:
            self._exporter.shutdown()
        return left

    def after_fork(self) -> None:
        """In a forked child: what waited is the parent's to send, and so is its connection."""
        self._lost_told = 0
        self._empty()
        if self._remake is not None and not self.closed:
            # Kept, not ended: its connection is the parent's, and a finalizer might say goodbye.
            self._inherited = self._inherited or self._exporter
            self._exporter = self._remake()

    # --- the thread ---

    def _start(self) -> None:
        with self._lock:
            if self._worker is not None:
                return
            worker = threading.Thread(
                target=self._run, args=(self._wake,), name=f"inferspan-{self.what}", daemon=True
            )
            try:
                worker.start()
            except RuntimeError as error:  # the interpreter is ending
                errors.report(_EXPORT, error)
            else:
                self._worker = worker

    def _run(self, wake: queue.SimpleQueue[bool]) -> None:
        taken = True
        while not self.closed:
            everything = self._sleep(wake, taken)
            taken = self._export_waiting(everything)
            if not taken:
                self._shed()
            if self._leaving and not self._waiting:
                return

    def _sleep(self, wake: queue.SimpleQueue[bool], taken: bool) -> bool:
        """Wait for a reason to export; answer whether small requests are wanted too."""
        if self._leaving and taken:
            return True
        seconds = _LAST_TRIES_SECONDS if self._leaving else self._delay
        deadline = time.monotonic() + seconds
        while True:
            try:
                everything = wake.get(timeout=max(0.0, deadline - time.monotonic()))
                while not wake.empty():
                    everything |= wake.get_nowait()
            except queue.Empty:
                self._woken = False
                return True
            # Where the receiver took nothing, a full queue is no reason to ask it again at once.
            if everything or taken:
                self._woken = False
                return everything

    def _export_waiting(self, everything: bool) -> bool:
        """Export until little waits; answer whether the receiver took, or refused, all of it."""
        while not self.closed:
            with self._lock:
                count = min(len(self._waiting), self._batch_size)
                if not count or (count < self._batch_size and not everything):
                    return True
                batch = self._next_batch(count)
            if not self._deliver(batch):
                return False
        return False

    def _next_batch(self, count_max: int) -> list[ReadableSpan]:
        waiting = self._waiting
        batch = [waiting.popleft()]
        rows = rows_of(batch[0])
        while (
            len(batch) < count_max
            and (rows := rows + rows_of(waiting[0])) <= semconv.REQUEST_ROWS_MAX
        ):
            batch.append(waiting.popleft())
        return batch

    def _deliver(self, batch: list[ReadableSpan]) -> bool:
        """Export a batch, in halves where it is too large; False = it must wait."""
        parts = [batch]
        while parts:
            part = parts.pop()
            answer = self._export(part)
            if answer is Answer.TOO_LARGE and len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
            elif answer is Answer.LATER and self._keeps:
                self._put_back(part + [span for later in reversed(parts) for span in later])
                return False
            else:
                if answer is Answer.TOO_LARGE:
                    self._say_too_large()
                self._settle(len(part), sent=self._taken(part) if answer is Answer.TAKEN else 0)
        return True

    def _say_too_large(self) -> None:
        errors.warn_sometimes(
            f"too large: {self.what}",
            f"inferspan: one span of the {self.what} is larger than its receiver takes, and is "
            "lost; record less of a call (capture='shapes', fewer features), or fewer rows at once",
        )

    def _taken(self, spans: Sequence[ReadableSpan]) -> int:
        rejection: Rejection | None = getattr(self._exporter, "rejection", None)
        if rejection is None:
            return len(spans)
        # A receiver may count rows of a slim record, of which a span holds many.
        rejected = min(rejection.spans, len(spans))
        if rejected:
            self.rejected = Rejection(self.rejected.spans + rejected, rejection.message)
        return len(spans) - rejected

    def _export(self, spans: Sequence[ReadableSpan]) -> Answer:
        exporter = self._exporter
        # A traced HTTP client must not make spans of our own requests.
        token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
        try:
            if exporter.export(spans) is SpanExportResult.SUCCESS:
                return Answer.TAKEN
        except Exception as error:
            errors.report(_EXPORT, error)
            return Answer.REFUSED
        finally:
            detach(token)
        answer: Answer | None = getattr(exporter, "answer", None)
        if answer is not None:
            return answer
        return Answer.TOO_LARGE if len(spans) > 1 and too_large(spans) else Answer.REFUSED

    def _put_back(self, spans: list[ReadableSpan]) -> None:
        with self._settled:
            if not self.closed:
                too_many = max(0, len(self._waiting) + len(spans) - self.size)
                self.pushed_out += too_many
                self._waiting.extendleft(reversed(spans[too_many:]))
            self._deferred += 1
            self._settled.notify_all()

    def _shed(self) -> None:
        """Push out the oldest of what holds too many bytes while nobody takes it."""
        with self._lock:
            waiting, left = list(self._waiting), self.pushed_out
        left += beyond(waiting, self._bytes_max)  # newer ones may push out some of them meanwhile
        with self._settled:
            while self.pushed_out < left and self._waiting:
                self._waiting.popleft()
                self.pushed_out += 1

    def _settle(self, count: int, *, sent: int) -> None:
        with self._settled:
            if self.closed:
                return
            self.sent += sent
            self.failed += count - sent
            self._settled.notify_all()
