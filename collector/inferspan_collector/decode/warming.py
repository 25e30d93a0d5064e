"""Compiled code made ready before the first request waits for it."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from inferspan import semconv
from inferspan_collector.decode.predictions import TIME_MIN_NS
from inferspan_collector.decode.requests import decode_traces


def warm() -> None:
    """Compile what decodes requests, or load it from the disk.

    Takes some ten seconds of one core the first time on a machine, a few tenths of one later.
    """
    request = ExportTraceServiceRequest()
    in_scope = request.resource_spans.add().scope_spans.add()
    in_scope.scope.name = semconv.SCOPE_PREDICTIONS
    span = in_scope.spans.add(
        trace_id=b"\1" * 16,
        span_id=b"\1" * 8,
        start_time_unix_nano=TIME_MIN_NS,
        end_time_unix_nano=TIME_MIN_NS,
    )
    for name in (semconv.OPERATION_NAME, semconv.MODEL_NAME, semconv.PREDICTION_ID):
        span.attributes.add(key=name).value.string_value = semconv.OPERATIONS[0]
    # Spans and log records, predictions and labels are all read by the same compiled functions.
    decode_traces(request.SerializeToString(), json=False, received_ns=TIME_MIN_NS)
