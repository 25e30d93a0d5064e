"""What OTLP/HTTP is asked by the head of a request, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from google.rpc import code_pb2
from google.rpc.status_pb2 import Status

from inferspan_collector.receivers.access import Rights
from inferspan_collector.receivers.failures import Failure
from inferspan_collector.receivers.otlp import Signal

TRANSPORT: Final = "otlp_http"
PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_CODES: Final = {
    400: code_pb2.INVALID_ARGUMENT,
    401: code_pb2.UNAUTHENTICATED,
    403: code_pb2.PERMISSION_DENIED,
    404: code_pb2.NOT_FOUND,
    405: code_pb2.UNIMPLEMENTED,
    408: code_pb2.DEADLINE_EXCEEDED,
    413: code_pb2.RESOURCE_EXHAUSTED,
    415: code_pb2.INVALID_ARGUMENT,
    503: code_pb2.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What the head of a request asks for."""

    signal: Signal
    encoding: str
    json: bool
    rights: Rights


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `json`: its body is JSON, not protobuf."""

    status: int
    body: bytes
    json: bool
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        """With those of the body."""
        return [
            (b"content-type", (JSON if self.json else PROTOBUF).encode()),
            (b"content-length", b"%d" % len(self.body)),
            *self.headers,
        ]


def failed(failure: Failure, json: bool) -> Answer:
    """Tell a sender what failed."""
    status = Status(code=_CODES[failure.status], message=failure.message)
    body = (
        json_format.MessageToJson(status, indent=None).encode()
        if json
        else status.SerializeToString()
    )
    headers = tuple((name.encode(), value.encode()) for name, value in failure.all_headers)
    return Answer(failure.status, body, json, headers)
