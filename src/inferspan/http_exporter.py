"""The OTLP/HTTP exporter of ours; a module of its own because it loads `requests`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import requests
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from inferspan.exporters import warn_undelivered
from inferspan.span_queue import Answer

_BUSY: Final = (429, 503)
"""Answers of a receiver that asks to be tried again; it is there."""
_LATER: Final = (*_BUSY, 502, 504)
_TOO_LARGE: Final = 413


class TellingSession(requests.Session):
    """An HTTP session that says in our words that nobody answers, before OpenTelemetry retries."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Answer | None = None
        """What became of the last request."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send, and tell; what is raised or answered passes through."""
        try:
            response = super().send(request, **options)
        except requests.RequestException as error:
            self.answer = Answer.LATER
            warn_undelivered(str(request.url), type(error).__name__)
            raise
        self.answer = _answer(response.status_code)
        if response.status_code >= 400 and response.status_code not in (*_BUSY, _TOO_LARGE):
            warn_undelivered(str(request.url), f"HTTP {response.status_code}")
        return response


class HttpSpanExporter(OTLPSpanExporter):
    """An exporter that knows why its last request failed.

    Args:
        url: where to; None = where OTEL_* says.
    """

    def __init__(self, url: str | None) -> None:
        self._told = TellingSession()
        super().__init__(endpoint=url, session=self._told)

    @property
    def answer(self) -> Answer | None:
        """What the receiver made of the last request; None where none was sent."""
        return self._told.answer

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; a request that is too large for any receiver is not sent."""
        self._told.answer = None
        return super().export(spans)


def _answer(status: int) -> Answer:
    if status < 400:
        return Answer.TAKEN
    if status == _TOO_LARGE:
        return Answer.TOO_LARGE
    return Answer.LATER if status in _LATER else Answer.REFUSED
