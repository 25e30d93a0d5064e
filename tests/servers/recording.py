"""An OTLP/HTTP endpoint that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Recorder:
    """What came: bodies after decompression, in order of arrival.

    `answers` are the status codes of the next requests; once they are used up `judge` says the
    status of a body, 200 without one. `rejected` is how many spans of each request a 200 says were
    rejected.
    """

    url: str = ""
    traces: list[bytes] = field(default_factory=list)
    logs: list[bytes] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    judge: Callable[[bytes], int] = lambda body: 200
    rejected: int = 0

    def spans(self) -> list[tuple[str, Span]]:
        """(scope name, span) of all traces taken."""
        return [
            (scope.scope.name, span)
            for body in self.traces
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def log_requests(self) -> list[ExportLogsServiceRequest]:
        """All log requests taken."""
        return [ExportLogsServiceRequest.FromString(body) for body in self.logs]


def attributes(pairs: Any) -> dict[str, str | int | float]:
    """The attributes of a span, an event or a resource as Python has them."""

    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a POST is answered with."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def answering(answer: Callable[[str, Mapping[str, str], bytes], Answer]) -> Iterator[str]:
    """Serve POST requests on a free loopback port, by their path, headers and body; the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            said = answer(self.path, dict(self.headers.items()), body)
            self.send_response(said.status)
            for name, value in {**said.headers, "Content-Length": str(len(said.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def recording() -> Iterator[Recorder]:
    """Serve a recorder on a free loopback port."""
    recorder = Recorder()

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        status = recorder.answers.pop(0) if recorder.answers else recorder.judge(body)
        if status == 200:
            (recorder.traces if path == "/v1/traces" else recorder.logs).append(body)
        said = ExportTraceServiceResponse()
        if recorder.rejected:
            said.partial_success.rejected_spans = recorder.rejected
        kind = {"Content-Type": "application/x-protobuf"}
        return Answer(status, said.SerializeToString(), kind)

    with answering(answer) as recorder.url:
        yield recorder
