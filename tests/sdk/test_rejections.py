"""What a receiver leaves out of a request that it took has failed, and is said."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import inferspan
from inferspan import answers, providers
from inferspan.answers import Rejection
from inferspan.containment import ErrorLog
from inferspan.exporters import otlp_exporter
from inferspan.leaving import leave
from inferspan.span_queue import SpanQueue

from .answering import PROTOBUF, Server, serving


def rejecting(spans: int, message: str = "") -> bytes:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = spans
    answer.partial_success.error_message = message
    return answer.SerializeToString()


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def server(shared: Server) -> Server:
    shared.status, shared.body, shared.headers = 200, b"", PROTOBUF
    return shared


@pytest.fixture(autouse=True)
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier test's warning of the same port must not silence this one's."""
    monkeypatch.setattr(answers, "errors", ErrorLog())


def ended(count: int) -> Sequence[ReadableSpan]:
    caught = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(caught))
    for number in range(count):
        provider.get_tracer("test").start_span(f"span {number}").end()
    return caught.get_finished_spans()


SPANS = ended(3)


def outcome(url: str | None, requests: int = 1) -> tuple[int, int, Rejection]:
    """Spans that were sent, that failed, and what was left out, of three in each request."""
    queue = SpanQueue(otlp_exporter(url), delay=3600.0)
    for _ in range(requests):
        for span in SPANS:
            queue.on_end(span)
        assert queue.force_flush(60_000)
    leave([queue], 0.0)
    assert queue.counts()["handed"] == queue.sent + queue.failed
    assert queue.lost_since_asked() is bool(queue.failed)
    return queue.sent, queue.failed, queue.rejected


def test_what_a_receiver_left_out_failed(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    server.body = rejecting(2, "missing_model: a span\nnames none")
    assert outcome(server.url, 2) == (2, 4, Rejection(4, "missing_model: a span names none"))
    (line,) = caplog.messages  # once a minute
    assert line == (
        f"inferspan: {server.url} left out 2 of a request's records: missing_model: a span "
        "names none"
    )


def test_a_connection_serves_on_after_an_answer() -> None:
    with serving() as fresh:
        fresh.body = rejecting(1, "x" * 10_000)
        assert outcome(fresh.url, 3)[:2] == (6, 3)
        assert len(fresh.clients) == 1


def test_a_receiver_that_only_warns_took_everything(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.body = rejecting(0, "surplus_slice")
    assert outcome(server.url) == (3, 0, Rejection(0, ""))
    assert "left out 0 of a request's records: surplus_slice" in caplog.text


def test_a_compressed_answer_is_read(server: Server) -> None:
    server.body = gzip.compress(rejecting(1))
    server.headers = {**PROTOBUF, "Content-Encoding": "gzip"}
    assert outcome(server.url)[:2] == (2, 1)


@pytest.mark.parametrize(("said", "failed"), [(4, 3), (2**40, 3), (-1, 0)])
def test_no_more_than_was_sent_can_be_left_out(server: Server, said: int, failed: int) -> None:
    server.body = rejecting(said)
    assert outcome(server.url)[:2] == (3 - failed, failed)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", {}),
        (b"ok", {"Content-Type": "text/plain"}),
        (b"<html>", {"Content-Type": "text/html"}),
        (b"{}", {"Content-Type": "application/json"}),
        (b"\n\xff\xff", PROTOBUF),
        (b"no gzip", {"Content-Encoding": "gzip"}),
        (gzip.compress(rejecting(1), mtime=0)[:-12], {"Content-Encoding": "gzip"}),
        (gzip.compress(bytes(1 << 24)), {"Content-Encoding": "gzip"}),
        (rejecting(1), {"Content-Length": "1000"}),
    ],
    ids=["empty", "text", "html", "json", "garbage", "not gzip", "cut", "bomb", "ended early"],
)
def test_an_answer_that_cannot_be_read_is_a_success_all_the_same(
    server: Server,
    body: bytes,
    headers: dict[str, str],
    contained_errors: list[BaseException],
) -> None:
    server.body, server.headers = body, headers
    assert outcome(server.url) == (3, 0, Rejection(0, ""))
    assert contained_errors == []


@given(st.binary(max_size=40))
def test_no_answer_raises(shared: Server, body: bytes) -> None:
    shared.body, shared.headers = body, PROTOBUF
    sent, failed, _ = outcome(shared.url)
    assert sent + failed == 3


@pytest.mark.parametrize("status", [301, 302, 304, 307])
def test_a_redirect_is_no_success(
    server: Server, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = status
    server.headers = {"Location": "/login"}
    assert outcome(server.url) == (0, 3, Rejection(0, ""))
    assert f"(HTTP {status})" in caplog.text


class Rejecting(TraceServiceServicer):
    def Export(
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        return ExportTraceServiceResponse.FromString(rejecting(2, "missing_model: none"))


def test_grpc_says_it_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    running = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(Rejecting(), running)
    port = running.add_insecure_port("127.0.0.1:0")
    running.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    assert outcome(None) == (1, 2, Rejection(2, "missing_model: none"))
    assert f"127.0.0.1:{port} left out 2 of a request's records: missing_model" in caplog.text
    running.stop(None).wait()


def test_a_table_says_what_the_receiver_left_out(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    server.body = rejecting(1 << 20, "unknown_target: 'x'")
    count = 300  # more than one request, so that a receiver that is gone would be noticed
    restore = providers.divert(None, lambda: otlp_exporter(server.url))
    table = {"prediction_id": [str(n) for n in range(count)], "actual": [1] * count}
    report = inferspan.label_table(table, model="m")
    restore()
    assert (report.sent, report.refused, report.failed) == (0, 0, count)
    assert report.reasons == {"the receiver left them out: unknown_target: 'x'": count}
