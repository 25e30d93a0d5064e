"""The example with load: it counts what it does, breaks on request, and is mended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from collector_process import DEADLINE_SECONDS, Served, serving

from waiting import wait_until

MAIN = Path(__file__).parents[2] / "examples/service/main.py"


def labelled(served: Served) -> dict[str, Any]:
    """The one window of all that is stored; empty before the first prediction."""
    url = f"{served.api}/api/v1/models/fraud/quality?every=all"
    try:
        with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
            windows = json.load(answer)["windows"]
    except urllib.error.HTTPError as error:
        error.close()
        return {}
    return dict(windows[0]) if windows else {}


def test_a_fault_on_request_is_seen_and_every_order_is_counted(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as served:
        process = subprocess.Popen(
            (sys.executable, "-W", "error", str(MAIN), "--per-second", "200"),
            env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": served.otlp_http},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            well = wait_until(
                lambda: w if (w := labelled(served)).get("labeled", 0) >= 200 else None,
                DEADLINE_SECONDS,
                "labels of orders",
            )
            assert well["metrics"]["accuracy"]["value"] > 0.8
            process.send_signal(signal.SIGUSR1)
            broken = wait_until(
                lambda: w if (w := labelled(served))["labeled"] >= 3 * well["labeled"] else None,
                DEADLINE_SECONDS,
                "labels of broken orders",
            )
            assert (
                broken["metrics"]["accuracy"]["value"] < well["metrics"]["accuracy"]["value"] - 0.1
            )
        finally:
            process.terminate()
            out, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0, errors
        done = json.loads(out)
        window = labelled(served)
    assert "amounts come in cents" in errors
    assert window["predictions"] == done["orders"]
    assert (
        window["labeled"] == done["right"] + done["wrong"] == done["orders"] - done.get("failed", 0)
    )
    assert window["metrics"]["accuracy"]["value"] == done["right"] / window["labeled"]
