"""The stock OpenTelemetry exporter against the receiver: understood, and sent again when told."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from otlp_http_receiver import Receiver, receiving_on, switchable
from receiving import Switch

from inferspan import semconv
from inferspan_collector import telemetry as counters
from inferspan_collector.submission import Overloaded
from waiting import wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Switch, str]]:
    with switchable() as running:
        yield running


@pytest.fixture
def receiver(server: tuple[Switch, str]) -> Iterator[Receiver]:
    with receiving_on(server) as running:
        yield running


@pytest.mark.parametrize("compression", list(Compression))
def test_the_stock_exporter_is_understood(receiver: Receiver, compression: Compression) -> None:
    exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", compression=compression)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS)
    attributes = {semconv.MODEL_NAME: "m", semconv.OPERATION_NAME: "predict"}
    with tracer.start_as_current_span("predict m", attributes=attributes) as span:
        span.set_attribute(semconv.PREDICTION_ID, "p")
    provider.shutdown()
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["p"]
    context = span.get_span_context()
    assert receiver.sink.predictions.span.tolist() == [context.span_id]
    halves = [context.trace_id >> 64, context.trace_id & (2**64 - 1)]
    assert receiver.sink.predictions.trace.tolist() == [halves]


def test_the_stock_exporter_comes_again_after_503(receiver: Receiver) -> None:
    exporter = OTLPSpanExporter(f"{receiver.url}/v1/traces", timeout=20)
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS)
    receiver.sink.refusing = Overloaded("full", 1)

    def relieve() -> None:
        wait_until(lambda: receiver.count(counters.REQUESTS, code="503") >= 1, 20)
        receiver.sink.refusing = None

    relief = threading.Thread(target=relieve)
    relief.start()
    attributes = {semconv.MODEL_NAME: "m", semconv.OPERATION_NAME: "predict"}
    tracer.start_span("predict m", attributes=attributes).end()
    relief.join()
    provider.shutdown()
    assert len(receiver.sink.predictions) == 1
    assert receiver.count(counters.REQUESTS, code="200") == 1
