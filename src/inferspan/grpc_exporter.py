"""The OTLP/gRPC exporter of ours; a module of its own because it loads `grpc`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from opentelemetry.exporter.otlp.proto.grpc.exporter import OTLPExporterMixin
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
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

_THEIR_LOGGER: Final = OTLPExporterMixin.__module__
_DETAILS_KEY: Final = "grpc-status-details-bin"
MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""What a gRPC server takes unless it was told otherwise; it refuses more as it refuses any load."""
_LATER: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.CANCELLED,
)
_BUSY: Final = grpc.StatusCode.RESOURCE_EXHAUSTED
_NOBODY: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class _Teller(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    """Notes what became of each request, and says in our words that nobody answers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answer: Answer | None = None
        self.rejection: Rejection | None = None

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Send, and tell; what is raised or answered passes through."""
        call = continuation(client_call_details, request)
        code = call.code()
        self.answer = _answer(code, request.ByteSize())
        why, message = f"gRPC {code.name}", call.details() or ""
        if self.answer is Answer.TAKEN:
            self.rejection = rejection(self._url, call.result())
        elif self.answer is Answer.LATER and (code is _BUSY or _says_when(call)):
            warn_busy(self._url, why, message)
        elif self.answer is Answer.REFUSED or code in _NOBODY:
            warn_undelivered(self._url, why, message, grpc=True)
        return call


class GrpcSpanExporter(OTLPSpanExporter):
    """An exporter that knows why its last request failed; it goes where OTEL_* says."""

    def __init__(self) -> None:
        self._teller: _Teller | None = None
        super().__init__()

    @property
    def answer(self) -> Answer | None:
        """What the receiver made of the last request; None where none was sent."""
        return None if self._teller is None else self._teller.answer

    @property
    def rejection(self) -> Rejection | None:
        """What the receiver left out of the last request, which it took."""
        return None if self._teller is None else self._teller.rejection

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export, and remember why it failed."""
        if self._teller is not None:
            self._teller.answer = self._teller.rejection = None
        with told_once(_THEIR_LOGGER):
            return super().export(spans)

    def _initialize_channel_and_stub(self) -> None:
        # OpenTelemetry has no place for an interceptor, and makes a new channel after an outage.
        super()._initialize_channel_and_stub()  # type: ignore[no-untyped-call]
        if self._teller is None:
            self._teller = _Teller(f"{'http' if self._insecure else 'https'}://{self._endpoint}")
        self._client = self._stub(grpc.intercept_channel(self._channel, self._teller))


def _answer(code: grpc.StatusCode, request_bytes: int) -> Answer:
    if code is grpc.StatusCode.OK:
        return Answer.TAKEN
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and request_bytes > MESSAGE_BYTES:
        return Answer.TOO_LARGE
    return Answer.LATER if code in _LATER else Answer.REFUSED


def _says_when(call: Any) -> bool:
    """Whether a receiver is there and asks to be tried again; nobody there has no details."""
    return any(key == _DETAILS_KEY for key, _ in call.trailing_metadata() or ())
