"""A real Prometheus scrapes a real run: whatever `docs/metrics.md` lists, it has."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from replaying import ServedCollector, served

from inferspan_collector.testing import prediction_span, traces_request
from servers.build import ROOT
from servers.debian import COMMANDS, find
from servers.monitoring import Prometheus, prometheus
from servers.recording import Recorder, recording
from waiting import wait_until

pytestmark = pytest.mark.real

WORKLOAD = Path(__file__).with_name("measured_workload.py")
SECONDS = 60.0
CONFIG = """
limits: {slice_values: 2}
# Nobody answers there: who asks for others' services gets ours alone.
jaeger: {ui: "http://127.0.0.1:16686", correct_share: 0.5, monitor_upstream: "http://127.0.0.1:9"}
# Nobody answers there, either.
publish: {figures_seconds: 1, otlp: "http://127.0.0.1:9", otlp_seconds: 1}
models:
  risk:
    owner: payments
    runbook: https://example.org/runbook
    latency_objective_ms: 0.001
    accuracy_objective: 0.99
    availability_objective: 0.999
    reference: {first: 300}
    thresholds:
      accuracy: {lower: 0.99, upper: 0.999}
      roc_auc: {lower: 0.5}
      feature.amount.hellinger: {lower: 0.000001, upper: 0.5}
    costs:
      fraud: {legit: 100.0}
mappings:
  - name: tickets
    match: {scope: tickets, span: classify}
    prediction: {model: {attribute: app.model}, class: {attribute: app.answer}}
"""
MONITOR = (
    'sum(rate(traces_span_metrics_calls_total{service_name =~ "others", '
    'span_kind =~ "SPAN_KIND_SERVER"}[10m])) '
    "by (service_name)"
)
"""As Jaeger asks its Monitor's questions."""
WINDOWS = ("5m", "30m", "1h", "6h", "1d", "3d")
ONLY_AFTER = {
    "inferspan_contained_errors_total": "a defect of ours",
}
"""Series that no run has, and after what it would."""


def documented() -> list[str]:
    """The names in the first column of the tables under `Prometheus` that are there."""
    page = (ROOT / "docs/metrics.md").read_text()
    names: list[str] = []
    for line in page[page.index("## Prometheus") :].splitlines():
        cell = line.split("|")[1] if line.startswith("| `") else ""
        if "†" in cell:
            continue
        found = re.findall(r"`(…?[a-z_:0-9]+(?:W|\b))`", cell)
        whole = [n for n in found if n.startswith(("inferspan_", "model_version:", "process_"))]
        names += whole
        stem = whole[0].rpartition(":")[0] if whole else ""
        names += [stem + n.removeprefix("…") for n in found if n.startswith("…")]
    return [w for n in names for w in ([n[:-1] + w for w in WINDOWS] if n.endswith("W") else [n])]


NAMES = documented()


def strange(collector: ServedCollector) -> None:
    """What a well-behaved sender does not send."""
    api, otlp = collector.api, f"{collector.otlp_http}/v1/traces"
    binary = {"Content-Type": "application/x-protobuf"}
    ahead = time.time_ns() + 3_600_000_000_000
    skewed = traces_request([prediction_span("ahead", start_ns=ahead)]).SerializeToString()
    nameless = traces_request([prediction_span("nameless", model="")]).SerializeToString()
    for body in (skewed, skewed, nameless, b"\xff\xff"):
        httpx.post(otlp, content=body, headers=binary, timeout=30.0)
    monitor = f"{api}/jaeger/prometheus/api/v1/query_range"
    httpx.post(monitor, data={"query": MONITOR, "start": 0, "end": 60, "step": 60}, timeout=30.0)
    forget = {"prediction_id": "order-1-2", "model": "risk"}
    httpx.post(f"{api}/api/v1/forget", json=forget, timeout=30.0).raise_for_status()


def offline(collector: ServedCollector, directory: Path) -> None:
    """What the model was like on a file, of a version that is not asked."""
    rows = ["predicted,actual,score", "fraud,fraud,0.9", "legit,legit,0.2", "fraud,legit,0.6"]
    file = directory / "eval.csv"
    file.write_text("\n".join(rows + rows[1:] * 20))
    command = [sys.executable, "-m", "inferspan_collector.cli", "baseline", "risk", str(file)]
    told = ["--version", "offline", "--positive-class", "fraud", "--cross-validation", "f1=0.8,0.9"]
    subprocess.run([*command, *told, "--api", collector.api], check=True, capture_output=True)


def scraping(collector: ServedCollector, directory: Path) -> dict[str, Any]:
    """A configuration of Prometheus with our rules, every second."""
    rules = directory / "rules"
    rules.mkdir()
    for path in (ROOT / "collector/prometheus/rules").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            group.pop("interval", None)
        (rules / path.name).write_text(yaml.safe_dump(content))
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    target = {"targets": [collector.api.removeprefix("http://")]}
    job = {"job_name": "inferspan", "honor_labels": True, "static_configs": [target]}
    return {"global": every, "rule_files": [str(rules / "*.yaml")], "scrape_configs": [job]}


