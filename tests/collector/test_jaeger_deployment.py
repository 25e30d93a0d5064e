"""The files we ship for Jaeger and the gateway point at what exists."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferspan import semconv
from inferspan_collector import config
from inferspan_collector.config import Limits
from inferspan_collector.publish import jaeger_monitor, jaeger_quality

ROOT = Path(__file__).parents[2]
JAEGER = ROOT / "collector/jaeger/jaeger.yaml"
GATEWAY = ROOT / "collector/otelcol/gateway.yaml"
ON_DISK = ROOT / "collector/jaeger/on-disk.yaml"
SAMPLED = ROOT / "collector/otelcol/sampled-jaeger.yaml"
UI: dict[str, Any] = json.loads((ROOT / "collector/jaeger/ui.json").read_text())
DASHBOARDS = {
    board["uid"]: {variable["name"] for variable in board["templating"]["list"]}
    for file in (ROOT / "collector/grafana/dashboards").glob("*.json")
    for board in (json.loads(file.read_text()),)
}
"""uid → names of its variables."""


def test_the_page_asks_our_path_and_has_all_three_keys() -> None:
    # Jaeger does not merge the object with its defaults: one key missing, and there is no page.
    assert set(UI["qualityMetrics"]) == {"menuEnabled", "menuLabel", "apiEndpoint"}
    assert UI["qualityMetrics"]["apiEndpoint"].endswith(jaeger_quality.PATH)
    assert UI["monitor"]["menuEnabled"]


def test_the_tab_asks_our_path_with_the_full_names() -> None:
    backends = yaml.safe_load(JAEGER.read_text())["extensions"]["jaeger_storage"]["metric_backends"]
    ((_, settings),) = backends["quality"].items()
    assert settings["endpoint"].endswith(jaeger_monitor.PATH.removesuffix("/api/v1/query_range"))
    assert settings["normalize_calls"]
    assert settings["normalize_duration"]


def test_links_name_attributes_and_dashboards_that_exist() -> None:
    names = {value for value in vars(semconv).values() if isinstance(value, str)}
    of_a_trace = {"startTime", "endTime", "traceID"}
    for pattern in UI["linkPatterns"]:
        used = re.findall(r"#\{([^}|]+?)\s*(?:\|[^}]*)?\}", pattern["url"] + pattern["text"])
        known = of_a_trace if pattern["type"] == "traces" else names
        assert set(used) <= known
        assert pattern.get("key", semconv.MODEL_NAME) in names
        if "/d/" in pattern["url"]:
            (uid,) = re.findall(r"/d/([\w-]+)\?", pattern["url"])
            assert set(re.findall(r"var-(\w+)=", pattern["url"])) <= DASHBOARDS[uid]


def test_no_sampler_and_no_batch_stand_before_us() -> None:
    gateway = yaml.safe_load(GATEWAY.read_text())
    pipelines = gateway["service"]["pipelines"]
    assert pipelines["traces/inferspan"]["processors"] == ["memory_limiter"]
    assert pipelines["logs/inferspan"]["processors"] == ["memory_limiter", "filter/inferspan"]
    beside = yaml.safe_load(SAMPLED.read_text())["service"]["pipelines"]
    assert list(beside) == ["traces/jaeger"]
    exporter = gateway["exporters"]["otlphttp/inferspan"]
    assert exporter["sending_queue"]["storage"] == "file_storage"
    assert exporter["retry_on_failure"]["max_elapsed_time"] == "0s"


def test_nothing_leaves_the_gateway_that_we_refuse_for_its_size() -> None:
    gateway = yaml.safe_load(GATEWAY.read_text())
    largest = Limits().request_bytes
    batch = gateway["exporters"]["otlphttp/inferspan"]["sending_queue"]["batch"]
    assert batch["sizer"] == "bytes"
    assert batch["max_size"] < largest
    taken = gateway["receivers"]["otlp"]["protocols"]
    assert taken["http"]["max_request_body_size"] == largest
    assert taken["grpc"]["max_recv_msg_size_mib"] * 2**20 == largest


def test_the_filters_name_our_scopes_and_events() -> None:
    conditions = yaml.safe_load(GATEWAY.read_text())["processors"]["filter/jaeger"]["traces"][
        "span"
    ]
    assert conditions == [
        f'instrumentation_scope.name == "{scope}"'
        for scope in (semconv.SCOPE_RECORDS, semconv.SCOPE_LABELS)
    ]
    (dropped,) = yaml.safe_load(GATEWAY.read_text())["processors"]["filter/inferspan"]["logs"][
        "log_record"
    ]
    assert dropped == " and ".join(
        f'{place} != "{event}"'
        for place in ("event_name", f'attributes["{semconv.EVENT_NAME}"]')
        for event in (semconv.EVENT_LABEL, semconv.EVENT_EVALUATION_RESULT)
    )


@pytest.mark.parametrize("file", [JAEGER, GATEWAY])
def test_listeners_are_local_unless_the_environment_says_otherwise(file: Path) -> None:
    defaults = re.findall(r"endpoint: \$\{env:\w+:-([\d.]+):\d+\}", file.read_text())
    assert len(defaults) >= 3
    assert set(defaults) == {"127.0.0.1"}


def test_every_variable_is_documented_with_its_default() -> None:
    pages = {JAEGER: "docs/jaeger.md", ON_DISK: "docs/jaeger.md", GATEWAY: "docs/gateway.md"}
    for file, page in pages.items():
        text = (ROOT / page).read_text()
        for name, default in re.findall(r"\$\{env:(\w+):-([^}]*)\}", file.read_text()):
            shown = f"`{re.escape(default)}`" if default else "none"
            assert re.search(rf"`{name}`.*{shown}", text), (name, default)


def test_inferspan_knows_how_long_the_composed_jaeger_keeps_traces() -> None:
    (hours,) = re.findall(r"\$\{env:JAEGER_KEEPS:-(\d+)h\}", ON_DISK.read_text())
    composed = config.load(ROOT / "collector/inferspan.yaml", {})
    assert composed.jaeger.traces_kept_ns == int(hours) * 3600 * 10**9
