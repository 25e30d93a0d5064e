"""What a real SDK sent, sent again: in any order, in small requests, over every transport."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from inferspan import semconv
from servers.recording import recording

TIMEOUT_SECONDS = 60.0
SENDERS = 4
WORKLOAD = Path(__file__).with_name("workload.py")


@dataclass(frozen=True)
class Recording:
    """One run of the workload: what it sent, and what is true."""

    service: str
    predictions: list[bytes]
    """OTLP requests of a few prediction and stage spans each."""
    labels: list[bytes]
    """OTLP requests of a few label spans each."""
    rows: list[dict[str, Any]]
    """Per prediction: id, predicted, version, hospital, truth per target."""

    def shuffled(self, seed: int) -> list[bytes]:
        """Everything in one order of arrival; every tenth request comes twice."""
        order = random.Random(seed)
        requests = [*self.predictions, *self.labels]
        requests += order.sample(requests, k=len(requests) // 10)
        order.shuffle(requests)
        return requests


def record(count: int, service: str) -> Recording:
    """Run the workload against an endpoint that keeps what it is sent."""
    with recording() as recorder:
        environment = {
            "PATH": os.environ["PATH"],
            "OTEL_EXPORTER_OTLP_ENDPOINT": recorder.url,
            "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
        }
        finished = subprocess.run(
            [sys.executable, str(WORKLOAD), str(count), service],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        rows = [json.loads(line) for line in finished.stdout.splitlines()]
        return Recording(
            service,
            list(split(recorder.traces, semconv.SCOPE_PREDICTIONS, 100)),
            list(split(recorder.traces, semconv.SCOPE_LABELS, 20)),
            rows,
        )


def split(bodies: Sequence[bytes], scope_name: str, size: int) -> Iterator[bytes]:
    """Cut recorded requests into requests of at most `size` spans of one scope."""
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                if scope.scope.name != scope_name:
                    continue
                spans = list(scope.spans)
                for first in range(0, len(spans), size):
                    part = ResourceSpans(resource=resource.resource)
                    piece = part.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url)
                    piece.spans.extend(spans[first : first + size])
                    yield ExportTraceServiceRequest(resource_spans=[part]).SerializeToString()


class ServedCollector:
    """`inferspan serve` as a process of its own, on one data directory."""

    def __init__(self, data: Path, api: str, *options: str) -> None:
        self._command = [
            *(sys.executable, "-m", "inferspan_collector.cli", "serve"),
            *("--data", str(data), "--api", api),
            *("--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0", *options),
        ]
        self._log = data.with_suffix(".log")
        self.start()

    def start(self) -> None:
        """Start it, and wait until it says that it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.kill()
            raise AssertionError(f"the collector ended: {self._log.read_text()}")
        ready = json.loads(line)
        self.otlp_http, self.otlp_grpc, self.api = (
            ready["otlp_http"],
            ready["otlp_grpc"],
            ready["api"],
        )

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(TIMEOUT_SECONDS)

    def get(self, path: str, **parameters: object) -> Any:
        """JSON of the API."""
        answer = httpx.get(f"{self.api}{path}", params=parameters, timeout=TIMEOUT_SECONDS)
        assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
        return answer.json()


@contextmanager
def served(data: Path, api: str, *options: str) -> Iterator[ServedCollector]:
    """Run a collector until the block ends."""
    collector = ServedCollector(data, api, *options)
    try:
        yield collector
        assert collector.stop() == 0
    finally:
        collector.kill()


def send(collector: ServedCollector, requests: Sequence[bytes], first: int = 0) -> list[bytes]:
    """Send requests from a few senders at once, over HTTP, gzipped HTTP and gRPC in turn.

    Returns:
        Those that were not acknowledged.
    """

    def one(numbered: tuple[int, bytes]) -> bytes | None:
        number, body = numbered
        try:
            (_over_http, _over_gzip, _over_grpc)[number % 3](collector, body)
        except (httpx.TransportError, grpc.RpcError):
            return body
        return None

    with ThreadPoolExecutor(SENDERS) as senders:
        answers = senders.map(one, enumerate(requests, first))
        return [body for body in answers if body is not None]


def send_with_a_kill(collector: ServedCollector, requests: Sequence[bytes]) -> None:
    """Send everything; in the middle, with requests under way, the collector is killed."""
    half = len(requests) // 2
    assert send(collector, requests[:half]) == []
    with ThreadPoolExecutor(1) as background:
        under_way = background.submit(send, collector, requests[half : half + 3 * SENDERS])
        collector.kill()
        lost = under_way.result()
    collector.start()
    assert send(collector, [*lost, *requests[half + 3 * SENDERS :]], half) == []


def _over_http(collector: ServedCollector, body: bytes) -> None:
    _post(collector, body, {})


def _over_gzip(collector: ServedCollector, body: bytes) -> None:
    _post(collector, gzip.compress(body, 1), {"Content-Encoding": "gzip"})


def _post(collector: ServedCollector, body: bytes, headers: dict[str, str]) -> None:
    answer = httpx.post(
        f"{collector.otlp_http}/v1/traces",
        content=body,
        headers={"Content-Type": "application/x-protobuf", **headers},
        timeout=TIMEOUT_SECONDS,
    )
    assert answer.status_code == 200, answer.text


def _over_grpc(collector: ServedCollector, body: bytes) -> None:
    with grpc.insecure_channel(collector.otlp_grpc) as channel:
        TraceServiceStub(channel).Export(
            ExportTraceServiceRequest.FromString(body), timeout=TIMEOUT_SECONDS
        )
