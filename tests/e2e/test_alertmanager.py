"""Our Alertmanager configuration, in a real Alertmanager: who is told hears figures and links."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from existing_stack import change, copied
from servers.build import ROOT, SERVERS, build
from servers.monitoring import Alertmanager, alertmanager
from servers.running import free_addresses
from waiting import wait_until

pytestmark = pytest.mark.real

SECONDS = 30.0
SHIPPED = ROOT / "collector/alertmanager"
LABELS = {
    "alertname": "ModelAccuracyLow", "severity": "page", "environment": "shop (EU)",
    "model": "fraud & co", "version": "7", "target": "chargeback",
}  # fmt: skip
ANNOTATIONS = {
    "summary": "Accuracy of fraud & co is below 0.8.",
    "figure": "accuracy",
    "value": "0.62",
    "interval": "0.58 to 0.66",
    "threshold": "0.8",
    "n": "512",
    "service": "fraud-api",
    "grafana": "https://grafana.example.org/d/inferspan-on-call?var-model=fraud+%26+co&var-version=7",
    "jaeger": "https://jaeger.example.org/search?service=fraud-api-quality",
    "runbook_url": "https://example.org/runbook?model=fraud",
}


class Told:
    """What `alerts.py` printed."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def words(self) -> str:
        return "\n".join(line for line in self.lines() if not line.startswith("{"))

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines() if line.startswith("{")]

    def lines(self) -> list[str]:
        """All but the first, which says that it listens."""
        return self._log.read_text().splitlines()[1:]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Told, str]]:
    """The receiver of the example, and its address."""
    (address,) = free_addresses(1)
    log = tmp_path / "alerts.log"
    with log.open("w") as output:
        command = (sys.executable, "-u", ROOT / "examples/service/alerts.py", address)
        process = subprocess.Popen(command, stdout=output)
    try:
        wait_until(log.read_text, SECONDS, "the receiver to listen")
        yield Told(log), address
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def running(tmp_path: Path, told: tuple[Told, str]) -> Iterator[Alertmanager]:
    """A real Alertmanager with the shipped files: only addresses and waits differ."""
    shipped = (SHIPPED / "alertmanager.yml").read_text()
    here = shipped.replace("alerts:9095", told[1]).replace("group_wait: 15s", "group_wait: 1s")
    here = here.replace("group_interval: 1m", "group_interval: 1s")
    (config := tmp_path / "config").mkdir()
    (config / "alertmanager.yml").write_text(here)
    (config / "inferspan.tmpl").write_text((SHIPPED / "inferspan.tmpl").read_text())
    with alertmanager(tmp_path, config / "alertmanager.yml") as started:
        yield started


def fire(running: Alertmanager, *alerts: dict[str, Any]) -> None:
    httpx.post(f"{running.url}/api/v2/alerts", json=alerts).raise_for_status()


def test_who_is_told_hears_the_figure_and_where_to_look(
    running: Alertmanager, told: tuple[Told, str]
) -> None:
    receiver, _ = told
    fire(running, {"labels": LABELS, "annotations": ANNOTATIONS})

    words = wait_until(receiver.words, SECONDS, "the words")
    (message,) = wait_until(receiver.messages, SECONDS, "the webhook")

    assert "FIRING fraud & co v7 (shop (EU)): ModelAccuracyLow" in words
    assert "*ModelAccuracyLow* fraud & co v7, chargeback" in words
    assert "accuracy: 0.62, 95 % interval 0.58 to 0.66, threshold 0.8, n = 512" in words
    links = dict(line.split(": ", 1) for line in words.splitlines() if ": http" in line)
    assert links["Runbook"] == ANNOTATIONS["runbook_url"]
    assert links["Grafana"] == ANNOTATIONS["grafana"]
    assert links["Jaeger"] == ANNOTATIONS["jaeger"]
    assert message["status"] == "firing"
    assert [alert["labels"] for alert in message["alerts"]] == [LABELS]


def test_what_ails_a_model_comes_in_one_message_and_its_end_is_told(
    running: Alertmanager, told: tuple[Told, str]
) -> None:
    receiver, _ = told
    drift = {**LABELS, "alertname": "ModelDrift", "version": "8"}
    fire(running, {"labels": LABELS, "annotations": ANNOTATIONS}, {"labels": drift})

    def both() -> bool:
        return any(len(message["alerts"]) == 2 for message in receiver.messages())

    wait_until(both, SECONDS, "one message of both")
    # Words and message are told apart, in no order.
    said = "FIRING fraud & co (shop (EU)): 2 alerts"
    wait_until(lambda: said in receiver.words(), SECONDS, "the words of both")
    assert said in receiver.words()

    for alert in running.alerts():
        ended = datetime.fromisoformat(alert["startsAt"]) + timedelta(milliseconds=1)
        fire(running, {"labels": alert["labels"], "endsAt": ended.isoformat()})
    wait_until(lambda: "RESOLVED fraud & co" in receiver.words(), SECONDS, "the end")


def test_an_alert_with_nothing_but_a_name_is_told_too(
    running: Alertmanager, told: tuple[Told, str]
) -> None:
    receiver, _ = told
    fire(running, {"labels": {"alertname": "InferspanDown"}})
    words = wait_until(receiver.words, SECONDS, "the words")
    assert "FIRING inferspan: InferspanDown" in words
    assert "<no value>" not in words
    assert "Grafana: " not in words
    assert "Jaeger: " not in words


def test_who_has_an_alertmanager_keeps_his_receivers(tmp_path: Path) -> None:
    """The how-to's change, read by Alertmanager's own tool: where do alerts go now?"""
    change(directory := copied(tmp_path / "joined"))
    (directory / "inferspan.tmpl").write_text((SHIPPED / "inferspan.tmpl").read_text())
    config = str(directory / "alertmanager.yml")

    def amtool(*words: str) -> str:
        command = (str(build(SERVERS["amtool"])), *words)
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "1 templates" in amtool("check-config", config)
    route = ("config", "routes", "test", "--config.file", config)
    assert amtool(*route, "alertname=InferspanDrift", "model=fraud").strip() == "models"
    assert amtool(*route, "alertname=InferspanDown").strip() == "operations"
    assert amtool(*route, "alertname=NodeDown", "model=r730").strip() == "operations"


@pytest.mark.parametrize(
    ("annotations", "leads_to"),
    [
        ([{}, {"grafana": "http://g/d/1"}, {"grafana": "http://g/d/2"}], "http://g/d/1"),
        ([{}], "http://alertmanager"),
    ],
)
def test_a_title_leads_to_the_dashboard_or_to_alertmanager(
    tmp_path: Path, annotations: list[dict[str, str]], leads_to: str
) -> None:
    alerts = [{"status": "firing", "labels": {}, "annotations": each} for each in annotations]
    data = {"status": "firing", "alerts": alerts, "externalURL": "http://alertmanager"}
    (file := tmp_path / "data.json").write_text(json.dumps(data))
    command = (
        str(build(SERVERS["amtool"])), "template", "render",
        f"--template.glob={SHIPPED / 'inferspan.tmpl'}", f"--template.data={file}",
        '--template.text={{ template "inferspan.link" . }}',
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == leads_to
