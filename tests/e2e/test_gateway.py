"""A stock Collector in front of us, with the gateway configuration that we ship."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from slim_record import Call, Row, slim_record
from slim_record_oracle import rows_of

from inferspan import semconv
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import traces_request
from servers.recording import Recorder, recording
from servers.running import Gateway, Jaeger, gateway
from waiting import wait_until

pytestmark = pytest.mark.real

NOW_NS = 1_795_000_000_000_000_000
SECONDS = 30.0
SERVICE = Resource(
    attributes=[KeyValue(key=semconv.SERVICE_NAME, value=AnyValue(string_value="gateway-shop"))]
)
NAMES = {
    semconv.SCOPE_PREDICTIONS: "predict fraud",
    semconv.SCOPE_RECORDS: "predictions fraud",
    semconv.SCOPE_LABELS: "label fraud",
    "checkout": "GET /pay",
}


@pytest.fixture
def inferspan() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture
def in_front(tmp_path: Path, inferspan: Recorder, jaeger: Jaeger) -> Iterator[Gateway]:
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http) as started:
        yield started


def trace_id(number: int) -> bytes:
    return (0xFACE << 64 | number).to_bytes(16, "big")


def spans(number: int) -> bytes:
    """One span of every scope, all in one trace."""
    return ExportTraceServiceRequest(
        resource_spans=[
            ResourceSpans(
                resource=SERVICE,
                scope_spans=[
                    ScopeSpans(
                        scope=InstrumentationScope(name=scope),
                        spans=[
                            Span(
                                name=name,
                                trace_id=trace_id(number),
                                span_id=position.to_bytes(8, "big"),
                                start_time_unix_nano=NOW_NS,
                                end_time_unix_nano=NOW_NS + 1_000_000,
                            )
                        ],
                    )
                    for position, (scope, name) in enumerate(NAMES.items(), start=1)
                ],
            )
        ]
    ).SerializeToString()


def post(gateway: Gateway, path: str, body: bytes) -> None:
    httpx.post(
        f"{gateway.otlp_http}{path}",
        content=body,
        headers={"Content-Type": "application/x-protobuf"},
    ).raise_for_status()


def test_records_and_labels_reach_us_and_never_jaeger(
    in_front: Gateway, inferspan: Recorder, jaeger: Jaeger
) -> None:
    post(in_front, "/v1/traces", spans(1))

    wait_until(lambda: len(inferspan.spans()) == len(NAMES), SECONDS, "all spans to reach us")
    # Both pipelines start from the same request, so what is in Jaeger now is all there will be
    # once the last span that it may see has come.
    shown = wait_until(
        lambda: found if len(found := jaeger.trace(trace_id(1).hex())) >= 2 else None,
        SECONDS,
        "the trace to reach Jaeger",
    )

    assert {scope: span.name for scope, span in inferspan.spans()} == NAMES
    assert {span["operationName"] for span in shown} == {"predict fraud", "GET /pay"}


def test_a_slim_record_reaches_us_as_it_was_sent(in_front: Gateway, inferspan: Recorder) -> None:
    """Columns of bytes and dictionaries included; so does the resource that names the sender."""
    calls = [
        Call("order-1", [Row("fraud", 0.9, slices={"country": "DE"})]),
        Call("order-2", [Row("legit", 0.25), Row("ü")], trace=2, span=2, error_type="OSError"),
    ]
    request = traces_request(
        [slim_record(calls)],
        scope=semconv.SCOPE_RECORDS,
        resource={semconv.SERVICE_NAME: "gateway-shop"},
    )

    post(in_front, "/v1/traces", request.SerializeToString())

    (body,) = wait_until(lambda: inferspan.traces, SECONDS, "the record to reach us")
    sent, taken = (
        decode_traces(each, json=False, received_ns=NOW_NS)
        for each in (request.SerializeToString(), body)
    )
    assert rows_of(taken.predictions) == rows_of(sent.predictions)
    assert (len(taken.predictions), taken.slim_records, taken.refused) == (3, 1, ())


def test_label_events_of_the_logs_reach_us(in_front: Gateway, inferspan: Recorder) -> None:
    record = LogRecord(event_name=semconv.EVENT_LABEL, time_unix_nano=NOW_NS)
    request = ExportLogsServiceRequest(
        resource_logs=[ResourceLogs(resource=SERVICE, scope_logs=[ScopeLogs(log_records=[record])])]
    )

    post(in_front, "/v1/logs", request.SerializeToString())

    (taken,) = wait_until(inferspan.log_requests, SECONDS, "the log record to reach us")
    assert taken.resource_logs[0].scope_logs[0].log_records[0].event_name == semconv.EVENT_LABEL


def test_what_we_cannot_take_now_comes_again_and_jaeger_does_not_wait(
    in_front: Gateway, inferspan: Recorder, jaeger: Jaeger
) -> None:
    inferspan.answers[:] = [503, 429]

    post(in_front, "/v1/traces", spans(2))

    wait_until(lambda: jaeger.trace(trace_id(2).hex()), SECONDS, "the trace to reach Jaeger")
    wait_until(inferspan.spans, SECONDS, "the spans to come again")
    assert {scope: span.name for scope, span in inferspan.spans()} == NAMES
    assert inferspan.answers == []


def test_what_waits_for_us_survives_the_gateway(
    tmp_path: Path, jaeger: Jaeger, inferspan: Recorder
) -> None:
    inferspan.answers[:] = [503] * 100
    with gateway(tmp_path, inferspan.url, jaeger.otlp_http) as first:
        post(first, "/v1/traces", spans(3))
        wait_until(lambda: len(inferspan.answers) < 100, SECONDS, "a first attempt")
        first.kill()
    inferspan.answers.clear()

    with gateway(tmp_path, inferspan.url, jaeger.otlp_http):
        wait_until(inferspan.spans, SECONDS, "the queue on disk to be sent")

    assert {scope: span.name for scope, span in inferspan.spans()} == NAMES
