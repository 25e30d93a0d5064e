"""Compiled code made ready before the first request waits for it."""

from __future__ import annotations

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from inferspan import semconv
from inferspan_collector import compilation
from inferspan_collector.decode import feature_rows
from inferspan_collector.decode.compiled.scan import scan
from inferspan_collector.decode.predictions import TIME_MIN_NS
from inferspan_collector.decode.requests import decode_traces
from inferspan_collector.decode.scanned import Outline, WantedKeys


def is_compiled() -> bool:
    """Whether the largest part of it waits on the disk, so that `warm` takes tenths of a second."""
    return compilation.is_kept(scan)


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
    span.attributes.add(key=semconv.FEATURE_NAMES).value.string_value = '["a"]'
    span.attributes.add(key=semconv.FEATURE_DATA).value.bytes_value = bytes(8)
    # Spans and log records, predictions and labels are all read by the same compiled functions.
    body = request.SerializeToString()
    decoded = decode_traces(body, json=False, received_ns=TIME_MIN_NS)
    feature_rows.read([decoded.predictions.features.data.tobytes()], 1, 1, 0)
    # Spans of others in a scope that is mapped come here; their first should not wait either.
    found = Outline.of(body)
    assert found is not None
    WantedKeys.of([{semconv.MODEL_NAME}]).pass_by(found, np.zeros(len(found), np.uint8))
