"""One OTLP request → what it holds for us: scope by scope, record by record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from inferspan_collector.batches import Decoded
from inferspan_collector.decode import wire
from inferspan_collector.decode.attributes import Attributes
from inferspan_collector.decode.found import Found
from inferspan_collector.decode.mapping import Mapper
from inferspan_collector.decode.ordinary import Ordinary, all_ordinary, read_logs, read_traces

_Request_co = TypeVar("_Request_co", covariant=True)


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
        The batches, and what was refused or ignored. `Refusal.signal` is `predictions`,
        `slim_records` or `labels` for a record that was left out, `slices`, `features`
        and `phases` for what was left out of one that was taken, `durations` for a prediction whose
        duration counts as 0.

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
    for in_resource in request.resource_spans:
        resource = Attributes(in_resource.resource.attributes)
        for in_scope in in_resource.scope_spans:
            for span in in_scope.spans:
                found.next_record()
                found.add_span(in_scope.scope.name, span, resource)
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
    for in_resource in request.resource_logs:
        resource = Attributes(in_resource.resource.attributes)
        for in_scope in in_resource.scope_logs:
            for record in in_scope.log_records:
                found.next_record()
                found.add_log(in_scope.scope.name, record, resource)
    return found.decoded()


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
