"""OTLP bytes → messages, by the protobuf library.

Protobuf and JSON give the same messages. OTLP/JSON differs from protobuf's own JSON in its ids
(hexadecimal, not base64), so they are rewritten before the library reads the rest.
"""

from __future__ import annotations

import base64
import binascii
import json as json_text
from collections.abc import Iterator
from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Content = bytes | memoryview
"""The body of a request, decompressed."""
_Request = TypeVar("_Request", bound=Message)
_ID_FIELDS = ("traceId", "spanId", "parentSpanId")


class MalformedRequest(ValueError):
    """The body as a whole is not OTLP: it can never be accepted. The message says what is wrong."""


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
        try:
            request.ParseFromString(bytes(body))
        except DecodeError as error:
            raise MalformedRequest(
                f"the body ({len(body)} bytes) is not a protobuf {name}: {error}"
            ) from error
        return request
    if not body:
        return request
    try:
        document = json_text.loads(bytes(body).decode("utf-8"))
        if not isinstance(document, dict):
            raise ValueError(f"a JSON {type(document).__name__} where an object is needed")
        for record in _records_with_ids(document):
            _ids_to_base64(record)
        json_format.ParseDict(document, request, ignore_unknown_fields=True)
    except RecursionError as error:
        raise MalformedRequest(f"the body is not an OTLP/JSON {name}: nested too deep") from error
    except (json_format.ParseError, ValueError, TypeError, AttributeError) as error:
        # The library leaks the last two on shapes it does not expect (a list for a message).
        raise MalformedRequest(f"the body is not an OTLP/JSON {name}: {error}") from error
    return request


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
