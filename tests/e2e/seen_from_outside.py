"""What people and programs see of a running set: each place asked as its readers ask it."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from servers.composed import Composed
from servers.monitoring import Alertmanager, Prometheus
from servers.running import Jaeger, Server
from waiting import wait_until

MODEL, SERVICE, TWIN = "fraud", "fraud-api", "fraud-api-quality"
GRAFANA = "http://127.0.0.1:3000"
"""Where links to it lead, as inferspan.yaml says; nobody answers there."""
TIMEOUT_SECONDS = 30.0


class Outside:
    """The addresses of a set, and nothing else of it."""

    def __init__(self, stack: Composed) -> None:
        self._stack = stack
        self.api = stack.url("inferspan", "4319")

    def get(self, path: str, **parameters: Any) -> Any:
        """JSON of inferspan's API."""
        return httpx.get(f"{self.api}{path}", params=parameters, timeout=TIMEOUT_SECONDS).json()

    def window(self) -> dict[str, Any]:
        """All predictions as one window; empty before the first one."""
        found = self.get(f"/api/v1/models/{MODEL}/quality", every="all").get("windows") or [{}]
        return dict(found[0])

    def counted(self) -> tuple[int, int]:
        """Predictions, and labelled ones."""
        window = self.window()
        return window.get("predictions", 0), window.get("labeled", 0)

    def accuracy(self) -> float:
        """What the API says."""
        return float(self.window()["metrics"]["accuracy"]["value"])

    def send_label_lines(self, lines: str) -> httpx.Response:
        """Labels as lines of JSON."""
        return httpx.post(
            f"{self.api}/v1/labels",
            content=lines,
            headers={"Content-Type": "application/x-ndjson"},
            timeout=TIMEOUT_SECONDS,
        )

    def page(self, path: str = "/") -> str:
        """The page for people, as a browser gets it: with the parts that load by themselves."""
        return re.sub(
            r'<div data-part="([^"]*)"[^>]*>.*?</div>',
            lambda part: self._part(html.unescape(part[1])),
            self._text(path, "text/html").text,
            flags=re.DOTALL,
        )

    def _part(self, path: str) -> str:
        def made() -> httpx.Response | None:
            answer = self._text(path, "text/fragment")
            return None if answer.status_code == httpx.codes.ACCEPTED else answer

        return wait_until(made, TIMEOUT_SECONDS, f"{path} to be made").text

    def _text(self, path: str, accept: str) -> httpx.Response:
        answer = httpx.get(f"{self.api}{path}", headers={"Accept": accept}, timeout=TIMEOUT_SECONDS)
        assert answer.is_success, answer.text
        return answer

    @property
    def prometheus(self) -> Prometheus:
        """Its API."""
        return Prometheus(self._server("prometheus"), self._stack.url("prometheus", "9090"))

    @property
    def jaeger(self) -> Jaeger:
        """Its API."""
        return Jaeger(
            self._server("jaeger"),
            self._stack.url("jaeger", "14318"),
            self._stack.at["jaeger", "14317"],
            self._stack.url("jaeger", "16686"),
            self._stack.at["inferspan", "4319"],
        )

    def _server(self, name: str) -> Server:
        running = self._stack.running[name]
        return Server(name, running.process, running.log)

    def monitor_errors(self, service: str) -> float | None:
        """The error rate that the tab Monitor draws of a service: its newest point."""
        answer = self.jaeger.get(
            "/api/metrics/errors",
            service=service,
            # A point counts whole minutes before it: this one has the present minute, too.
            endTs=time.time_ns() // 1_000_000 + 60_000,
            lookback=180_000,
            step=60_000,
            ratePer=600_000,
            spanKind="server",
        )
        points = [point for one in answer["metrics"] for point in one["metricPoints"]]
        return float(points[-1]["gaugeValue"]["doubleValue"]) if points else None

    def examined(self) -> list[dict[str, Any]]:
        """What `inferspan doctor` says of the whole set, asked as the example's host would."""
        url = self._stack.url
        command = (Path(sys.executable).with_name("inferspan"), "doctor", MODEL, "--json")
        command += ("--api", self.api, "--gateway", f"{url('gateway', '8888')}/metrics")
        command += ("--jaeger", url("jaeger", "16686"), "--prometheus", url("prometheus", "9090"))
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url("gateway", "4318")}
        done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def mistakes(self) -> dict[str, dict[str, Any]]:
        """Trace id → its evaluation span, of all that Jaeger finds as incorrect."""
        tags = json.dumps({"inferspan.evaluation.outcome": "incorrect"})
        found = self.jaeger.get("/api/traces", service=TWIN, tags=tags, limit=10_000)["data"]
        return {
            trace["traceID"]: span
            for trace in found
            for span in trace["spans"]
            if span["operationName"] == f"evaluate {MODEL}"
        }

    def alerting(self) -> list[dict[str, Any]]:
        """The alerts on a threshold of the model's quality that Alertmanager holds."""
        running = Alertmanager(
            self._server("alertmanager"), self._stack.url("alertmanager", "9093")
        )
        return [
            alert
            for alert in running.alerts()
            if alert["labels"]["alertname"] == "InferspanQualityBelowThreshold"
        ]

    def told(self) -> list[dict[str, Any]]:
        """What Alertmanager's webhook was sent, one message after the other."""
        return [json.loads(line) for line in self._printed() if line.startswith("{")]

    def words(self) -> str:
        """What people were told."""
        return "\n".join(line for line in self._printed()[1:] if not line.startswith("{"))

    def _printed(self) -> list[str]:
        """Whole lines only: the last one may be on its way."""
        return self._stack.running["alerts"].out.read_text().split("\n")[:-1]
