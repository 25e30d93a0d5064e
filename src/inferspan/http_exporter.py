"""The OTLP/HTTP exporter of ours; a module of its own because it loads `requests`."""

from __future__ import annotations

# `requests` imports it at each request, which for the first would be in a thread of ours: a child
# that is forked while a thread imports waits for that import for ever.
import netrc  # noqa: F401
from collections.abc import Mapping, Sequence
from typing import Any, Final

import requests
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from inferspan.answers import (
    Answer,
    Rejection,
    rejection,
    told_once,
    warn_busy,
    warn_undelivered,
)

_BUSY: Final = (429, 503)
"""Answers of a receiver that asks to be tried again; it is there."""
_LATER: Final = (*_BUSY, 502, 504)
_TOO_LARGE: Final = 413
_PROTOBUF: Final = "application/x-protobuf"
_THEIR_LOGGER: Final = OTLPSpanExporter.__module__
_ANSWER_BYTES_MAX: Final = 64 * 1024
"""Bytes of an answer that are read, after decompression; one that says more is not understood."""


class TellingSession(requests.Session):
    """An HTTP session that says in our words that nobody answers, before OpenTelemetry retries.

    Args:
        own: headers of each request.
        withheld: names of headers that no request has unless they are `own`.
    """

    def __init__(self, own: Mapping[str, str], withheld: frozenset[str]) -> None:
        super().__init__()
        self._own = own
        self._withheld = withheld
        self.answer: Answer | None = None
        """What became of the last request."""
        self.rejection: Rejection | None = None
        """What its receiver left out of it."""

    def send(self, request: Any, **options: Any) -> Any:
        """Send, and tell; what is raised or answered passes through."""
        # Here, because OpenTelemetry adds those of its variables whatever it is given.
        for name in self._withheld:
            request.headers.pop(name, None)
        request.headers.update(self._own)
        try:
            # What an answer holds is read below: that it cannot be read makes it no other answer.
            response = super().send(request, **{**options, "stream": True})
        except requests.RequestException as error:
            self.answer = Answer.LATER
            warn_undelivered(str(request.url), type(error).__name__)
            raise
        self.answer = _answer(response.status_code)
        self._tell(str(request.url), response, _read(response))
        return response

    def _tell(self, url: str, response: requests.Response, body: bytes) -> None:
        why = f"HTTP {response.status_code}"
        if self.answer is Answer.TAKEN:
            self.rejection = rejection(url, _success(body))
        elif response.status_code in _BUSY:
            warn_busy(url, why, _message(response, body))
        elif self.answer is not Answer.TOO_LARGE:
            warn_undelivered(url, why, _message(response, body))


class HttpSpanExporter(OTLPSpanExporter):
    """An exporter that knows why its last request failed.

    Args:
        url: where to; None = where OTEL_* says.
        own: headers of each request.
        withheld: names of headers of OTEL_* that are for another server.
    """

    def __init__(
        self,
        url: str | None,
        own: Mapping[str, str] | None = None,
        withheld: frozenset[str] = frozenset(),
    ) -> None:
        self._told = TellingSession(own or {}, withheld)
        super().__init__(endpoint=url, session=self._told)

    @property
    def answer(self) -> Answer | None:
        """What the receiver made of the last request; None where none was sent."""
        return self._told.answer

    @property
    def rejection(self) -> Rejection | None:
        """What the receiver left out of the last request, which it took."""
        return self._told.rejection

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export; a request that is too large for any receiver is not sent."""
        self._told.answer = self._told.rejection = None
        with told_once(_THEIR_LOGGER):
            result = super().export(spans)
        # OpenTelemetry follows no redirect, and holds the answer for a success.
        return result if self.answer is Answer.TAKEN else SpanExportResult.FAILURE


def _answer(status: int) -> Answer:
    if status < 300:
        return Answer.TAKEN
    if status == _TOO_LARGE:
        return Answer.TOO_LARGE
    return Answer.LATER if status in _LATER else Answer.REFUSED


def _read(response: requests.Response) -> bytes:
    """Read an answer to its end, so that its connection can be used again; never raises.

    Returns:
        Nothing where the answer is no good.
    """
    body = b""
    try:
        for part in response.iter_content(_ANSWER_BYTES_MAX):
            body += part
            if len(body) > _ANSWER_BYTES_MAX:
                return b""
    except requests.RequestException:
        return b""
    finally:
        response.close()
    return body


def _success(body: bytes) -> ExportTraceServiceResponse:
    try:
        return ExportTraceServiceResponse.FromString(body)
    except DecodeError:
        return ExportTraceServiceResponse()


def _message(response: requests.Response, body: bytes) -> str:
    """What a receiver says of an error, as OTLP lays it out or as plain text; else nothing."""
    kind = response.headers.get("Content-Type", "")
    if kind.startswith(_PROTOBUF):
        try:
            return str(Status.FromString(body).message)
        except DecodeError:
            return ""
    return body.decode("utf-8", "replace") if kind.startswith("text/plain") else ""
