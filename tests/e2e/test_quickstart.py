"""The quickstart does what its page says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from collector_process import DEADLINE_SECONDS, counts, serving

MAIN = Path(__file__).parents[2] / "examples/quickstart/main.py"


def run(endpoint: str, timeout_seconds: int = 10) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-W", "error", str(MAIN)),
        env=os.environ
        | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_TIMEOUT": str(timeout_seconds),
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )


def test_a_hundred_orders_get_their_truth(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        done = run(served.otlp_http)
        assert done.returncode == 0, done.stderr
        assert counts(served.api) == (100, 100)
        url = f"{served.api}/api/v1/models/fraud/quality?by=slice.country"
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
            windows = json.load(answer)["windows"]
    assert {window["group"]["slice.country"] for window in windows} == {"NL", "DE", "FR"}
    for window in windows:
        assert 0.5 < window["metrics"]["accuracy"]["value"] < 1.0


def test_a_collector_that_is_not_there_is_said() -> None:
    done = run("http://127.0.0.1:1", timeout_seconds=1)
    assert done.returncode == 1
    assert "inferspan serve" in done.stderr
