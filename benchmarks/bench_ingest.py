"""How many predictions and labels a collector takes: `python benchmarks/bench_ingest.py`.

One collector, fresh store, requests of 512 predictions and then of 256 labels, sent over OTLP/HTTP
by a few connections at once. An answer means that the request is on disk, joined and counted; the
last line checks that the API counts exactly what was sent. CPU seconds are the collector's own,
start included. Shared machines vary by some 15 %: compare runs, not numbers from elsewhere.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from inferspan import semconv

PREDICTIONS_PER_REQUEST = 512
LABELS_PER_REQUEST = 256
CONNECTIONS = 4


def attribute(key: str, value: str | float) -> KeyValue:
    if isinstance(value, str):
        return KeyValue(key=key, value=AnyValue(string_value=value))
    return KeyValue(key=key, value=AnyValue(double_value=value))


def request_of(scope: str, spans: Sequence[Span]) -> bytes:
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.append(attribute(semconv.SERVICE_NAME, "bench"))
    scope_spans = resource_spans.scope_spans.add(schema_url=semconv.SCHEMA_URL)
    scope_spans.scope.name = scope
    scope_spans.spans.extend(spans)
    return request.SerializeToString()


def prediction(number: int, start_ns: int) -> Span:
    """A span as the SDK makes it, with what a binary classifier says."""
    attributes: dict[str, str | float] = {
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: "bench",
        semconv.MODEL_VERSION: "1",
        semconv.TASK_TYPE: semconv.BINARY,
        semconv.PREDICTION_ID: f"order-{number}",
        semconv.OUTPUT_CLASS: str(number % 2),
        semconv.OUTPUT_SCORE: (number % 1000) / 1000,
        semconv.OUTPUT_POSITIVE_CLASS: "1",
        semconv.CAPTURE_POLICY: "shapes",
        semconv.SLICE_PREFIX + "country": f"C{number % 20}",
    }
    return Span(
        trace_id=(number + 1).to_bytes(16),
        span_id=(number + 1).to_bytes(8),
        name="predict bench",
        start_time_unix_nano=start_ns + number * 1_000_000,
        end_time_unix_nano=start_ns + number * 1_000_000 + 2_000_000 + number % 997 * 10_000,
        attributes=[attribute(key, value) for key, value in attributes.items()],
    )


def label(number: int) -> Span:
    """The truth about one prediction; one in ten was wrong."""
    attributes = {
        semconv.LABEL_ID: f"label-{number}",
        semconv.MODEL_NAME: "bench",
        semconv.PREDICTION_ID: f"order-{number}",
        semconv.LABEL_CLASS: str((number + (number % 10 == 0)) % 2),
    }
    return Span(
        trace_id=(number + 1).to_bytes(16, "little"),
        span_id=(number + 1).to_bytes(8, "little"),
        name="label bench",
        start_time_unix_nano=time.time_ns(),
        end_time_unix_nano=time.time_ns(),
        attributes=[attribute(key, value) for key, value in attributes.items()],
    )


def send_all(url: str, bodies: Sequence[bytes]) -> list[float]:
    """Send every body; seconds until each answer."""

    def send(body: bytes) -> float:
        request = urllib.request.Request(url, body, {"Content-Type": "application/x-protobuf"})
        begun = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as response:
            response.read()
        return time.perf_counter() - begun

    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(send, bodies))


def report(what: str, n: int, seconds: float, answers: Sequence[float]) -> None:
    slowest = sorted(answers)
    p50, p99 = (slowest[int(q * (len(slowest) - 1))] * 1e3 for q in (0.5, 0.99))
    rate = f"{n / seconds:>9,.0f}/s"
    print(f"{what:<12} {n:>9,}  {rate}  answers p50 {p50:.0f} ms, p99 {p99:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--predictions", type=int, default=100_000)
    n = parser.parse_args().predictions
    start_ns = time.time_ns() - n * 1_000_000 - 60_000_000_000
    step = PREDICTIONS_PER_REQUEST
    predictions = [
        request_of(
            semconv.SCOPE_PREDICTIONS,
            [prediction(k, start_ns) for k in range(first, min(first + step, n))],
        )
        for first in range(0, n, step)
    ]
    step = LABELS_PER_REQUEST
    labels = [
        request_of(semconv.SCOPE_LABELS, [label(k) for k in range(first, min(first + step, n))])
        for first in range(0, n, step)
    ]
    with tempfile.TemporaryDirectory() as directory:
        free = "127.0.0.1:0"
        command = [str(Path(sys.executable).with_name("inferspan")), "serve"]
        addresses = ["--otlp-http", free, "--otlp-grpc", "off", "--api", free, "--data", directory]
        options = [*addresses, "--log-level", "error"]
        with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            for what, bodies in (("predictions", predictions), ("labels", labels)):
                begun = time.perf_counter()
                answers = send_all(f"{ready['otlp_http']}/v1/traces", bodies)
                report(what, n, time.perf_counter() - begun, answers)
            url = f"{ready['api']}/api/v1/models/bench/quality?every=all"
            with urllib.request.urlopen(url, timeout=60) as response:
                (window,) = json.load(response)["windows"]
            process.terminate()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    memory = usage.ru_maxrss / 1024
    print(f"collector    {2 * n / cpu:>9,.0f} records per CPU second, {memory:,.0f} MiB at most")
    wrong = len(range(0, n, 10))
    accuracy = window["metrics"]["accuracy"]["value"]
    assert (window["predictions"], window["labeled"]) == (n, n), window
    assert abs(accuracy - (1 - wrong / n)) < 1e-12, accuracy
    print(f"accuracy     {accuracy:.4f} over all {n:,}, as sent")


if __name__ == "__main__":
    main()
