"""A stock Collector takes our metrics, and shows what a scrape of ours shows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families
from replaying import ServedCollector, served

from servers.recording import Recorder, recording
from servers.running import built, free_addresses, running, wait_for
from waiting import wait_until

pytestmark = pytest.mark.real

WORKLOAD = Path(__file__).with_name("measured_workload.py")
SECONDS = 60.0
STILL = (
    "inferspan_predictions_total",
    "inferspan_prediction_duration_seconds",
    "inferspan_evaluations_total",
    "inferspan_quality_outcomes_total",
    "inferspan_quality_score",
    "inferspan_stored_predictions",
    "inferspan_labels_total",
)
"""What no longer moves once the workload is over; other series are compared by name."""
ADDED = {"job", "otel_scope_name", "otel_scope_version", "otel_scope_schema_url"}
"""Labels that a Collector adds."""
Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(url: str) -> Series:
    """Of ours, with the labels that say something."""
    families = text_string_to_metric_families(httpx.get(url, timeout=30.0).text)
    return {
        (sample.name, frozenset(alike(sample.labels))): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("inferspan_")
    }


def alike(labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    """What both write: the one says `1.0` where the other says `1`."""
    for name, text in labels.items():
        if text and name not in ADDED:
            yield name, str(float(text)) if name == "le" else text


def still(found: Series) -> Series:
    return {key: value for key, value in found.items() if key[0].startswith(STILL)}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as started:
        yield started


@pytest.fixture
def collector(tmp_path: Path, recorder: Recorder) -> Iterator[tuple[ServedCollector, str]]:
    """Inferspan, which pushes to a stock Collector, and the page where that shows its metrics."""
    otlp, shown = free_addresses(2)
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": otlp}}}},
        "exporters": {
            "prometheus": {"endpoint": shown},
            "otlphttp": {"endpoint": recorder.url, "compression": "none"},
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {
                "metrics": {"receivers": ["otlp"], "exporters": ["prometheus", "otlphttp"]}
            },
        },
    }
    (tmp_path / "otelcol.yaml").write_text(yaml.safe_dump(config))
    ours = {"publish": {"otlp": f"http://{otlp}", "otlp_seconds": 1, "figures_seconds": 0}}
    (tmp_path / "inferspan.yaml").write_text(yaml.safe_dump(ours))
    command = built("otelcol", [tmp_path / "otelcol.yaml"])
    options = ("--config", str(tmp_path / "inferspan.yaml"))
    with running("otelcol", command, {}, tmp_path) as server:
        wait_for(server, f"http://{shown}/metrics", otlp)
        with served(tmp_path / "data", "127.0.0.1:0", *options) as started:
            yield started, f"http://{shown}/metrics"


def test_it_shows_what_a_scrape_shows(
    collector: tuple[ServedCollector, str], recorder: Recorder
) -> None:
    ours, shown = collector
    finished = subprocess.run(
        [sys.executable, str(WORKLOAD), "1"],
        env={"PATH": os.environ["PATH"], "OTEL_EXPORTER_OTLP_ENDPOINT": ours.otlp_http},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    ours.get("/api/v1/models")  # waits for all that was acknowledged

    def same() -> bool:
        scraped = still(series(f"{ours.api}/metrics"))
        pushed = still(series(shown))
        return (
            len(scraped) > 100
            and scraped.keys() == pushed.keys()
            and all(pushed[key] == pytest.approx(value) for key, value in scraped.items())
        )

    wait_until(same, SECONDS, "the Collector to show the same")
    names = {name for name, _ in series(f"{ours.api}/metrics")}
    assert names - {name for name, _ in series(shown)} == set()
    wrong = ours.get("/api/v1/models/risk/predictions", outcome="incorrect", limit=1000)
    traces = {row["trace_id"] for row in wrong["predictions"]}

    def exemplars() -> set[str]:
        return {
            exemplar.trace_id.hex()
            for body in recorder.logs[-5:]
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "inferspan_evaluations"
            for point in metric.sum.data_points
            for exemplar in point.exemplars
        }

    assert wait_until(exemplars, SECONDS, "exemplars") <= traces
