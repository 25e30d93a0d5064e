"""Servers of other libraries as processes: started on a free port, waited for, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

DEADLINE_SECONDS = 90
_NO_OTHER = dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody had a moment ago."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in held]
    for one in held:
        one.close()
    return ports


@contextmanager
def serving(
    command: Sequence[str | Path],
    ready: str,
    log: Path,
    *,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Iterator[None]:
    """A server that answers 200 at `ready`; it has ended by SIGTERM when the block is left."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={
                **os.environ,
                **_NO_OTHER,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
    waited, paused = 0.0, threading.Event()
    try:
        while not _answers(ready):
            assert process.poll() is None, log.read_text()
            assert waited < DEADLINE_SECONDS, log.read_text()
            waited += 0.2
            paused.wait(0.2)
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False
