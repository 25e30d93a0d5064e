"""The how-to in real servers: a stack that is there is joined, loses nothing, and is left again."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector_process import DEADLINE_SECONDS, Served, counts, serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from existing_stack import blocks, change, copied, texts
from servers.build import ROOT, SERVERS, build
from servers.monitoring import Prometheus, prometheus
from servers.running import free_addresses, running, wait_for
from waiting import wait_until

pytestmark = pytest.mark.real

SECONDS = 60.0
ORDERS = 100
PLACES = (
    "COLLECTOR_OTLP_HTTP", "COLLECTOR_OTLP_GRPC", "COLLECTOR_METRICS", "COLLECTOR_HEALTH",
    "JAEGER_OTLP_HTTP", "JAEGER_OTLP_GRPC", "JAEGER_QUERY_HTTP", "JAEGER_QUERY_GRPC",
    "PROMETHEUS", "INFERSPAN_OTLP_HTTP", "INFERSPAN_API",
)  # fmt: skip


class Stack:
    """The servers of `examples/existing-stack`, as its files say at the time of a start."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = copied(directory / "files")
        self.at = dict(zip(PLACES, free_addresses(len(PLACES)), strict=True))

    def environment(self) -> Mapping[str, str]:
        urls = {"PROMETHEUS", "INFERSPAN_OTLP_HTTP", "INFERSPAN_API"}
        return {name: f"http://{at}" if name in urls else at for name, at in self.at.items()} | {
            "JAEGER_OTLP": f"http://{self.at['JAEGER_OTLP_HTTP']}",
            "JAEGER_UI_CONFIG": str(self.files / "ui.json"),
            "INFERSPAN_QUEUE": str(self.directory / "queue"),
            "METRICS_FLUSH_INTERVAL": "1s",
        }

    def placed(self, text: str) -> str:
        """A file that knows no variables, with addresses of ours, and scraped every second."""
        for host, place in {
            "collector:8889": "COLLECTOR_METRICS",
            "inferspan:4319": "INFERSPAN_API",
            "jaeger:4318": "JAEGER_OTLP_HTTP",
            "prometheus:9090": "PROMETHEUS",
        }.items():
            text = text.replace(host, self.at[place])
        return text.replace(": 15s", ": 1s")

    def write_prometheus(self) -> Path:
        placed = self.directory / "prometheus.yml"
        placed.write_text(self.placed((self.files / "prometheus.yml").read_text()))
        return placed

    @contextlib.contextmanager
    def servers(self) -> Iterator[None]:
        """Run Collector and Jaeger with the files as they are now."""
        with contextlib.ExitStack() as running_now:
            for name, file, url in (
                ("jaeger", "jaeger.yaml", f"http://{self.at['JAEGER_QUERY_HTTP']}/api/services"),
                ("otelcol", "otelcol.yaml", f"http://{self.at['COLLECTOR_HEALTH']}/"),
            ):
                command = [str(build(SERVERS[name])), "--config", str(self.files / file)]
                server = running_now.enter_context(
                    running(name, command, self.environment(), self.directory)
                )
                wait_for(server, url)
            yield

    @contextlib.contextmanager
    def inferspan(self) -> Iterator[Served]:
        """Run inferspan with the how-to's configuration."""
        (block,) = blocks("yaml")
        (file := self.directory / "inferspan.yaml").write_text(self.placed(block))
        with serving(
            self.directory / "data",
            "--config",
            str(file),
            otlp_http=self.at["INFERSPAN_OTLP_HTTP"],
            otlp_grpc="off",
            api=self.at["INFERSPAN_API"],
        ) as served:
            yield served

    def shop(self, orders: int) -> None:
        """Requests of a service without a model."""
        body = ExportTraceServiceRequest(
            resource_spans=[
                ResourceSpans(
                    resource=Resource(
                        attributes=[
                            KeyValue(key="service.name", value=AnyValue(string_value="checkout"))
                        ]
                    ),
                    scope_spans=[ScopeSpans(spans=[request(n) for n in range(orders)])],
                )
            ]
        ).SerializeToString()
        httpx.post(
            f"http://{self.at['COLLECTOR_OTLP_HTTP']}/v1/traces",
            content=body,
            headers={"Content-Type": "application/x-protobuf"},
        ).raise_for_status()

    def monitor(self, measure: str, service: str) -> dict[str, float]:
        """What the tab Monitor shows last: operation → value."""
        answer = httpx.get(
            f"http://{self.at['JAEGER_QUERY_HTTP']}/api/metrics/{measure}",
            params={
                "service": service, "endTs": time.time_ns() // 1_000_000 + 60_000,
                "lookback": 180_000, "step": 5_000, "ratePer": 600_000, "spanKind": "server",
                "groupByOperation": "true",
            },
            timeout=30.0,
        )  # fmt: skip
        assert answer.is_success, answer.text
        return {
            next(label["value"] for label in one["labels"] if label["name"] == "operation"): points[
                -1
            ]["gaugeValue"]["doubleValue"]
            for one in answer.json()["metrics"]
            if (points := one["metricPoints"])
        }

    def shown_of_checkout(self) -> bool:
        """Whether the tab shows the shop; a rate takes two scrapes, and orders between them."""
        self.shop(20)
        return self.monitor("calls", "checkout").get("POST /pay", 0.0) > 0


