"""Traces that go to a vendor, and slim records of all predictions that go to us."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inferspan import semconv

from .receiving import attributes_of, receiver


@pytest.mark.parametrize("theirs", ["configure", "provider"])
def test_traces_go_to_a_vendor_and_records_of_all_to_us(theirs: str) -> None:
    with receiver() as vendor, receiver() as server:
        told = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{vendor.url}/v1/traces",
            "INFERSPAN_ENDPOINT": server.url,
            "INFERSPAN_RECORDS": "all",
        }
        install = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
"""
        script = (
            (install if theirs == "provider" else "")
            + """
import inferspan
@inferspan.predict(model="fraud", version="7", task="binary_classification", prediction_id="key")
def score(key):
    return "legit"
inferspan.configure(service_name="shop")
for number in range(300):
    score(f"order-{number}")
inferspan.label("order-1", "fraud", model="fraud")
assert inferspan.flush(timeout=30)
"""
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script],
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        sent = vendor.spans(semconv.SCOPE_PREDICTIONS)
        assert len(sent) == 300
        assert vendor.spans(semconv.SCOPE_RECORDS) == vendor.spans(semconv.SCOPE_LABELS) == []
        assert server.spans(semconv.SCOPE_PREDICTIONS) == []
        records = [attributes_of(span) for _, span in server.spans(semconv.SCOPE_RECORDS)]
        assert sum(record[semconv.RECORD_COUNT] for record in records) == 300
        packed = b"".join(record[semconv.RECORD_SPAN_IDS] for record in records)
        ids = {packed[at : at + 8] for at in range(0, len(packed), 8)}
        assert ids == {span.span_id for _, span in sent}
        assert len(server.spans(semconv.SCOPE_LABELS)) == 1
