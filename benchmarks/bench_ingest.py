"""How many spans a collector takes per second, and per second of its own CPU.

A collector in a process of its own takes predictions and label spans, 2 : 1, over OTLP/HTTP from
concurrent senders; every request is answered after its commit. The peer will be the stock
Collector's spanmetrics connector; today the ratio to compare with is the same load without labels.

    python benchmarks/bench_ingest.py [--spans 60000] [--batch 500] [--senders 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from inferspan import semconv

CLASSES = ("fraud", "legit")
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def attribute(span: Span, name: str, value: str | float) -> None:
    """Set one attribute."""
    entry = span.attributes.add(key=name)
    if isinstance(value, str):
        entry.value.string_value = value
    else:
        entry.value.double_value = value


def prediction(number: int, now_ns: int) -> Span:
    """A prediction span as the SDK sends it."""
    span = Span(
        trace_id=number.to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="predict fraud",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=now_ns,
        end_time_unix_nano=now_ns + 3_000_000 + number % 1_000_000,
    )
    attribute(span, semconv.OPERATION_NAME, "predict")
    attribute(span, semconv.MODEL_NAME, "fraud")
    attribute(span, semconv.MODEL_VERSION, "7")
    attribute(span, semconv.TASK_TYPE, semconv.BINARY)
    attribute(span, semconv.OUTPUT_POSITIVE_CLASS, "fraud")
    attribute(span, semconv.OUTPUT_CLASS, CLASSES[number % 2])
    attribute(span, semconv.OUTPUT_SCORE, (number % 100) / 100)
    attribute(span, semconv.SLICE_PREFIX + "country", ("DE", "FR", "IT")[number % 3])
    attribute(span, semconv.PREDICTION_ID, f"order-{number:012d}")
    return span


def label(number: int, now_ns: int) -> Span:
    """A label span as the SDK sends it."""
    span = Span(
        trace_id=(number + 2**64).to_bytes(16, "big"),
        span_id=number.to_bytes(8, "big"),
        name="label fraud",
        start_time_unix_nano=now_ns,
        end_time_unix_nano=now_ns,
    )
    attribute(span, semconv.LABEL_ID, f"label-{number:012d}")
    attribute(span, semconv.MODEL_NAME, "fraud")
    attribute(span, semconv.PREDICTION_ID, f"order-{number:012d}")
    attribute(span, semconv.LABEL_CLASS, CLASSES[number % 3 % 2])
    return span


def bodies(spans: int, batch: int, labels: bool, now_ns: int) -> list[bytes]:
    """OTLP requests; every second prediction gets its label in the same request."""
    made = []
    per_request = batch * 2 // 3 if labels else batch
    for first in range(1, spans * (2 if labels else 3) // 3, per_request):
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add()
        entry = resource.resource.attributes.add(key=semconv.SERVICE_NAME)
        entry.value.string_value = "bench"
        numbers = range(first, first + per_request)
        resource.scope_spans.append(
            ScopeSpans(scope={"name": "inferspan"}, spans=[prediction(n, now_ns) for n in numbers])
        )
        if labels:
            resource.scope_spans.append(
                ScopeSpans(
                    scope={"name": "inferspan.labels"},
                    spans=[label(n, now_ns) for n in numbers if n % 2],
                )
            )
        made.append(request.SerializeToString())
    return made


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


async def send(url: str, requests: list[bytes], senders: int) -> list[float]:
    """Send all requests from concurrent senders; the seconds each answer took."""
    left = iter(requests)
    took: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=60.0) as client:

        async def sender() -> None:
            for body in left:
                began = time.perf_counter()
                answer = await client.post(
                    "/v1/traces", content=body, headers={"Content-Type": "application/x-protobuf"}
                )
                answer.raise_for_status()
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(sender() for _ in range(senders)))
    return sorted(took)


def measure(name: str, requests: list[bytes], spans: int, senders: int) -> float:
    """Run one load against a fresh collector and print its line; spans per CPU-second."""
    with tempfile.TemporaryDirectory() as data:
        addresses = ["--otlp-http", "127.0.0.1:0", "--otlp-grpc", "off", "--api", "127.0.0.1:0"]
        with subprocess.Popen(
            [sys.executable, "-m", "inferspan_collector.cli", "serve", "--data", data, *addresses],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as collector:
            assert collector.stdout is not None
            url = json.loads(collector.stdout.readline())["otlp_http"]
            before, began = cpu_seconds(collector.pid), time.perf_counter()
            took = asyncio.run(send(url, requests, senders))
            seconds = time.perf_counter() - began
            used = cpu_seconds(collector.pid) - before
            collector.terminate()
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    print(
        f"{name:24} {spans / seconds:10,.0f} spans/s {spans / used:10,.0f} spans/CPU-s"
        f"   answers p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms"
    )
    return spans / used


def main() -> None:
    """Measure predictions alone, then predictions with labels, and print the ratio."""
    parser = argparse.ArgumentParser(description="Ingest speed of a collector, labels included.")
    parser.add_argument("--spans", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument("--senders", type=int, default=8)
    arguments = parser.parse_args()
    now_ns = time.time_ns()
    rates = []
    for name, labels in (("predictions alone", False), ("with labels, 2 : 1", True)):
        requests = bodies(arguments.spans, arguments.batch, labels, now_ns)
        spans = sum(
            len(scope.spans)
            for body in requests
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
        )
        rates.append(measure(name, requests, spans, arguments.senders))
    print(f"joining costs: {rates[0] / rates[1]:.2f} x the CPU of a span without labels")


if __name__ == "__main__":
    main()