def request(number: int) -> Span:
    now = time.time_ns()
    return Span(
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        name="POST /pay",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=now - 1_000_000 * (number + 1),
        end_time_unix_nano=now,
    )


def quickstart(endpoint: str) -> None:
    """A hundred predictions, some of them slim records only, and their labels."""
    done = subprocess.run(
        (sys.executable, str(ROOT / "examples/quickstart/main.py")),
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "INFERSPAN_SAMPLE_RATIO": "0.5"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr


def check_joined(stack: Stack, served: Served, metrics: Prometheus) -> None:
    """Models are shown in every place, and nobody counts them twice."""
    quickstart(f"http://{stack.at['COLLECTOR_OTLP_HTTP']}")
    wait_until(
        lambda: httpx.get(f"{served.api}/api/v1/models").json() and counts(served.api)[1] == ORDERS,
        SECONDS,
        "all orders to be labelled, though one trace in ten is kept",
    )
    assert counts(served.api) == (ORDERS, ORDERS)

    answer = httpx.get(f"{served.api}/api/v1/models/fraud/quality?every=all").json()
    accuracy = answer["windows"][0]["metrics"]["accuracy"]["value"]
    wait_until(
        lambda: stack.monitor("errors", "fraud-api-quality").get("evaluate fraud"),
        SECONDS,
        "errors",
    )
    assert stack.monitor("errors", "fraud-api-quality")["evaluate fraud"] == pytest.approx(
        1 - accuracy, abs=0.01
    )
    assert list(stack.monitor("calls", "fraud-api")) == ["predict fraud"]

    jaeger = f"http://{stack.at['JAEGER_QUERY_HTTP']}"
    evaluated = wait_until(
        lambda: httpx.get(f"{jaeger}/api/services/fraud-api-quality/operations").json()["data"],
        SECONDS,
        "evaluation spans in Jaeger",
    )
    assert evaluated == ["evaluate fraud"]
    operations = httpx.get(f"{jaeger}/api/services/fraud-api/operations").json()["data"] or []
    assert set(operations) <= {"predict fraud", "features fraud"}

    # What the Collector counts now is what it counted before: the shop, and nothing of ours.
    found = wait_until(
        lambda: metrics.query("sum by (service_name) (traces_span_metrics_calls_total)"),
        SECONDS,
        "what the Collector counts, in Prometheus",
    )
    assert [labels for labels, _ in found] == [{"service_name": "checkout"}]
    metrics.wait_for('inferspan_quality_score{model="fraud", metric="accuracy"}')


def test_a_stack_is_joined_and_left_again(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    before = texts(stack.files)
    address = stack.at["PROMETHEUS"]
    with prometheus(tmp_path, stack.write_prometheus(), address) as metrics:
        with stack.servers():
            wait_until(stack.shown_of_checkout, SECONDS, "the Monitor as it was")

        change(stack.files)
        stack.write_prometheus()
        httpx.post(f"{metrics.url}/-/reload").raise_for_status()
        with stack.inferspan() as served, stack.servers():
            wait_until(stack.shown_of_checkout, SECONDS, "the Monitor through us")
            check_joined(stack, served, metrics)
            asked: Any = httpx.get(f"{served.api}/metrics").text
            assert re.search(r'upstream_requests_total\{result="ok"\} \d', asked)

        change(stack.files, back=True)
        assert texts(stack.files) == before
        stack.write_prometheus()
        httpx.post(f"{metrics.url}/-/reload").raise_for_status()
        with stack.servers():
            wait_until(stack.shown_of_checkout, SECONDS, "the Monitor as it was before")
