"""Servers of other libraries as processes: started on a free port, waited for, and ended."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from waiting import wait_until

DEADLINE_SECONDS = 300
"""Some minutes, where everything else runs on the machine as well."""
_PORTS = (15_000, 32_000)
_CHOICE = random.SystemRandom()
"""Not the one whose seed a run of the tests repeats: several of them may run at the same time."""
_NO_OTHER = dict.fromkeys(("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has.

    Below those that a system hands out by itself: until the server has begun, which takes it some
    seconds, whoever asks for any port at all is given another.
    """
    held: list[socket.socket] = []
    while len(held) < count:
        with suppress(OSError):  # somebody has it
            held.append(socket.create_server(("127.0.0.1", _CHOICE.randrange(*_PORTS))))
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

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(ready).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        try:
            wait_until(answers, DEADLINE_SECONDS, ready)
        except TimeoutError as error:
            raise AssertionError(log.read_text()) from error
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)
    finally:
        process.kill()
        process.wait()
