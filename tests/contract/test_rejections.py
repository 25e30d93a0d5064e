"""What the collector refuses of a request that it takes, the SDK counts as failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from collector_process import DEADLINE_SECONDS, counts, serving

SCRIPT = """
import inferspan
from inferspan import semconv
from inferspan.delivery import delivery_counts
from inferspan.providers import label_tracer
from inferspan.spans import emit_record
from opentelemetry import trace

@inferspan.predict(model="fraud", task="binary_classification", prediction_id="order")
def score(order, version):
    trace.get_current_span().set_attribute(semconv.MODEL_VERSION, version)
    return "legit"

def became():
    counted = delivery_counts().items()
    return sorted((what, each["sent"], each["failed"]) for what, each in counted)

inferspan.configure(service_name="shop")
score("a", "1")
inferspan.label("a", "legit", model="fraud")
print(inferspan.flush(30), became())
# Too long, by a way on which the SDK does not check it.
score("b", "x" * 2000)
score("c", "1")
print(inferspan.flush(30), became())
emit_record(label_tracer(), "label", {semconv.MODEL_NAME: "x" * 2000, semconv.LABEL_CLASS: "a"})
print(inferspan.flush(30), became(), inferspan.flush(30))
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_what_the_collector_refuses_failed(protocol: str, tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        grpc = f"http://{served.otlp_grpc}"
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={
                **os.environ,
                "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
                "OTEL_EXPORTER_OTLP_ENDPOINT": grpc if protocol == "grpc" else served.otlp_http,
            },
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=True,
        )
        assert counts(served.api) == (2, 1)
    assert done.stdout.splitlines() == [
        "True [('labels', 1, 0), ('predictions', 1, 0)]",
        "False [('labels', 1, 0), ('predictions', 2, 1)]",
        "False [('labels', 1, 1), ('predictions', 2, 1)] True",
    ]
    assert "left out 1 of a request's records: text_too_long: inferspan.model.version" in (
        done.stderr
    )
