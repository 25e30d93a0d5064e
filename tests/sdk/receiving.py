"""A real OTLP/HTTP receiver on a free loopback port, that keeps what it was sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver(ThreadingHTTPServer):
    """Answers every export with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.body_bytes_max = 1 << 30
        """Larger requests are answered 413, and not kept."""
        self.requests: list[tuple[str, ExportTraceServiceRequest]] = []
        self.clients: list[tuple[str, int]] = []
        """Address of the sender of each request."""
        self.headers: list[dict[str, str]] = []
        """Those of each request, with small letters."""
        self.release = threading.Event()
        self.release.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self, scope: str) -> list[tuple[dict[str, Any], Any]]:
        """Resource attributes and span of every span of a scope, in order."""
        return [
            (_attributes(resource.resource.attributes), span)
            for _, request in self.requests
            for resource in request.resource_spans
            for group in resource.scope_spans
            if group.scope.name == scope
            for span in group.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver
    protocol_version = "HTTP/1.1"  # connections stay open, as those of a real receiver do

    def do_GET(self) -> None:
        """Let go of held requests, where the sender itself decides when."""
        self.server.release.set()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.server.headers.append({n.lower(): value for n, value in self.headers.items()})
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.release.wait(60)
        status = self.server.status if len(body) <= self.server.body_bytes_max else 413
        self.server.clients.append(self.client_address)
        if status != 413:
            self.server.requests.append((self.path, ExportTraceServiceRequest.FromString(body)))
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def attributes_of(span: Any) -> dict[str, Any]:
    """A span's attributes as Python values."""
    return _attributes(span.attributes)


@contextmanager
def receiver(status: int = 200) -> Iterator[Receiver]:
    server = Receiver(status)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
