"""Predictions counted = predictions made, in the processes that a server forks, kills and ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from collector_process import DEADLINE_SECONDS, counts, serving

from inferspan.span_queue import BATCH_SPANS

HERE = Path(__file__).parent
MODEL = "preloaded"
"""Of `served_application.py`, which only workers import: it configures its process."""
WORKERS = 4
REQUESTS = 2_000
KILLED_AFTER = (600, 1_200)
"""Answers after which a worker is killed."""
CLIENTS = 6


@contextmanager
def gunicorn(receiver: str, log: Path, **environment: str) -> Iterator[int]:
    """A gunicorn with its application preloaded; ended as its operator ends it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, log.open("w") as errors:
        descriptor = listening.fileno()
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", "served_application:application"),
                *("--preload", "--workers", str(WORKERS), "--bind", f"fd://{descriptor}"),
                *("--worker-tmp-dir", str(log.parent), "--no-control-socket"),
            ],
            cwd=HERE,
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver, **environment},
            pass_fds=[descriptor],
            stderr=errors,
        )
        try:
            yield int(listening.getsockname()[1])
            process.terminate()
            assert process.wait(DEADLINE_SECONDS) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


class Load:
    """Asks for predictions, keeps a ledger of who answered, and kills workers on the way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._keys = iter(range(REQUESTS))
        self.answered: Counter[str] = Counter()
        """Answers of each process."""
        self.unanswered = 0
        """Requests that died with their worker; their prediction may have been sent or not."""
        self.killed: list[str] = []

    def run(self) -> None:
        """Ask for everything, from several clients at once."""
        clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _ask(self) -> None:
        while True:
            with self._lock:
                key = next(self._keys, None)
            if key is None:
                return
            try:
                pid = self._predict(key)
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.unanswered += 1
            else:
                self._note(pid)

    def _predict(self, key: int) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        try:
            connection.request("GET", f"/order-{key}")
            return str(json.load(connection.getresponse())["pid"])
        finally:
            connection.close()

    def _note(self, pid: str) -> None:
        with self._lock:
            self.answered[pid] += 1
            if self.answered.total() in KILLED_AFTER:
                # The one that has answered most of those alive has the most to lose.
                alive = [one for one, _ in self.answered.most_common() if one not in self.killed]
                self.killed.append(alive[0])
                os.kill(int(alive[0]), signal.SIGKILL)


def counted(api: str) -> dict[str, int]:
    """Predictions of each process, as the collector counts them."""
    url = f"{api}/api/v1/models/{MODEL}/quality?by=slice.process"
    with urllib.request.urlopen(url, timeout=DEADLINE_SECONDS) as answer:
        windows = json.load(answer)["windows"]
    return {window["group"]["slice.process"]: window["predictions"] for window in windows}


@pytest.mark.parametrize("ratio", [None, "0.1"], ids=["full spans", "slim records"])
def test_forked_workers_lose_and_repeat_nothing(tmp_path: Path, ratio: str | None) -> None:
    told = {} if ratio is None else {"INFERSPAN_SAMPLE_RATIO": ratio}
    with serving(tmp_path / "data") as served:
        with gunicorn(served.otlp_http, tmp_path / "gunicorn.log", **told) as port:
            load = Load(port)
            load.run()
        found = counted(served.api)
        assert counts(served.api)[0] == sum(found.values())
    killed = set(load.killed)
    assert len(killed) == len(KILLED_AFTER)
    assert load.answered.total() + load.unanswered == REQUESTS
    assert load.unanswered <= len(KILLED_AFTER) * CLIENTS
    (master,) = found.keys() - load.answered.keys() - killed
    assert found.pop(master) == 1
    alive = {pid: count for pid, count in load.answered.items() if pid not in killed}
    assert {pid: found.get(pid) for pid in alive} == alive
    for pid in killed:
        most = load.answered[pid] + load.unanswered
        # A worker sends whenever a request is full: it dies with what filled the next one, and
        # with one that is on its way. Slim records wait for up to six seconds.
        least = load.answered[pid] - 2 * BATCH_SPANS if ratio is None else 0
        assert least <= found.get(pid, 0) <= most


def test_an_application_without_a_line_of_configuration(tmp_path: Path) -> None:
    script = tmp_path / "application.py"
    script.write_text(
        """
import sys
import inferspan
@inferspan.predict(model="instrumented", task="binary_classification", prediction_id="key")
def score(key):
    return "legit"
if "configure" in sys.argv:
    inferspan.configure()
for number in range(20):
    score(f"order-{number}")
    inferspan.label(f"order-{number}", "legit", model="instrumented")
"""
    )

    def run(api: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("opentelemetry-instrument"),
                *(sys.executable, script, *arguments),
            ],
            env={
                **os.environ,
                "OTEL_SERVICE_NAME": "instrumented",
                "OTEL_METRICS_EXPORTER": "none",
                "OTEL_LOGS_EXPORTER": "none",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    http = "http/protobuf"
    for arguments, environment in [
        ((), {"OTEL_EXPORTER_OTLP_PROTOCOL": http}),
        (("configure",), {"OTEL_EXPORTER_OTLP_PROTOCOL": http}),
        ((), {}),  # the stock distribution speaks gRPC
        (
            (),
            {
                "OTEL_EXPORTER_OTLP_PROTOCOL": http,
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.1",
            },
        ),
    ]:
        name = f"data-{len(arguments)}-{len(environment)}"
        with serving(tmp_path / name) as served:
            grpc = f"http://{served.otlp_grpc.removeprefix('http://')}"
            endpoint = served.otlp_http if environment else grpc
            said = run(served.api, *arguments, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **environment)
            assert "inferspan:" not in said.replace("inferspan: instrumented declares", "")
            assert counts(served.api) == (20, 20)
    said = run("", INFERSPAN_CAPTURE="everything", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert "INFERSPAN_CAPTURE is 'everything': must be one of shapes, values, none" in said
