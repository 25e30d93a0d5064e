"""The two kinds of OTLP export, whatever the transport: how each is addressed, read, answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from inferspan_collector.batches import Decoded, Refusal
from inferspan_collector.decode import decode_logs, decode_traces

Response = ExportTraceServiceResponse | ExportLogsServiceResponse
REJECTING: Final = ("predictions", "slim_records", "labels")
"""Signals whose refusal left a whole record out; others are warnings."""


class Decode(Protocol):
    """`decode_traces` or `decode_logs`."""

    def __call__(
        self, body: bytes, *, json: bool, received_ns: int, reserve: Callable[[int], None]
    ) -> Decoded:
        """Read a request's body; raises `MalformedRequest`, and what `reserve` raises."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of export: where it is addressed, how it is read and answered."""

    path: str
    """Of HTTP."""
    service: str
    """Of gRPC; the method is `Export`."""
    decode: Decode
    answer: Callable[[Decoded], Response]


def _answer_traces(decoded: Decoded) -> ExportTraceServiceResponse:
    answer = ExportTraceServiceResponse()
    if decoded.refused:
        answer.partial_success.rejected_spans = _rejected(decoded)
        answer.partial_success.error_message = _first_refusal(decoded.refused)
    return answer


def _answer_logs(decoded: Decoded) -> ExportLogsServiceResponse:
    answer = ExportLogsServiceResponse()
    if decoded.refused:
        answer.partial_success.rejected_log_records = _rejected(decoded)
        answer.partial_success.error_message = _first_refusal(decoded.refused)
    return answer


SIGNALS: Final = (
    Signal(
        "/v1/traces",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        decode_traces,
        _answer_traces,
    ),
    Signal(
        "/v1/logs",
        "opentelemetry.proto.collector.logs.v1.LogsService",
        decode_logs,
        _answer_logs,
    ),
)


def _rejected(decoded: Decoded) -> int:
    return sum(refusal.signal in REJECTING for refusal in decoded.refused)


def _first_refusal(refused: tuple[Refusal, ...]) -> str:
    others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"{refused[0].reason}: {refused[0].message}{others}"
