"""`inferspan doctor` on real servers: nothing is wrong where nothing is, and what is, is named."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from inferspan import semconv
from inferspan_collector import testing
from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from servers import running
from servers.running import Gateway, Jaeger
from waiting import wait_until

pytestmark = pytest.mark.real

COMMAND = str(Path(sys.executable).with_name("inferspan"))
N = 40
Findings = dict[str, dict[str, Any]]


@dataclass
class Stack:
    """A gateway before a collector, and Jaeger beside it."""

    collector: Collector
    gateway: Gateway
    jaeger: Jaeger
    first: Findings = field(default_factory=dict)
    """What was found before any test did harm, whose order is random."""

    def settle(self) -> None:
        """Ask until nothing is wrong: the gateway and Jaeger show what they have a moment later."""

        def well() -> bool:
            self.first = self.findings()
            return not wrong_of(self.first)

        with contextlib.suppress(TimeoutError):
            wait_until(well, 60.0)

    def findings(self, jaeger: Jaeger | None = None, **environment: str) -> Findings:
        """Part and name → finding."""
        found = self.doctor((jaeger or self.jaeger).query, environment)
        return {f"{each['part']} {each['name']}": each for each in found}

    def doctor(self, jaeger: str, environment: Mapping[str, str]) -> list[dict[str, Any]]:
        arguments = ("--api", str(self.collector.addresses.api), "--jaeger", jaeger)
        arguments += ("--gateway", self.gateway.metrics, "--json")
        own = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "INFERSPAN_"))}
        done = subprocess.run(
            (COMMAND, "doctor", "doctored", *arguments),
            env=own | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.gateway.otlp_http} | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        assert done.returncode == any(each["state"] == "WRONG" for each in found), done.stderr
        return found


def wrong_of(found: Findings) -> Findings:
    return {name: each for name, each in found.items() if each["state"] == "WRONG"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jaeger: Jaeger) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("doctor")
    sections = {
        "receivers": {"otlp_http": "127.0.0.1:0", "otlp_grpc": "off", "api": jaeger.api},
        "store": {"data": str(directory / "data")},
        "jaeger": {"otlp": jaeger.otlp_http, "ui": jaeger.query},
    }
    with running_collector(load(None, sections)) as collector:
        to = str(collector.addresses.otlp_http)
        with running.gateway(directory, to, jaeger.otlp_http) as gateway:
            send(collector, gateway)
            made = Stack(collector, gateway, jaeger)
            made.settle()
            yield made


def send(collector: Collector, gateway: Gateway) -> None:
    """Predictions of now through the gateway, and their labels, some of them wrong."""
    start = time.time_ns() - N * 1_000_000_000
    spans = [
        testing.prediction_span(
            f"doctored-{i}",
            {
                semconv.TASK_TYPE: semconv.MULTICLASS,
                semconv.OUTPUT_CLASS: "legit",
                semconv.OUTPUT_SCORE: 0.75,
            },
            model="doctored",
            start_ns=start + i * 1_000_000_000,
        )
        for i in range(N)
    ]
    body = testing.traces_request(spans).SerializeToString()
    headers = {"Content-Type": "application/x-protobuf"}
    httpx.post(f"{gateway.otlp_http}/v1/traces", content=body, headers=headers).raise_for_status()
    api = str(collector.addresses.api)
    wait_until(lambda: bool(httpx.get(f"{api}/api/v1/models").json()), 30.0, "the predictions")
    truths = ["legit" if i % 4 else "fraud" for i in range(N)]
    lines = "\n".join(
        json.dumps({"prediction_id": f"doctored-{i}", "model": "doctored", "class": truth})
        for i, truth in enumerate(truths)
    )
    headers = {"Content-Type": "application/x-ndjson"}
    httpx.post(f"{api}/v1/labels", content=lines, headers=headers).raise_for_status()


def test_nothing_is_wrong_where_nothing_is(stack: Stack) -> None:
    found = stack.first
    assert wrong_of(found) == {}
    assert found["figures labels"]["seen"] == f"{N} of {N} predictions (100.0%)"
    accuracy = found["figures accuracy"]
    assert (accuracy["state"], accuracy["seen"]) == ("ok", f"0.75 of {N}")
    auc = found["figures roc_auc"]
    assert auc["state"] == "?"
    assert "probabilit" in auc["seen"] + auc["fix"]
    assert found["jaeger Monitor"]["state"] == "ok"
    assert found["jaeger Monitor, latency"]["state"] == "ok"
    asked = f"asks {stack.collector.addresses.api}/jaeger/quality-metrics"
    assert found["jaeger Model Quality"]["seen"] == asked
    assert {each["part"] for each in found.values()} == {
        "sender", "gateway", "collector", "figures", "jaeger", "prometheus",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "name", "fix"),
    [
        ("OTEL_SDK_DISABLED", "true", "OTEL_SDK_DISABLED", "unset it"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "api", "OTEL_EXPORTER_OTLP_ENDPOINT", "4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_ENDPOINT",
         "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_ENDPOINT",
         "inferspan serve"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", "OTEL_EXPORTER_OTLP_PROTOCOL", "correct it"),
    ],
)  # fmt: skip
def test_a_wrong_environment_is_named(
    stack: Stack, variable: str, value: str, name: str, fix: str
) -> None:
    said = str(stack.collector.addresses.api) if value == "api" else value
    finding = stack.findings(**{variable: said})[f"sender {name}"]
    assert finding["state"] == "WRONG"
    assert finding["expected"]
    assert fix in finding["fix"]


def test_a_sender_by_grpc_is_heard(stack: Stack) -> None:
    environment = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{stack.gateway.otlp_grpc}",
    }
    found = stack.findings(**environment)["sender OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert (found["state"], "takes spans" in found["seen"]) == ("ok", True)


@pytest.mark.parametrize(
    ("settings", "name", "seen", "fix"),
    [
        ({"normalize_calls": False}, "names of Monitor's metrics",
         "Jaeger asks for traces_span_metrics_calls", "normalize_calls"),
        ({"normalize_duration": False}, "names of Monitor's metrics",
         "Jaeger asks for traces_span_metrics_duration_bucket", "normalize_duration"),
        ({"latency_unit": "s"}, "names of Monitor's metrics",
         "Jaeger asks for traces_span_metrics_duration_seconds_bucket", "no latency_unit"),
        ({"metric_namespace": "span_metrics"}, "names of Monitor's metrics",
         "Jaeger asks for span_metrics_calls_total", "no metric_namespace"),
        ({"endpoint": "http://127.0.0.1:1"}, "metric_backends.prometheus.endpoint",
         "HTTP 500", "API/jaeger/prometheus"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_why_a_monitor_is_empty_is_named(
    stack: Stack, tmp_path: Path, settings: dict[str, object], name: str, seen: str, fix: str
) -> None:
    """A real Jaeger whose metrics backend is set up as it should not be."""
    backend = {"quality": {"prometheus": settings}}
    other = {"extensions": {"jaeger_storage": {"metric_backends": backend}}}
    (beside := tmp_path / "beside.yaml").write_text(json.dumps(other))
    with running.jaeger(tmp_path, api=stack.jaeger.api, beside=[beside]) as jaeger:
        evaluation = testing.otlp_span("evaluate doctored", {}, start_ns=time.time_ns())
        resource = {semconv.SERVICE_NAME: "unknown_service-quality"}
        request = testing.traces_request([evaluation], resource=resource)
        jaeger.send(request.SerializeToString())
        wait_until(lambda: jaeger.get("/api/services")["data"], 30.0, "the evaluation")
        finding = stack.findings(jaeger)[f"jaeger {name}"]
    assert finding["state"] == "WRONG"
    assert seen in finding["seen"]
    assert fix in finding["fix"]
