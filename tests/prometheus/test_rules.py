"""The rules that we ship: Prometheus' own checks and unit tests, and what is written of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferspan_collector import health_limits
from servers.build import ROOT
from servers.debian import COMMANDS, find

RULES = sorted((ROOT / "collector/prometheus/rules").glob("*.yaml"))
UNIT_TESTS = sorted(Path(__file__).parent.glob("*_test.yaml"))
DOCUMENTED = (ROOT / "docs/metrics.md").read_text()
WINDOWS = ("5m", "30m", "1h", "6h", "1d", "3d")


def groups() -> list[dict[str, Any]]:
    return [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]


def rules(kind: str) -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"] if kind in rule]


ALERTS = rules("alert")


def promtool(*words: str | Path) -> None:
    ran = subprocess.run(
        [find(COMMANDS["promtool"]), *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.real
def test_prometheus_takes_the_rules() -> None:
    promtool("check", "rules", *RULES)


@pytest.mark.real
@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_they_say(path: Path) -> None:
    promtool("test", "rules", path)


def test_every_window_is_recorded_alike() -> None:
    shapes = {
        window: [
            {key: str(value).replace(window, "W") for key, value in rule.items()}
            for group in groups()
            if group["name"] == f"inferspan-shares-{window}"
            for rule in group["rules"]
        ]
        for window in WINDOWS
    }
    first = shapes[WINDOWS[0]]
    assert first
    assert [window for window, found in shapes.items() if found != first] == []


def test_what_is_recorded_is_written_down() -> None:
    names = {re.sub(r"(5m|30m|1h|6h|1d|3d)$", "W", rule["record"]) for rule in rules("record")}
    written = DOCUMENTED.replace("`…:", "`model_version:inferspan_prediction_duration_seconds:")
    assert [
        n for n in sorted(names) if f"`{n}`" not in written.replace("_rate5m`", "_rateW`")
    ] == []


def test_rules_ask_for_series_that_are_written_down() -> None:
    asked = {
        name
        for rule in (*ALERTS, *rules("record"))
        for text in (rule["expr"], *rule.get("annotations", {}).values())
        for name in re.findall(r"\binferspan_[a-z_]+", re.sub(r":[\w:]+|\w+:", " ", text))
    }
    assert asked
    unknown = [n for n in sorted(asked) if f"`{n.removesuffix('_bucket')}`" not in DOCUMENTED]
    assert unknown == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_and_how_bad(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("page", "ticket")
    said = alert["annotations"]
    assert said["summary"]
    if "$labels.model" in said["summary"]:
        wanted = {"figure", "value", "n", "service", "grafana", "jaeger", "runbook_url"}
        assert wanted <= said.keys()
    page = (ROOT / "docs/alerts.md").read_text()
    assert f"| `{alert['alert']}` | {alert['labels']['severity']} |" in page


def test_alerts_page_and_doctor_look_at_the_same_limits() -> None:
    expressions = {alert["alert"]: alert["expr"] for alert in ALERTS}
    (free,) = re.findall(r"disk_free_bytes < (\S+)", expressions["InferspanDiskFull"])
    (share,) = re.findall(r"> ([\d.]+)$", expressions["InferspanQueueFull"])
    assert float(free) == health_limits.DISK_FREE_BYTES_MIN
    assert float(share) == health_limits.FULL_SHARE


def test_no_alert_is_written_down_that_there_is_not() -> None:
    page = (ROOT / "docs/alerts.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == {a["alert"] for a in ALERTS}
