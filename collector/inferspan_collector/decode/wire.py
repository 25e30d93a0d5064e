"""OTLP bytes → messages, by the protobuf library.

Protobuf and JSON give the same messages. OTLP/JSON differs from protobuf's own JSON in its ids
(hexadecimal, not base64), so they are rewritten before the library reads the rest.
"""

from __future__ import annotations

import base64
import binascii
import json as json_text
from collections.abc import Iterator
from typing import Any, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Content = bytes | memoryview
"""The body of a request, decompressed."""
_Request = TypeVar("_Request", bound=Message)
_LEAKED: Final = (TypeError, AttributeError, ArithmeticError, SystemError)
"""What the library raises on JSON that it does not expect: a list for a message, a number of 400
digits for a double, half a surrogate pair in a name."""
_SAID_MAX: Final = 1_000
"""Characters of what the library says."""
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


class MalformedRequest(ValueError):
    """The body as a whole is not OTLP: it can never be accepted. The message says what is wrong."""


GROUPS_MAX: Final = 10_000
"""Resources and scopes of one request: each costs what a record does, and may take two bytes."""
JSON_VALUES_MAX: Final = 2_000_000
"""Values of a JSON request: of spans with fifteen attributes 20,000. Each takes the library some
3 µs, an empty object of two bytes too."""
_RESOURCE, _SCOPE, _LENGTH_DELIMITED = 0x0A, 0x12, 2


def parse_traces(body: Content, *, json: bool) -> ExportTraceServiceRequest:
    """Read a trace export request.

    Args:
        body: the request's body, decompressed.
        json: it is OTLP/JSON, else protobuf.

    Raises:
        MalformedRequest: it is neither.
    """
    return _parse(ExportTraceServiceRequest(), body, json)


def parse_logs(body: Content, *, json: bool) -> ExportLogsServiceRequest:
    """Read a log export request; arguments and errors as `parse_traces`."""
    return _parse(ExportLogsServiceRequest(), body, json)


def _parse(request: _Request, body: Content, json: bool) -> _Request:
    name = type(request).__name__
    if not json:
        if _groups(body) > GROUPS_MAX:
            raise MalformedRequest(
                f"the {name} holds over {GROUPS_MAX} resources and scopes; send smaller batches"
            )
        try:
            request.ParseFromString(bytes(body))
        except DecodeError as error:
            raise MalformedRequest(
                f"the body ({len(body)} bytes) is not a protobuf {name}: {error}"
            ) from error
        return request
    if not body:
        return request
    content = bytes(body)
    if json_values_at_most(content) > JSON_VALUES_MAX:
        raise MalformedRequest(
            f"the {name} holds over {JSON_VALUES_MAX} JSON values; send smaller batches"
        )
    try:
        document = json_text.loads(content.decode("utf-8"))
        if not isinstance(document, dict):
            raise ValueError(f"a JSON {type(document).__name__} where an object is needed")
        for record in _records_with_ids(document):
            _ids_to_base64(record)
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except RecursionError as error:
        raise MalformedRequest(f"the body is not an OTLP/JSON {name}: nested too deep") from error
    except (json_format.ParseError, ValueError, *_LEAKED) as error:
        # It may quote all that was sent.
        said = str(error)[:_SAID_MAX]
        raise MalformedRequest(f"the body is not an OTLP/JSON {name}: {said}") from error
    return request


def json_values_at_most(content: bytes) -> int:
    """No JSON text has more values than this; texts with commas or brackets count for more."""
    return 1 + content.count(b",") + content.count(b"{") + content.count(b"[")


def _groups(body: Content) -> int:
    """Resources and scopes of a request, or `GROUPS_MAX + 1`: empty ones take two bytes each."""
    found = 0
    for start, end in _messages(body, 0, len(body), _RESOURCE):
        found += 1 + sum(1 for _ in _messages(body, start, end, _SCOPE))
        if found > GROUPS_MAX:
            break
    return found


def _messages(body: Content, start: int, end: int, tag: int) -> Iterator[tuple[int, int]]:
    """Where the messages of a field lie, `GROUPS_MAX + 1` at most; up to what is none."""
    at, fields = start, 0
    # Other fields count, too: they cost as much to pass over.
    while at + 1 < end and fields <= GROUPS_MAX:
        field, length, shift, at = body[at], 0, 0, at + 1
        if field & 7 != _LENGTH_DELIMITED:
            return
        while at < end:
            length |= (body[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if body[at - 1] < 0x80:
                break
        if field == tag:
            yield at, min(end, at + length)
        at, fields = at + length, fields + 1


def _records_with_ids(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource, scope, record in (
        ("resourceSpans", "scopeSpans", "spans"),
        ("resourceLogs", "scopeLogs", "logRecords"),
    ):
        for in_resource in _objects(document, resource):
            for in_scope in _objects(in_resource, scope):
                for item in _objects(in_scope, record):
                    yield item
                    yield from _objects(item, "links")


def _objects(parent: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """The objects of a list; anything else is left for the library to refuse."""
    items = parent.get(key)
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))


def _ids_to_base64(record: dict[str, Any]) -> None:
    for key in _ID_FIELDS:
        text = record.get(key)
        if not text:
            continue
        try:
            if not isinstance(text, str):
                raise TypeError
            raw = binascii.unhexlify(text)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{key} = {text!r} is not hexadecimal text") from error
        record[key] = base64.b64encode(raw).decode("ascii")
