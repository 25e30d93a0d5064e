"""One OTLP request → what it holds for us: scope by scope, record by record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Protocol, TypeVar

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv
from inferspan_collector.batches import Decoded, Refusal
from inferspan_collector.decode import wire
from inferspan_collector.decode.attributes import Attributes
from inferspan_collector.decode.found import Found
from inferspan_collector.decode.in_parts import read_in_parts
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary import Ordinary, all_ordinary, read_logs, read_traces

UNDECODABLE: Final = "undecodable"
"""Why a record was refused at which we fail."""
_Request_co = TypeVar("_Request_co", covariant=True)
_Record = TypeVar("_Record")
_Placed = tuple[str, _Record, Attributes]
"""A record, the scope that it stands in, and its resource."""
_SIGNALS: Final = {
    semconv.SCOPE_LABELS: "labels",
    semconv.SCOPE_RECORDS: "slim_records",
}
"""Scope → signal of what is refused in it; of all others `predictions`."""


def decode_traces(
    body: wire.Content,
    *,
    json: bool,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
    mapper: Mapper | None = None,
    compiled: bool = True,
) -> Decoded:
    """Read a trace export request: predictions and labels.

    Args:
        body: the request's body, decompressed.
        json: it is OTLP/JSON, else protobuf.
        received_ns: the time of receipt, Unix ns.
        reserve: told how many more rows are about to be made of the body, before they take memory;
            what it raises ends the reading.
        mapper: takes spans of others, which without one are ignored.
        compiled: read what is ordinary by the compiled way; without it, every record is read by
            itself. The result is the same.

    Returns:
        The batches, and what was refused or ignored, as `Refusal.signal` says.

    Raises:
        MalformedRequest: the body as a whole is not such a request.
    """
    ordinary = None
    if compiled and not json:
        ordinary = read_traces(body, received_ns, reserve, mapper)
    if ordinary is not None and (whole := all_ordinary(ordinary, len(body))) is not None:
        return whole
    request, ordinary = _left(wire.parse_traces, body, ordinary, json=json)
    found = Found(received_ns, len(body), reserve, ordinary, mapper)
    for placed in _spans(request):
        found.next_record()
        found.add_span(*placed)
    return found.decoded()


def decode_logs(
    body: wire.Content,
    *,
    json: bool,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
    compiled: bool = True,
) -> Decoded:
    """Read a log export request: labels and evaluation results.

    Arguments, result and errors as `decode_traces`.
    """
    ordinary = read_logs(body, received_ns, reserve) if compiled and not json else None
    if ordinary is not None and (whole := all_ordinary(ordinary, len(body))) is not None:
        return whole
    request, ordinary = _left(wire.parse_logs, body, ordinary, json=json)
    if ordinary is None:
        reserve(sum(len(s.log_records) for r in request.resource_logs for s in r.scope_logs))
    found = Found(received_ns, len(body), reserve, ordinary)
    for placed in _log_records(request):
        found.next_record()
        found.add_log(*placed)
    return found.decoded()


def decode_traces_in_parts(
    body: wire.Content,
    *,
    json: bool,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
    mapper: Mapper | None = None,
) -> Decoded:
    """Read a trace export request at which `decode_traces` fails by a defect of ours.

    Every record is read by itself, several times where one fails; without a failure the result is
    that of `decode_traces`.

    Arguments and result as `decode_traces`; the reason of a record at which reading fails is
    `UNDECODABLE`.

    Raises:
        MalformedRequest: the body as a whole is not such a request.
        MemoryError, OSError: for want of something that may be there later.
        Exception: whatever else reading fails with where no few records are to blame for it.
    """

    def read(some: Sequence[_Placed[Span]], told: Callable[[int], None]) -> Decoded:
        found = Found(received_ns, len(body), told, None, mapper)
        for placed in some:
            found.add_span(*placed)
        return found.decoded()

    return _in_parts(list(_spans(wire.parse_traces(body, json=json))), read, reserve, logs=False)


def decode_logs_in_parts(
    body: wire.Content,
    *,
    json: bool,
    received_ns: int,
    reserve: Callable[[int], None] = lambda rows: None,
) -> Decoded:
    """Read a log export request at which `decode_logs` fails by a defect of ours.

    Arguments, result and errors as `decode_traces_in_parts`.
    """

    def read(some: Sequence[_Placed[LogRecord]], told: Callable[[int], None]) -> Decoded:
        told(len(some))
        found = Found(received_ns, len(body), told, None)
        for placed in some:
            found.add_log(*placed)
        return found.decoded()

    return _in_parts(list(_log_records(wire.parse_logs(body, json=json))), read, reserve, logs=True)


def _spans(request: ExportTraceServiceRequest) -> Iterator[_Placed[Span]]:
    for in_resource in request.resource_spans:
        resource = Attributes(in_resource.resource.attributes)
        for in_scope in in_resource.scope_spans:
            for span in in_scope.spans:
                yield in_scope.scope.name, span, resource


def _log_records(request: ExportLogsServiceRequest) -> Iterator[_Placed[LogRecord]]:
    for in_resource in request.resource_logs:
        resource = Attributes(in_resource.resource.attributes)
        for in_scope in in_resource.scope_logs:
            for record in in_scope.log_records:
                yield in_scope.scope.name, record, resource


class _NoRoom(BaseException):
    """What `reserve` raised, past all that looks for a record to blame."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def _in_parts(
    records: Sequence[_Placed[_Record]],
    read: Callable[[Sequence[_Placed[_Record]], Callable[[int], None]], Decoded],
    reserve: Callable[[int], None],
    *,
    logs: bool,
) -> Decoded:
    def told(rows: int) -> None:
        try:
            reserve(rows)
        except Exception as error:
            raise _NoRoom(error) from error

    def attempt(some: Sequence[_Placed[_Record]]) -> Decoded:
        return read(some, told)

    try:
        decoded, blamed = read_in_parts(records, attempt)
    except _NoRoom as ended:
        raise ended.error from None
    refused = tuple(
        Refusal(
            "labels" if logs else _SIGNALS.get(records[place][0], "predictions"),
            UNDECODABLE,
            f"record {place} of the request, of scope {records[place][0]!r:.80}, cannot be read: "
            f"{type(error).__name__}; this is a defect of the collector, whose log says more: "
            "report it, and send records without what is special about this one",
        )
        for place, error in blamed.items()
    )
    return replace(decoded, refused=(*decoded.refused, *refused))


class _Parse(Protocol[_Request_co]):
    def __call__(self, body: wire.Content, *, json: bool) -> _Request_co: ...


def _left(
    parse: _Parse[_Request_co], body: wire.Content, ordinary: Ordinary | None, *, json: bool
) -> tuple[_Request_co, Ordinary | None]:
    """The records that the library reads: all of them, or what the compiled way has left."""
    if ordinary is not None:
        try:
            return parse(ordinary.rest(), json=False), ordinary
        except wire.MalformedRequest:
            pass  # what is wrong is said of the request as it came
    return parse(body, json=json), None
