"""A service on uvicorn that is asked to end under load loses no prediction that it answered."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from collector_process import DEADLINE_SECONDS, serving

from inferspan.settings import SAMPLE_RATIO_VARIABLE

HERE = Path(__file__).parent
MODEL = "awaited"
"""Of `served_by_uvicorn.py`, which only the service imports: it configures its process."""
CLIENTS = 4
ENDED_AFTER = 700
"""Answers after which the service is asked to end: no multiple of a full request."""


@contextmanager
def uvicorn(receiver: str, log: Path, **environment: str) -> Iterator[tuple[int, int]]:
    """(port, pid) of a service; it has ended by SIGTERM when the block is left."""
    with log.open("w") as errors:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            port, descriptor = int(listening.getsockname()[1]), listening.fileno()
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "uvicorn", "served_by_uvicorn:application"),
                    *("--fd", str(descriptor), "--log-level", "warning"),
                ],
                cwd=HERE,
                env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": receiver, **environment},
                pass_fds=[descriptor],
                stdout=errors,
                stderr=errors,
            )
        try:
            yield port, process.pid
            assert process.wait(DEADLINE_SECONDS) == -signal.SIGTERM, log.read_text()
        finally:
            process.kill()
            process.wait()


class Load:
    """Asks until nobody answers; after `ENDED_AFTER` answers the service is told to end."""

    def __init__(self, port: int, pid: int) -> None:
        self._port = port
        self._pid = pid
        self._lock = threading.Lock()
        self.answered = 0
        self.unanswered = 0
        """Requests that were under way at the end; each may be recorded or not."""

    def run(self) -> None:
        """Ask from several clients at once."""
        clients = [threading.Thread(target=self._ask, args=(name,)) for name in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _ask(self, name: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        number = 0
        while True:
            try:
                connection.request("GET", f"/order-{name}-{number}")
                assert json.load(connection.getresponse())["score"] == 0.5
            except (OSError, http.client.HTTPException):
                with self._lock:
                    self.unanswered += 1
                return
            finally:
                connection.close()
            number += 1
            with self._lock:
                self.answered += 1
                if self.answered == ENDED_AFTER:
                    os.kill(self._pid, signal.SIGTERM)


@pytest.mark.parametrize("ratio", ["1", "0.1", "0"])
def test_what_was_answered_before_the_end_is_counted(tmp_path: Path, ratio: str) -> None:
    told = {SAMPLE_RATIO_VARIABLE: ratio}
    with serving(tmp_path / "data") as served:
        with uvicorn(served.otlp_http, tmp_path / "uvicorn.log", **told) as (port, pid):
            assert answers(port)
            load = Load(port, pid)
            load.run()
        url = f"{served.api}/api/v1/models/{MODEL}/quality"
        (window,) = httpx.get(url, params={"every": "all"}, timeout=60).json()["windows"]
    assert load.answered >= ENDED_AFTER
    # One more answered while it was waited for.
    answered = load.answered + 1
    assert answered <= window["predictions"] <= answered + load.unanswered
    assert (tmp_path / "uvicorn.log").read_text() == ""


def answers(port: int) -> bool:
    """Whether a first request is answered; it waits in the backlog until the service is there."""
    return httpx.get(f"http://127.0.0.1:{port}/order", timeout=DEADLINE_SECONDS).is_success
