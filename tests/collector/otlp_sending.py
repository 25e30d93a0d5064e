"""Requests to a whole collector over HTTP and gRPC alike, and the stock exporters."""

from __future__ import annotations

from typing import Any, Literal

import grpc
import httpx
from collector_process import models
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

from inferspan import semconv
from inferspan_collector.server import Collector
from inferspan_collector.testing import prediction_span, traces_request

PROTOBUF = "application/x-protobuf"
METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
Transport = Literal["http", "grpc"]


class Refused(Exception):
    """The answer is an error: its code, its Status and its headers or trailers."""

    def __init__(self, code: str, status: Status, more: dict[str, Any]) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.more = more


def send(collector: Collector, transport: Transport, body: bytes, **headers: str) -> bytes:
    """The body of the answer; raises `Refused`."""
    if transport == "http":
        answer = post(collector, body, **headers)
        if answer.status_code == 200:
            return answer.content
        more = dict(answer.headers)
        raise Refused(str(answer.status_code), Status.FromString(answer.content), more)
    assert collector.addresses.otlp_grpc is not None
    unlimited = [("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(collector.addresses.otlp_grpc, options=unlimited) as channel:
        try:
            done: bytes = channel.unary_unary(METHOD)(body, timeout=60)
        except grpc.RpcError as error:
            more = dict(error.trailing_metadata() or ())
            status = Status.FromString(more.get("grpc-status-details-bin", b""))
            raise Refused(error.code().name, status, more) from None
    return done


def post(
    collector: Collector, body: bytes, content_type: str = PROTOBUF, **headers: str
) -> httpx.Response:
    sent = {"content-type": content_type} | {k.replace("_", "-"): v for k, v in headers.items()}
    url = f"{collector.addresses.otlp_http}/v1/traces"
    return httpx.post(url, content=body, headers=sent, timeout=60)


def request_of(model: str, *ids: str, **attributes: Any) -> ExportTraceServiceRequest:
    return traces_request([prediction_span(i, attributes, model=model) for i in ids])


def counted(collector: Collector, model: str) -> int:
    """Predictions of a model, as the API says right now."""
    found = [one for one in models(str(collector.addresses.api)) if one["model"] == model]
    return int(str(found[0]["predictions"])) if found else 0


def exporter_for(collector: Collector, transport: Transport, **options: Any) -> SpanExporter:
    if transport == "http":
        return OTLPSpanExporter(f"{collector.addresses.otlp_http}/v1/traces", **options)
    return GrpcExporter(collector.addresses.otlp_grpc, insecure=True, **options)


def export(exporter: SpanExporter, model: str, prediction_id: str = "order-17") -> None:
    """One prediction through a stock exporter; returns when it has given it up or away."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: model,
        semconv.PREDICTION_ID: prediction_id,
    }
    tracer = provider.get_tracer(semconv.SCOPE_PREDICTIONS)
    tracer.start_span("predict", attributes=attributes).end()
    provider.shutdown()
