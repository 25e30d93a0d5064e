"""The deployment files fit together: `docker compose up` is only wiring, and this is checked here.

No container engine is needed. The configurations run in `tests/e2e`; what Jaeger's and the
gateway's hold by themselves is in `tests/collector/test_jaeger_deployment.py`.
"""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from inferspan import semconv
from inferspan_collector import config

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GRAFANA = ROOT / "collector/grafana"
DASHBOARDS = sorted((GRAFANA / "dashboards").glob("*.json"))


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(source, target) of a service's volumes."""
    for volume in service.get("volumes", ()):
        source, target = volume.split(":")[:2]
        yield source, target


def mounted_text(service: dict[str, Any]) -> str:
    """What the configuration files mounted into a service say."""
    sources = [ROOT / source for source, _ in mounts(service) if source.startswith("./")]
    files = [f for s in sources for f in (s.rglob("*") if s.is_dir() else [s]) if f.is_file()]
    return "\n".join(file.read_text() for file in files)


def test_the_set_is_whole() -> None:
    wanted = {"gateway", "inferspan", "jaeger", "prometheus", "grafana", "example"}
    assert set(SERVICES) == wanted


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_to_this_machine_only(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_exists(name: str) -> None:
    for source, _ in mounts(SERVICES[name]):
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["gateway", "jaeger"])
def test_a_configuration_gets_the_variables_it_reads(name: str) -> None:
    read = set(re.findall(r"\$\{env:(\w+)", mounted_text(SERVICES[name])))
    assert read == set(SERVICES[name]["environment"])


@pytest.mark.parametrize("name", ["gateway", "inferspan", "jaeger", "prometheus"])
def test_a_command_names_files_that_are_mounted(name: str) -> None:
    targets = [target for _, target in mounts(SERVICES[name])]
    words = " ".join(SERVICES[name]["command"]).replace("=", " ").split()
    paths = [word for word in words if word.startswith("/")]
    assert paths
    assert [p for p in paths if not any(f"{p}/".startswith(f"{t}/") for t in targets)] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_host_that_is_asked_is_a_service(name: str) -> None:
    environment = SERVICES[name].get("environment", {})
    text = mounted_text(SERVICES[name]) + "\n" + "\n".join(map(str, environment.values()))
    hosts = re.findall(r"https?://([\w.-]+):\d+", text)
    hosts += re.findall(r'"([\w-]+):\d+"', text)
    assert [host for host in hosts if host not in {*SERVICES, "127.0.0.1"}] == []


def test_inferspan_in_the_network_is_reachable_by_its_name_only() -> None:
    loaded = config.load(ROOT / "collector/inferspan.yaml")
    assert loaded.receivers.allow_public
    assert set(loaded.receivers.allowed_hosts) <= set(SERVICES)
    asked = re.findall(
        r"http://(\w+):(4318|4319)\b",
        yaml.safe_dump([s.get("environment") for s in SERVICES.values()]),
    )
    assert {host for host, _ in asked} <= {*loaded.receivers.allowed_hosts, "gateway"}
    # Jaeger's page runs in a browser on this machine, so it is the published port that counts.
    assert loaded.jaeger.ui == "http://" + SERVICES["jaeger"]["ports"][0].rsplit(":", 1)[0]


@pytest.mark.parametrize("dockerfile", ["collector/Dockerfile", "examples/quickstart/Dockerfile"])
def test_an_image_copies_what_exists(dockerfile: str) -> None:
    assert dockerfile in {s["build"]["dockerfile"] for s in SERVICES.values() if "build" in s}
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    for line in (ROOT / dockerfile).read_text().splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            for source in words[1:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.split('/')[0]}" in let_through, source


def expressions(dashboard: Path) -> list[str]:
    """Every query of a dashboard, its variables' too."""
    board = json.loads(dashboard.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    return queries + [v["definition"] for v in board["templating"]["list"] if "definition" in v]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_dashboards_ask_the_datasource_that_is_provisioned(dashboard: Path) -> None:
    provisioned = (GRAFANA / "provisioning/datasources/prometheus.yaml").read_text()
    (source,) = yaml.safe_load(provisioned)["datasources"]
    asked = re.findall(r'"type": "prometheus",\s+"uid": "([^"]+)"', dashboard.read_text())
    assert set(asked) == {source["uid"]}


def post(url: str, body: str, content_type: str) -> None:
    request = urllib.request.Request(url, body.encode(), {"Content-Type": content_type})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200


def scraped(served: dict[str, str]) -> dict[str, set[str]]:
    """Names in `/metrics` → their labels, once one label joined and one waits."""
    now = str(time.time_ns())  # noqa: TID251 — the windows of a real collector end now
    attributes = {
        semconv.MODEL_NAME: "m",
        semconv.OPERATION_NAME: "predict",
        semconv.TASK_TYPE: semconv.MULTICLASS,
        semconv.PREDICTION_ID: "p",
        semconv.OUTPUT_CLASS: "1",
    }
    span = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "predict m",
        "startTimeUnixNano": now,
        "endTimeUnixNano": now,
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }
    scope = {"name": semconv.SCOPE_PREDICTIONS}
    spans = {"resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": [span]}]}]}
    post(f"{served['otlp_http']}/v1/traces", json.dumps(spans), "application/json")
    joins = {"id": "l", "model": "m", "prediction_id": "p", "class": "1"}
    waits = {**joins, "id": "w", "prediction_id": "q"}
    lines = f"{json.dumps(joins)}\n{json.dumps(waits)}\n"
    post(f"{served['api']}/v1/labels", lines, "application/x-ndjson")
    names: dict[str, set[str]] = {}
    with urllib.request.urlopen(f"{served['api']}/metrics", timeout=10) as response:
        for family in text_string_to_metric_families(response.read().decode()):
            suffix = "_total" if family.type == "counter" else ""
            names[family.name + suffix] = {k for s in family.samples for k in s.labels}
    return names


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_dashboards_ask_for_what_is_measured(dashboard: Path, served: dict[str, str]) -> None:
    names = scraped(served)
    text = "\n".join(expressions(dashboard))
    asked = set(re.findall(r"\binferspan_\w+", text))
    assert asked
    assert asked - names.keys() == set()
    for name, selector in re.findall(r"(inferspan_\w+)\{([^}]*)\}", text):
        assert set(re.findall(r"(\w+)=", selector)) <= names[name], (name, selector)
