"""What both OTLP transports do with a request's content: decode, submit, count, answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from inferspan_collector.batches import Decoded, Refusal
from inferspan_collector.decode import decode_logs, decode_traces
from inferspan_collector.pipeline import Sink
from inferspan_collector.store.cells import Committed
from inferspan_collector.telemetry import (
    ACCEPTED,
    CLOCK_SKEWED,
    IGNORED,
    LABELS,
    REFUSED,
    Telemetry,
)

Response = ExportTraceServiceResponse | ExportLogsServiceResponse
REJECTING: Final = ("predictions", "labels")
"""Signals whose refusal left a whole record out; others are warnings."""


class Decode(Protocol):
    """`decode_traces` or `decode_logs`."""

    def __call__(self, body: bytes, *, json: bool, received_ns: int) -> Decoded:
        """Read a request's body; raises `MalformedRequest`."""


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


def submitted(decoded: Decoded, sink: Sink, transport: str) -> Future[Committed] | None:
    """Hand a request on; None where nothing in it is for the store.

    Raises:
        Overloaded: the sender should come again.
        Unstorable: it never can be stored.
    """
    if not len(decoded.predictions) and not len(decoded.labels):
        return None
    return sink.submit(decoded, transport)


def count(decoded: Decoded, telemetry: Telemetry, transport: str) -> None:
    """Count what a request held, once it is committed: a retry must not count it twice."""
    telemetry.add(ACCEPTED, len(decoded.predictions), signal="predictions", transport=transport)
    telemetry.add(ACCEPTED, len(decoded.labels), signal="labels", transport=transport)
    telemetry.add(IGNORED, decoded.ignored, transport=transport)
    telemetry.add(CLOCK_SKEWED, decoded.clock_skewed, transport=transport)
    reasons: Mapping[tuple[str, str], int] = Counter((r.signal, r.reason) for r in decoded.refused)
    for (signal, reason), n in reasons.items():
        telemetry.add(REFUSED, n, signal=signal, transport=transport, reason=reason)
        if signal == "labels":
            telemetry.add(LABELS, n, result="invalid")


def _rejected(decoded: Decoded) -> int:
    return sum(refusal.signal in REJECTING for refusal in decoded.refused)


def _first_refusal(refused: tuple[Refusal, ...]) -> str:
    others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"{refused[0].reason}: {refused[0].message}{others}"