@pytest.fixture(scope="module")
def jaeger_like() -> Iterator[Recorder]:
    with recording() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def collector(
    tmp_path_factory: pytest.TempPathFactory, jaeger_like: Recorder
) -> Iterator[ServedCollector]:
    directory = tmp_path_factory.mktemp("collector")
    (directory / "inferspan.yaml").write_text(CONFIG)
    options = ("--config", str(directory / "inferspan.yaml"), "--jaeger", jaeger_like.url)
    with served(directory / "data", "127.0.0.1:0", *options) as running:
        yield running


@pytest.fixture(scope="module")
def monitored(
    tmp_path_factory: pytest.TempPathFactory, collector: ServedCollector
) -> Iterator[Prometheus]:
    """Prometheus beside a collector; twice the workload ran meanwhile, so that rates see it."""
    directory = tmp_path_factory.mktemp("prometheus")
    with prometheus(directory, scraping(collector, directory)) as started:
        for run in (1, 2):
            finished = subprocess.run(
                [sys.executable, str(WORKLOAD), str(run)],
                env={
                    "PATH": os.environ["PATH"],
                    "OTEL_EXPORTER_OTLP_ENDPOINT": collector.otlp_http,
                },
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert finished.returncode == 0, finished.stderr
            started.wait_for('inferspan_evaluations_total{model="risk",outcome="correct"} > 0')
        strange(collector)
        offline(collector, directory)
        started.wait_for('inferspan_estimated_score{model="risk"}', SECONDS)
        yield started


def test_the_list_is_read() -> None:
    assert len(NAMES) > 100
    assert "inferspan_baseline_score" in NAMES
    assert {
        "inferspan_quality_score_upper",
        "inferspan_store_bytes",
        "model_version:inferspan_error_budget:burn_rate3d",
        "model_version:inferspan_prediction_duration_seconds:p99_rate5m",
    } <= set(NAMES)
    assert set(ONLY_AFTER) <= set(NAMES)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ONLY_AFTER])
def test_every_series_that_is_listed_is_there(monitored: Prometheus, name: str) -> None:
    asked = f'{{__name__=~"{name}(_bucket)?"}}'
    wait_until(lambda: monitored.query(asked), SECONDS, f"{name} to have samples")


def test_every_series_that_is_there_is_listed(monitored: Prometheus) -> None:
    names = monitored.get("label/__name__/values")
    stem = re.compile(r"_(bucket|count|sum|created)$")
    ours = {n for n in names if n.startswith(("inferspan_", "model_version:"))}
    assert sorted(n for n in ours if n not in NAMES and stem.sub("", n) not in NAMES) == []


def test_names_labels_and_units_are_by_the_conventions(
    monitored: Prometheus, collector: ServedCollector
) -> None:
    text = httpx.get(f"{collector.api}/metrics", timeout=30.0).text
    command = [find(COMMANDS["promtool"]), "check", "metrics"]
    said = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_an_exemplar_of_a_mistake_is_the_trace_of_a_mistake(
    monitored: Prometheus, collector: ServedCollector
) -> None:
    series = 'inferspan_evaluations_total{model="risk",outcome="incorrect"}'
    found = wait_until(lambda: monitored.exemplars(series), SECONDS, "an exemplar")
    wrong = collector.get("/api/v1/models/risk/predictions", outcome="incorrect", limit=1000)
    traces = {row["trace_id"] for row in wrong["predictions"]}
    # What was corrected since was a mistake when it came.
    right = collector.get("/api/v1/models/risk/predictions", outcome="correct", limit=1000)
    corrected = {row["trace_id"] for row in right["predictions"]}
    assert {exemplar["labels"]["trace_id"] for exemplar in found} <= traces | corrected
    assert found[-1]["labels"]["trace_id"] in traces


def test_an_exemplar_of_a_bucket_is_the_trace_of_such_a_call(
    monitored: Prometheus, collector: ServedCollector
) -> None:
    series = 'inferspan_prediction_duration_seconds_bucket{model="risk"}'
    found = wait_until(lambda: monitored.exemplars(series), SECONDS, "an exemplar")
    calls = collector.get("/api/v1/models/risk/predictions", limit=1000)["predictions"]
    durations = {row["trace_id"]: row["duration"] for row in calls}
    for exemplar in found:
        assert float(exemplar["value"]) == pytest.approx(durations[exemplar["labels"]["trace_id"]])


def test_a_spent_budget_and_a_low_figure_alert(monitored: Prometheus) -> None:
    wanted = {"InferspanQualityBelowThreshold", "InferspanBudgetBurnsFast"}

    def known() -> bool:
        alerts = monitored.get("alerts")["alerts"]
        return wanted <= {each["labels"]["alertname"] for each in alerts}

    wait_until(known, SECONDS, "alerts that are pending at least")
    (alert,) = (
        each
        for each in monitored.get("alerts")["alerts"]
        if each["labels"]["alertname"] == "InferspanQualityBelowThreshold"
        and each["labels"]["metric"] == "accuracy"
    )
    said = alert["annotations"]
    assert said["service"] == "shop"
    assert float(said["n"]) > 300
    low, high = map(float, said["interval"].split(" to "))
    assert low < float(said["value"]) < high < 0.99
    assert json.loads(json.dumps(said))["runbook_url"] == "https://example.org/runbook"
