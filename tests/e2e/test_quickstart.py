"""The quickstart does what its page says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from collector_process import COMMAND, DEADLINE_SECONDS, counts, serving

from servers.running import free_addresses

MAIN = Path(__file__).parents[2] / "examples/quickstart/main.py"
PAGE = MAIN.with_name("README.md")


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


def test_the_page_works_in_the_order_in_which_it_is_written(tmp_path: Path) -> None:
    (page,) = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    activation, *lines = page.splitlines()
    assert activation.endswith("/bin/activate")
    http, grpc, api = free_addresses(3)
    served = f"--data data --otlp-http {http} --otlp-grpc {grpc} --api {api}"
    script = "\n".join(("trap 'kill %1; wait' EXIT", "set -em", *lines))
    done = subprocess.run(
        (
            "bash",
            "-c",
            script.replace("inferspan serve", f"{COMMAND} serve {served}")
            .replace("python main.py", f"{sys.executable} {MAIN}")
            .replace("127.0.0.1:4319", api),
        ),
        cwd=tmp_path,
        env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{http}"},
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert '"accuracy"' in done.stdout


def test_a_collector_that_is_not_there_is_said() -> None:
    done = run("http://127.0.0.1:1", timeout_seconds=1)
    assert done.returncode == 1
    assert "inferspan serve" in done.stderr
