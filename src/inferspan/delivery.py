"""What became of spans on their way out: counted, and said in one line where nobody takes them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from inferspan.containment import errors


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
    """Passes spans on to an exporter and counts what became of them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.sent = 0
        self.failed = 0
        self._failed_told = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export and count; one exporter thread at a time."""
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        else:
            self.failed += len(spans)
        return result

    def failed_since_asked(self) -> bool:
        """Whether spans were lost since this was asked before."""
        told, self._failed_told = self._failed_told, self.failed
        return self.failed != told

    def shutdown(self) -> None:
        """End the exporter's connections."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait for the exporter itself."""
        return self._exporter.force_flush(timeout_millis)
