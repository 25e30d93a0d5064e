"""The two kinds of OTLP export, whatever the transport: how each is addressed, read, answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from inferspan_collector.batches import Decoded, Refusal
from inferspan_collector.decode import (
    Content,
    Mapper,
    Together,
    decode_logs,
    decode_logs_in_parts,
    decode_traces,
    decode_traces_in_parts,
    decode_traces_together,
)

REJECTING: Final = ("predictions", "slim_records", "labels")
"""Signals whose refusal left a whole record out; others are warnings."""


class Decode(Protocol):
    """`decode_traces`, `decode_logs`, or the same of them that ends in `_in_parts`."""

    def __call__(
        self, body: Content, *, json: bool, received_ns: int, reserve: Callable[[int], None]
    ) -> Decoded:
        """Read a request's body; raises `MalformedRequest`, and what `reserve` raises."""


class DecodeTogether(Protocol):
    """`decode_traces_together`."""

    def __call__(
        self,
        bodies: Sequence[Content],
        *,
        received_ns: int,
        reserve: Callable[[int], None],
        labels: bool,
    ) -> Together | None:
        """Read several bodies as one; None where all are to be read one by one."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of export: where it is addressed, how it is read and answered."""

    path: str
    """Of HTTP."""
    service: str
    """Of gRPC; the method is `Export`."""
    decode: Decode
    in_parts: Decode
    """The same of a request at which `decode` fails by a defect: slower, and without what is to
    blame."""
    refusing: Callable[[int, str], Message]
    """The answer that says how many records were rejected, and why the first."""
    together: DecodeTogether | None = None
    """Reads several as one, where that is possible."""

    def answer(self, decoded: Decoded, *, json: bool = False) -> bytes:
        """The body of the answer to a request that was stored."""
        if not decoded.refused:
            # As nearly all are: an empty message, in either form.
            return b"{}" if json else b""
        said = self.refusing(_rejected(decoded), _first_refusal(decoded.refused))
        if json:
            return json_format.MessageToJson(said, indent=None).encode()
        return said.SerializeToString()


def _refusing_spans(rejected: int, message: str) -> ExportTraceServiceResponse:
    said = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=said)


def _refusing_records(rejected: int, message: str) -> ExportLogsServiceResponse:
    said = ExportLogsPartialSuccess(rejected_log_records=rejected, error_message=message)
    return ExportLogsServiceResponse(partial_success=said)


SIGNALS: Final = (
    Signal(
        "/v1/traces",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        decode_traces,
        decode_traces_in_parts,
        _refusing_spans,
        decode_traces_together,
    ),
    Signal(
        "/v1/logs",
        "opentelemetry.proto.collector.logs.v1.LogsService",
        decode_logs,
        decode_logs_in_parts,
        _refusing_records,
    ),
)


def signals(mapper: Mapper | None) -> tuple[Signal, ...]:
    """`SIGNALS`, with spans of others read by a mapper where there is one."""
    if mapper is None:
        return SIGNALS
    traces, logs = SIGNALS
    mapped = replace(
        traces,
        decode=partial(decode_traces, mapper=mapper),
        in_parts=partial(decode_traces_in_parts, mapper=mapper),
        together=partial(decode_traces_together, mapper=mapper),
    )
    return mapped, logs


def _rejected(decoded: Decoded) -> int:
    return sum(refusal.signal in REJECTING for refusal in decoded.refused)


def _first_refusal(refused: tuple[Refusal, ...]) -> str:
    others = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
    return f"{refused[0].reason}: {refused[0].message}{others}"
