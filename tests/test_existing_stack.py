"""What the how-to changes in a stack that is there: no more than it says, and it goes back out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from existing_stack import ROOT, blocks, change, copied, texts
from inferspan import semconv
from inferspan_collector import config
from inferspan_collector.publish import jaeger_monitor, jaeger_quality

GATEWAY = yaml.safe_load((ROOT / "collector/otelcol/gateway.yaml").read_text())


@pytest.fixture
def stock(tmp_path: Path) -> dict[str, str]:
    return texts(copied(tmp_path / "stock"))


@pytest.fixture
def joined(tmp_path: Path) -> dict[str, str]:
    change(directory := copied(tmp_path / "joined"))
    return texts(directory)


def holds(now: Any, was: Any) -> bool:
    """Whether all that was there still is: with new keys of mappings, new entries of lists."""
    if isinstance(was, dict) and isinstance(now, dict):
        return all(key in now and holds(now[key], was[key]) for key in was)
    if isinstance(was, list) and isinstance(now, list):
        left = iter(now)
        return all(any(holds(entry, old) for entry in left) for old in was)
    return bool(now == was)


def test_every_file_is_changed_and_goes_back_byte_for_byte(
    tmp_path: Path, stock: dict[str, str]
) -> None:
    directory = copied(tmp_path / "copy")

    change(directory)
    assert [name for name, text in texts(directory).items() if text == stock[name]] == []

    change(directory, back=True)
    assert texts(directory) == stock


def test_changes_only_add_but_for_jaegers_backend(
    stock: dict[str, str], joined: dict[str, str]
) -> None:
    backend = "jaeger_storage", "metric_backends", "spanmetrics", "prometheus"
    for name in stock:
        was, now = yaml.safe_load(stock[name]), yaml.safe_load(joined[name])
        if name == "jaeger.yaml":
            for configuration in (was, now):
                place = configuration["extensions"]
                for key in backend:
                    place = place[key]
                place.pop("endpoint")
        assert holds(now, was), name


def test_the_way_to_us_is_before_any_sampler(joined: dict[str, str]) -> None:
    pipelines = yaml.safe_load(joined["otelcol.yaml"])["service"]["pipelines"]
    ours = {
        name: one for name, one in pipelines.items() if "otlphttp/inferspan" in one["exporters"]
    }
    assert {name: one["processors"] for name, one in ours.items()} == {
        "traces/inferspan": ["memory_limiter"],
        "logs/inferspan": ["memory_limiter", "filter/inferspan"],
    }
    assert {exporter for one in ours.values() for exporter in one["exporters"]} == {
        "otlphttp/inferspan"
    }


def test_filters_and_exporter_are_the_gateways(joined: dict[str, str]) -> None:
    collector = yaml.safe_load(joined["otelcol.yaml"])
    for name in ("filter/jaeger", "filter/inferspan"):
        assert collector["processors"][name] == GATEWAY["processors"][name]
    named = collector["processors"]["filter/spanmetrics"]["traces"]["span"]
    assert named == [
        f'instrumentation_scope.name == "{scope}"'
        for scope in (semconv.SCOPE_PREDICTIONS, semconv.SCOPE_RECORDS, semconv.SCOPE_LABELS)
    ]
    ours, gateways = (
        one["exporters"]["otlphttp/inferspan"]["sending_queue"] for one in (collector, GATEWAY)
    )
    assert ours["batch"] == gateways["batch"]
    storage = collector["extensions"][ours["storage"]]
    assert storage["fsync"]


def test_addresses_are_those_of_our_paths(joined: dict[str, str]) -> None:
    backends = yaml.safe_load(joined["jaeger.yaml"])["extensions"]["jaeger_storage"]
    endpoint = backends["metric_backends"]["spanmetrics"]["prometheus"]["endpoint"]
    assert endpoint.endswith(jaeger_monitor.PATH.removesuffix("/api/v1/query_range"))
    page = json.loads(joined["ui.json"])["qualityMetrics"]
    assert set(page) == {"menuEnabled", "menuLabel", "apiEndpoint"}
    assert page["apiEndpoint"].endswith(jaeger_quality.PATH)
    scraped = yaml.safe_load(joined["prometheus.yml"])["scrape_configs"]
    # Without it our labels `service` and `environment` would be renamed.
    assert [job["job_name"] for job in scraped if job.get("honor_labels")] == ["inferspan"]
    sources = yaml.safe_load(joined["grafana-datasources.yaml"])["datasources"]
    uids = {source["type"]: source["uid"] for source in sources}
    (prometheus,) = [source for source in sources if source["type"] == "prometheus"]
    (destination,) = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert destination["datasourceUid"] == uids["jaeger"]


def test_we_ask_what_jaeger_asked_before(tmp_path: Path, stock: dict[str, str]) -> None:
    (block,) = blocks("yaml")
    (file := tmp_path / "inferspan.yaml").write_text(block)
    before = yaml.safe_load(stock["jaeger.yaml"])["extensions"]["jaeger_storage"]
    endpoint = before["metric_backends"]["spanmetrics"]["prometheus"]["endpoint"]
    assert f":-{config.load(file).jaeger.monitor_upstream}}}" in endpoint
