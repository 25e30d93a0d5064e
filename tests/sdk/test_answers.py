"""A request that fails is one line in the log, in our words; causes are there for who looks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace.export import SpanExporter

from inferspan import answers
from inferspan.containment import ErrorLog
from inferspan.exporters import otlp_exporter

from .answering import PROTOBUF, Server, serving
from .queueing import ended

NOBODY = "http://127.0.0.1:1/v1/traces"
TEXT = {"Content-Type": "text/plain; charset=utf-8"}
DETAILS = "grpc-status-details-bin"


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has been said yet; and no request is tried for longer than a moment."""
    monkeypatch.setattr(answers, "errors", ErrorLog())
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def said(exporter: SpanExporter, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What two requests leave in the log: loggers and lines."""
    spans = ended(1)
    for _ in range(2):
        exporter.export(spans)
    exporter.shutdown()
    return [(record.name, record.getMessage()) for record in caplog.records]


def test_nobody_there_is_one_line_and_more_on_request(caplog: pytest.LogCaptureFixture) -> None:
    ((logger, line),) = said(otlp_exporter(NOBODY), caplog)
    assert logger == "inferspan"
    assert line.startswith(f"inferspan: could not deliver to {NOBODY}: is `inferspan serve` runn")
    caplog.clear()
    caplog.set_level(logging.DEBUG, "inferspan")
    found = said(otlp_exporter(NOBODY), caplog)
    assert [logger for logger, _ in found] == [OTLPSpanExporter.__module__] * 2
    assert all(line.startswith("Failed to export spans") for _, line in found)


def test_where_our_logger_is_silent_theirs_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """As where a configuration of logging disables the loggers that it does not name."""
    ours = logging.getLogger("inferspan")
    ours.disabled = True
    try:
        found = said(otlp_exporter(NOBODY), caplog)
    finally:
        ours.disabled = False
    assert [logger for logger, _ in found] == [OTLPSpanExporter.__module__] * 2


def test_exporters_of_others_say_what_they_say(caplog: pytest.LogCaptureFixture) -> None:
    """In the same thread, after ours has said the same."""
    ours, theirs = otlp_exporter(NOBODY), OTLPSpanExporter(endpoint=NOBODY)
    assert len(said(ours, caplog)) == 1
    assert [logger for logger, _ in said(theirs, caplog)[1:]] == [OTLPSpanExporter.__module__] * 2


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected"),
    [
        (401, b"no such token\n", TEXT, "could not deliver to {}: is `inferspan serve` running"),
        (401, b"no such token\n", TEXT, "(HTTP 401: no such token)"),
        (404, b"<html>", {"Content-Type": "text/html"}, "(HTTP 404)"),
        (400, b"\n\xff\xff", PROTOBUF, "(HTTP 400)"),
        (
            503,
            Status(code=14, message="the disk is full;\nmake room").SerializeToString(),
            PROTOBUF,
            "{} asks to be tried again (HTTP 503: the disk is full; make room): what waits is sent",
        ),
        (429, b"", TEXT, "{} asks to be tried again (HTTP 429): what waits is sent then"),
        (502, b"x" * 10_000, TEXT, f"(HTTP 502: {'x' * 500})"),
    ],
)
def test_a_receiver_is_quoted(
    server: Server,
    caplog: pytest.LogCaptureFixture,
    status: int,
    body: bytes,
    headers: dict[str, str],
    expected: str,
) -> None:
    server.status, server.body, server.headers = status, body, headers
    ((logger, line),) = said(otlp_exporter(server.url), caplog)
    assert logger == "inferspan"
    assert expected.format(server.url) in line


class Failing(TraceServiceServicer):
    """Says that it is busy, as a collector that is there does, or refuses."""

    def __init__(self, code: grpc.StatusCode, details: bool) -> None:
        self._code = code
        self._details = details

    def Export(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        if self._details:
            status = Status(code=self._code.value[0], message="the disk is full")
            context.set_trailing_metadata(((DETAILS, status.SerializeToString()),))
        context.abort(self._code, "the disk is full")
        raise AssertionError("never here")


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, True, "asks to be tried again (gRPC UNAVAILABLE: the disk"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, False, "asks to be tried again (gRPC RESOURCE_EXHAU"),
        (grpc.StatusCode.UNAUTHENTICATED, False, "(gRPC UNAUTHENTICATED: the disk is full)"),
    ],
)
def test_over_grpc_it_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    code: grpc.StatusCode,
    details: bool,
    expected: str,
) -> None:
    running = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Failing(code, details), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    ((logger, line),) = said(otlp_exporter(None), caplog)
    assert logger == "inferspan"
    assert f"http://127.0.0.1:{port}" in line
    assert expected in line
    running.stop(None).wait()


def test_nobody_there_over_grpc_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    ((logger, line),) = said(otlp_exporter(None), caplog)
    assert logger == "inferspan"
    assert "You are sending gRPC; for an HTTP port set" in line
    assert "(gRPC UNAVAILABLE: " in line
