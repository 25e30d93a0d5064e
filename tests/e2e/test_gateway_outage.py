"""A stock Collector in front: what it answered is counted once, whatever dies, and unsampled."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from collector_process import Served, counts, models, serving
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from inferspan import semconv
from inferspan_collector.testing import (
    log_record,
    logs_request,
    otlp_span,
    prediction_span,
    span_ids,
    traces_request,
)
from servers.recording import Recorder, recording
from servers.running import Gateway, Jaeger, free_addresses, gateway
from waiting import wait_until

pytestmark = pytest.mark.real

HERE = Path(__file__).parent
SECONDS = 50.0
INFERSPAN = "otlphttp/inferspan"


@contextlib.contextmanager
def workload(endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """A process with our SDK that sends to the gateway."""
    with subprocess.Popen(
        [sys.executable, str(HERE / "gateway_workload.py")],
        env={
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "20",
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def make(process: subprocess.Popen[str], orders: int) -> int:
    """Let it predict and label so many more; returns how many there are now."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{orders}\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def finish(process: subprocess.Popen[str]) -> None:
    """Let it flush; the gateway has taken everything."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert json.loads(process.stdout.readline())["taken"] is True


def waiting_bytes(front: Gateway) -> float:
    return front.figure("otelcol_exporter_queue_size", exporter=INFERSPAN)


def counted(served: Served) -> object:
    return counts(served.api) if models(served.api) else (0, 0)


def test_what_was_answered_in_an_outage_is_counted_once_though_the_gateway_is_killed_too(
    tmp_path: Path, jaeger: Jaeger
) -> None:
    (ours,), front = free_addresses(1), free_addresses(2)
    data = tmp_path / "data"
    with contextlib.ExitStack() as stack:
        served = stack.enter_context(serving(data, otlp_http=ours, otlp_grpc="off"))
        first = stack.enter_context(
            gateway(tmp_path, f"http://{ours}", jaeger.otlp_http, addresses=front)
        )
        with workload(first.otlp_http) as process:
            make(process, 100)
            wait_until(lambda: counted(served) == (100, 100), SECONDS, "the first orders")
            served.process.kill()
            served.process.wait()
            make(process, 100)
            finish(process)
        assert waiting_bytes(first) > 0
        first.kill()

    second = gateway(tmp_path, f"http://{ours}", jaeger.otlp_http, addresses=front)
    with second as again, serving(data, otlp_http=ours, otlp_grpc="off") as served:
        wait_until(lambda: counted(served) == (200, 200), SECONDS, "all orders to be counted")
        wait_until(lambda: waiting_bytes(again) == 0, SECONDS, "the queue to be empty")
        assert counted(served) == (200, 200)


def test_load_that_flows_while_both_are_killed_in_turn_is_counted_once(
    tmp_path: Path, jaeger: Jaeger
) -> None:
    (ours,), front = free_addresses(1), free_addresses(2)
    data = tmp_path / "data"

    def inferspan() -> contextlib.AbstractContextManager[Served]:
        return serving(data, otlp_http=ours, otlp_grpc="off")

    def in_front() -> contextlib.AbstractContextManager[Gateway]:
        return gateway(tmp_path, f"http://{ours}", jaeger.otlp_http, addresses=front)

    with workload(f"http://{front[0]}") as process, contextlib.ExitStack() as stack:
        served = stack.enter_context(inferspan())
        for _ in range(3):
            with in_front() as running:
                make(process, 150)
                served.process.kill()
                served.process.wait()
                made = make(process, 150)
                served = stack.enter_context(inferspan())
                # Whatever is under way now is not answered, or answered and lost on its way.
                running.kill()
        with in_front() as running:
            finish(process)
            wait_until(lambda: counted(served) == (made, made), SECONDS, "all to be counted")
            wait_until(lambda: waiting_bytes(running) == 0, SECONDS, "the queue to be empty")
            assert counted(served) == (made, made)


@pytest.fixture
def inferspan() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


def post(front: Gateway, body: bytes, path: str = "/v1/traces") -> int:
    headers = {"Content-Type": "application/x-protobuf"}
    return httpx.post(
        f"{front.otlp_http}{path}", content=body, headers=headers, timeout=30.0
    ).status_code


def heavy(name: str, spans: int, size: int) -> bytes:
    """A request of so many spans, each with so many characters of content."""
    content = {semconv.INPUT_VALUE: "x" * size}
    made = [prediction_span(f"{name}-{number}", content) for number in range(spans)]
    return traces_request(made).SerializeToString()


def test_a_sampler_for_jaeger_takes_nothing_from_us(tmp_path: Path, inferspan: Recorder) -> None:
    spans = [otlp_span(f"order {number}", {}, ids=span_ids(f"{number}")) for number in range(200)]
    with (
        recording() as jaeger,
        gateway(
            tmp_path,
            inferspan.url,
            jaeger.url,
            beside=["sampled-jaeger.yaml"],
            settings={"JAEGER_SAMPLING_PERCENTAGE": "10"},
        ) as front,
    ):
        assert post(front, traces_request(spans, scope="shop").SerializeToString()) == 200
        wait_until(lambda: len(inferspan.spans()) == 200, SECONDS, "all spans to reach us")

        judged = "otelcol_processor_probabilistic_sampler_count_traces_sampled_total"
        wait_until(lambda: front.figure(judged) == 200, SECONDS, "the sampler to judge all")
        kept = front.figure(judged, sampled="true")
        assert 0 < kept < 100
        wait_until(lambda: len(jaeger.spans()) == kept, SECONDS, "those to reach Jaeger")


def test_a_jaeger_that_is_away_holds_nothing_up(tmp_path: Path, inferspan: Recorder) -> None:
    (nobody,) = free_addresses(1)
    with gateway(tmp_path, inferspan.url, f"http://{nobody}") as front:
        for number in range(20):
            assert post(front, heavy(f"{number}", 50, 10)) == 200
        wait_until(lambda: len(inferspan.spans()) == 1_000, SECONDS, "all spans to reach us")


def test_what_an_exporter_may_send_is_taken_and_leaves_in_requests_that_we_take(
    tmp_path: Path, jaeger: Jaeger, inferspan: Recorder
) -> None:
    """Beyond the defaults of the Collector: 20 MiB over HTTP, 4 MiB over gRPC."""
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http) as front:
        assert post(front, heavy("http", 30, 1_000_000)) == 200
        provider = TracerProvider()
        exporter = OTLPSpanExporter(f"http://{front.otlp_grpc}", insecure=True)
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        with provider.get_tracer("inferspan").start_as_current_span("big") as span:
            span.set_attribute(semconv.INPUT_VALUE, "x" * 8_000_000)
        provider.shutdown()

        wait_until(lambda: len(inferspan.spans()) == 31, SECONDS, "all spans to reach us")

    assert len(inferspan.traces) > 1
    assert max(map(len, inferspan.traces)) <= 16_000_000


def test_logs_that_are_no_labels_stay_away_from_us(
    tmp_path: Path, jaeger: Jaeger, inferspan: Recorder
) -> None:
    named = {semconv.EVENT_NAME: semconv.EVENT_LABEL}
    records = [
        log_record("user.login", {}),
        log_record(semconv.EVENT_LABEL, {"n": 1}),
        log_record(semconv.EVENT_EVALUATION_RESULT, {"n": 2}),
        log_record("", {**named, "n": 3}),
        log_record("", {}),
    ]
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http) as front:
        assert post(front, logs_request(records).SerializeToString(), "/v1/logs") == 200
        (taken,) = wait_until(inferspan.log_requests, SECONDS, "the records to reach us")
    found = [
        pair.value.int_value
        for record in taken.resource_logs[0].scope_logs[0].log_records
        for pair in record.attributes
        if pair.key == "n"
    ]
    assert found == [1, 2, 3]


def test_small_requests_travel_together(
    tmp_path: Path, jaeger: Jaeger, inferspan: Recorder
) -> None:
    inferspan.answers[:] = [503]
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http) as front:
        for number in range(100):
            assert post(front, heavy(f"{number}", 1, 10)) == 200
        wait_until(lambda: len(inferspan.spans()) == 100, SECONDS, "all spans to reach us")
    assert len(inferspan.traces) < 50


def test_a_full_queue_is_told_to_the_sender_and_loses_nothing_of_what_it_took(
    tmp_path: Path, jaeger: Jaeger, inferspan: Recorder
) -> None:
    inferspan.judge = lambda body: 503
    settings = {"GATEWAY_QUEUE_BYTES": "3000000"}
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http, settings=settings) as front:
        told = [post(front, heavy(f"{number}", 1, 500_000)) for number in range(10)]
        assert set(told) == {200, 503}
        inferspan.judge = lambda body: 200
        wait_until(lambda: waiting_bytes(front) == 0, SECONDS, "the queue to be emptied")
        # There is room again.
        assert post(front, heavy("last", 1, 10)) == 200
        wait_until(lambda: len(inferspan.spans()) > told.count(200), SECONDS, "the last one")
    ids = {span.span_id for _, span in inferspan.spans()}
    assert len(ids) == told.count(200) + 1
