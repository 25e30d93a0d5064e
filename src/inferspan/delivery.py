"""What became of spans on their way out: counted, and said in one line where nobody takes them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from inferspan import semconv
from inferspan.containment import Contained, errors

QUEUE_SPANS_MAX: Final = 16_384
"""Spans that wait for export: a burst of predictions must not push out its own beginning."""

_MEASURE: Final = Contained("measure a request")


def without_credentials(url: str) -> str:
    """A URL that may be logged: user name and password left out."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def undelivered(url: str) -> str:
    """Say that nobody takes spans at `url`, and what the likely causes are."""
    return (
        f"could not deliver to {without_credentials(url)}: is `inferspan serve` running there? "
        "OTLP over HTTP is port 4318; 4317 is gRPC, 4319 the API"
    )


def warn_undelivered(url: str, why: str) -> None:
    """Log it, at most once a minute for each URL."""
    place = f"deliver to {without_credentials(url)}"
    errors.warn_sometimes(place, f"inferspan: {undelivered(url)} ({why})")


class Tally(SpanExporter):
    """Passes spans on to an exporter and counts what became of them.

    Args:
        exporter: gets the spans; a request that is too large for any receiver comes in halves.
        queue_size: spans that may wait for it at a time; more push out the oldest.
    """

    def __init__(self, exporter: SpanExporter, queue_size: int = QUEUE_SPANS_MAX) -> None:
        self.queue_size = queue_size
        self._exporter = exporter
        # Reentrant: a finalizer that ends a span may run while its own thread ends one.
        self._lock = threading.RLock()
        self._handed = 0
        self.sent = 0
        self.failed = 0
        self._pushed_out = 0
        self._lost_told = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export and count; one exporter thread at a time."""
        try:
            result = self._exporter.export(spans)
        except BaseException:
            self.failed += len(spans)
            raise
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        elif len(spans) > 1 and _too_large(spans):
            half = len(spans) // 2
            results = [self.export(spans[:half]), self.export(spans[half:])]
            return max(results, key=lambda each: each is SpanExportResult.FAILURE)
        else:
            self.failed += len(spans)
        return result

    def handed(self) -> None:
        """One more span waits for export."""
        with self._lock:
            self._handed += 1

    @property
    def handed_so_far(self) -> int:
        """Spans that were put into the queue since the process started."""
        return self._handed

    def has_room(self) -> bool:
        """Whether one more span can wait without pushing out another."""
        gone = self.sent + self.failed + self._pushed_out
        return self._handed - gone < self.queue_size

    def drained(self, handed: int) -> None:
        """The first `handed` spans no longer wait: what did not come out was pushed out."""
        missing = handed - self.sent - self.failed
        self._pushed_out = max(self._pushed_out, missing)

    def forget_waiting(self) -> None:
        """In a forked child: the queue is empty, and what waited is the parent's to send."""
        self._lock = threading.RLock()
        self._handed = self.sent + self.failed + self._pushed_out

    def lost_since_asked(self) -> bool:
        """Whether spans failed or were pushed out since this was asked before."""
        lost = self.failed + self._pushed_out
        told, self._lost_told = self._lost_told, lost
        return lost != told

    def shutdown(self) -> None:
        """End the exporter's connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for the exporter itself."""
        return self._exporter.force_flush(timeout_millis)


class CountingProcessor(BatchSpanProcessor):
    """A batch processor that knows how many spans its queue lost.

    Args:
        tally: its exporter.
        batch_size: spans of one request; None = as `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` says.
    """

    def __init__(self, tally: Tally, batch_size: int | None) -> None:
        super().__init__(tally, max_queue_size=tally.queue_size, max_export_batch_size=batch_size)
        self._tally = tally

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span, and count it."""
        super().on_end(span)
        if span.context is not None and span.context.trace_flags.sampled:
            self._tally.handed()

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Export all that waits."""
        handed = self._tally.handed_so_far
        done = super().force_flush(timeout_millis)
        if done:
            self._tally.drained(handed)
        return done


def _too_large(spans: Sequence[ReadableSpan]) -> bool:
    with _MEASURE:
        return encode_spans(spans).ByteSize() > semconv.REQUEST_BYTES_MAX
    return False
