"""The collectors that are measured, each a process: ours, and the stock OpenTelemetry Collector.

What a process used is asked of the operating system; what it counted, of its `/metrics`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from ingest.sender import own_core

ROOT: Final = Path(__file__).parents[2]
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
READY_SECONDS: Final = 600.0
"""A store of many gigabytes is read before it is ready, and the first start compiles."""
STOP_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 2.5
"""After a load, counted with it: the peer flushes every 2 s, we write checkpoints and compact."""
Metrics = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Stored:
    """What a collector says that it has counted."""

    predictions: int
    labels: int

    @property
    def spans(self) -> int:
        return self.predictions + self.labels


@dataclass(frozen=True)
class Server:
    """A collector that runs."""

    name: str
    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    metrics_url: str
    ready_seconds: float
    log: Path
    data: Path | None = None
    api: str = ""

    def cpu_seconds(self) -> float:
        """User and system time that it has used, all threads."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def state(self) -> str:
        """Whether it still runs, and what it said last where it does not."""
        code = self.process.poll()
        return "which runs" if code is None else f"which ended with {code}:\n{_tail(self.log)}\n"

    def memory_bytes(self, which: str = "VmRSS") -> int:
        """Resident memory now; `VmHWM`: the most so far."""
        found = re.search(rf"^{which}:\s+(\d+) kB", self._proc("status"), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def disk_bytes(self) -> int:
        """What its data directory holds."""
        if self.data is None:
            return 0
        return sum(path.stat().st_size for path in self.data.rglob("*") if path.is_file())

    def address(self, transport: str) -> str:
        """`HOST:PORT` of OTLP over this transport."""
        return self.http if transport == "http" else self.grpc

    def metrics(self, *labels: str) -> Metrics:
        """The sums of its series, by name and the values of these labels where they have them."""
        text = httpx.get(self.metrics_url, timeout=120.0).raise_for_status().text
        sums: defaultdict[str, float] = defaultdict(float)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = [sample.name, *(sample.labels[k] for k in labels if k in sample.labels)]
                sums[" ".join(key)] += sample.value
        return sums

    def stored(self) -> Stored:
        """What it has counted."""
        if not self.api:
            calls = self.metrics("span_name")
            name = "traces_span_metrics_calls_total"
            return Stored(
                int(calls.get(f"{name} predict fraud", 0)), int(calls.get(f"{name} label fraud", 0))
            )
        accepted = self.metrics("signal")
        name = "inferspan_accepted_records_total"
        return Stored(
            int(accepted.get(f"{name} predictions", 0)), int(accepted.get(f"{name} labels", 0))
        )

    def quality(self) -> Any:
        """Our figures over all of time."""
        answer = httpx.get(
            f"{self.api}/api/v1/models/fraud/quality", params={"every": "all"}, timeout=120.0
        )
        return answer.raise_for_status().json()["windows"][0]

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.process.pid}/{name}").read_text()


@contextlib.contextmanager
def ours(
    directory: Path, config: str = "", environ: Mapping[str, str] | None = None, pinned: bool = True
) -> Iterator[Server]:
    """Run `inferspan serve` as a user does.

    Args:
        directory: for its data and its log.
        config: a configuration, YAML.
        environ: variables beside this process's own.
        pinned: keep it off the sender's core.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings, data = directory / "inferspan.yaml", directory / "data"
    settings.write_text(config or "{}", encoding="utf-8")
    command = [sys.executable, "-m", "inferspan_collector.cli", "serve"]
    command += ["--config", str(settings), "--data", str(data)]
    for listener in ("--otlp-http", "--otlp-grpc", "--api"):
        command += [listener, "127.0.0.1:0"]
    began = time.perf_counter()
    with running(command, directory / "inferspan.log", environ or {}, pinned) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"inferspan did not start:\n{_tail(directory / 'inferspan.log')}")
        ready = json.loads(line)
        _until(lambda: httpx.get(f"{ready['api']}/readyz").is_success, "inferspan to be ready")
        yield Server(
            "inferspan",
            process,
            ready["otlp_http"].removeprefix("http://"),
            ready["otlp_grpc"],
            f"{ready['api']}/metrics",
            time.perf_counter() - began,
            directory / "inferspan.log",
            data,
            ready["api"],
        )


@contextlib.contextmanager
def peer(directory: Path, pinned: bool = True) -> Iterator[Server]:
    """Run the stock Collector with spanmetrics and the Prometheus exporter."""
    sys.path.append(str(ROOT / "tests"))
    from servers.build import SERVERS, build  # type: ignore[import-not-found]

    directory.mkdir(parents=True, exist_ok=True)
    http, grpc, metrics = (f"127.0.0.1:{port}" for port in _free_ports(3))
    addresses = {"PEER_HTTP": http, "PEER_GRPC": grpc, "PEER_METRICS": metrics}
    command = [
        str(build(SERVERS["otelcol"])),
        "--config",
        str(Path(__file__).with_name("peer.yaml")),
    ]
    log, began = directory / "peer.log", time.perf_counter()
    with running(command, log, addresses, pinned) as process:

        def listens() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the peer did not start:\n{_tail(log)}")
            return all(_answers(address) for address in addresses.values())

        _until(listens, "the peer to listen")
        took = time.perf_counter() - began
        yield Server("otelcol", process, http, grpc, f"http://{metrics}/metrics", took, log)


@contextlib.contextmanager
def running(
    command: Sequence[str], log: Path, environ: Mapping[str, str], pinned: bool
) -> Iterator[subprocess.Popen[bytes]]:
    cores = os.sched_getaffinity(0)
    cores = (cores - own_core() if pinned else cores) or cores
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, **environ},
            # Before it starts, for runtimes size themselves by the cores that they may use.
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _until(holds: Any, what: str) -> None:
    end = time.perf_counter() + READY_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if holds():
                return
        if time.perf_counter() > end:
            raise TimeoutError(f"waited {READY_SECONDS:.0f} s for {what}")
        time.sleep(0.01)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex((host, int(port))) == 0


def _free_ports(n: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:])
