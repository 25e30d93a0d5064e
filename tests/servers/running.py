"""Start real servers on free loopback ports, wait until they are ready, end them by their id."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from servers.build import ROOT, SERVERS, build
from waiting import wait_until

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
LOG_LINES = 40
PORTS = range(20_000, 32_000)
"""Below the ports that the system gives to clients, so that none of those takes one of ours."""


@dataclass(frozen=True)
class Server:
    """A real server that runs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def log_tail(self) -> str:
        """The last lines of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])


@dataclass(frozen=True)
class Jaeger:
    """A real Jaeger.

    `api` is where it expects inferspan's API: a test serves it there (`HOST:PORT`).
    """

    server: Server
    otlp_http: str
    otlp_grpc: str
    query: str
    api: str

    def get(self, path: str, **parameters: Any) -> Any:
        """JSON of its HTTP API; an answer that is no success fails the test."""
        answer = httpx.get(f"{self.query}{path}", params=parameters, timeout=30.0)
        assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
        return answer.json()

    def send(self, body: bytes) -> None:
        """Send it an OTLP request of traces, as an application would."""
        httpx.post(
            f"{self.otlp_http}/v1/traces",
            content=body,
            headers={"Content-Type": "application/x-protobuf"},
            timeout=30.0,
        ).raise_for_status()

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace, none where it is not there (yet)."""
        answer = httpx.get(f"{self.query}/api/traces/{trace_id}", timeout=30.0)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        assert answer.is_success, f"{answer.url} → {answer.status_code}: {answer.text}"
        (trace,) = answer.json()["data"]
        services = {key: process["serviceName"] for key, process in trace["processes"].items()}
        return [{**span, "service": services[span["processID"]]} for span in trace["spans"]]


@dataclass(frozen=True)
class Gateway:
    """A stock OpenTelemetry Collector with the shipped gateway configuration."""

    server: Server
    otlp_http: str
    otlp_grpc: str
    metrics: str

    def figure(self, name: str, **labels: str) -> float:
        """The sum of a metric of its own over all series with these labels; 0 without any."""
        families = text_string_to_metric_families(httpx.get(self.metrics, timeout=30.0).text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def kill(self) -> None:
        """End it as a power cut would end the process: at once, by SIGKILL."""
        self.server.process.kill()
        self.server.process.wait()


@contextlib.contextmanager
def jaeger(
    directory: Path, *, api: str | None = None, beside: Sequence[Path] = ()
) -> Iterator[Jaeger]:
    """Run Jaeger with the shipped configuration.

    Args:
        directory: for its log.
        api: where it expects inferspan's API, `HOST:PORT`; a free address unless given.
        beside: more files, merged over its configuration.
    """
    otlp_http, otlp_grpc, query, query_grpc, free = free_addresses(5)
    api = api or free
    # The one file that the environment does not reach.
    shipped = (ROOT / "collector/jaeger/ui.json").read_text()
    (page := directory / "ui.json").write_text(shipped.replace("127.0.0.1:4319", api))
    settings = {
        "JAEGER_OTLP_HTTP": otlp_http,
        "JAEGER_OTLP_GRPC": otlp_grpc,
        "JAEGER_QUERY_HTTP": query,
        "JAEGER_QUERY_GRPC": query_grpc,
        "JAEGER_UI_CONFIG": str(page),
        "INFERSPAN_API": f"http://{api}",
    }
    files = [ROOT / "collector/jaeger/jaeger.yaml", *beside]
    with running("jaeger", built("jaeger", files), settings, directory) as server:
        wait_for(server, f"http://{query}/api/services", otlp_http, otlp_grpc)
        yield Jaeger(server, f"http://{otlp_http}", otlp_grpc, f"http://{query}", api)


@contextlib.contextmanager
def gateway(
    directory: Path,
    inferspan: str,
    jaeger_otlp: str,
    *,
    addresses: Sequence[str] = (),
    beside: Sequence[str] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Gateway]:
    """Run the Collector with the shipped gateway configuration.

    Args:
        directory: for its log and its queue on disk.
        inferspan: OTLP/HTTP endpoint, `http://HOST:PORT`.
        jaeger_otlp: the same of Jaeger.
        addresses: where it takes OTLP over HTTP and gRPC, `HOST:PORT`; free ones unless given.
        beside: more files of `collector/otelcol`, merged over its configuration.
        settings: more variables of its environment.
    """
    otlp_http, otlp_grpc = addresses or free_addresses(2)
    health, metrics = free_addresses(2)
    environment = {
        "GATEWAY_OTLP_HTTP": otlp_http,
        "GATEWAY_OTLP_GRPC": otlp_grpc,
        "GATEWAY_HEALTH": health,
        "GATEWAY_METRICS_PORT": metrics.rpartition(":")[2],
        "GATEWAY_QUEUE": str(directory / "queue"),
        "INFERSPAN_OTLP_HTTP": inferspan,
        "JAEGER_OTLP_HTTP": jaeger_otlp,
        **(settings or {}),
    }
    files = [ROOT / "collector/otelcol" / name for name in ("gateway.yaml", *beside)]
    with running("otelcol", built("otelcol", files), environment, directory) as server:
        wait_for(server, f"http://{health}/", otlp_http, otlp_grpc)
        yield Gateway(server, f"http://{otlp_http}", otlp_grpc, f"http://{metrics}/metrics")


def free_addresses(n: int) -> list[str]:
    """Different loopback addresses, `HOST:PORT`, that nobody listens on now."""
    with contextlib.ExitStack() as held:
        addresses: list[str] = []
        while len(addresses) < n:
            port = secrets.choice(PORTS)
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                addresses.append(f"127.0.0.1:{port}")
        return addresses


def built(name: str, configs: Sequence[Path]) -> list[str]:
    """The command line of a server of ours, with its configuration."""
    options = [word for config in configs for word in ("--config", str(config))]
    return [str(build(SERVERS[name])), *options]


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], settings: Mapping[str, str], directory: Path
) -> Iterator[Server]:
    """Run a command until the block ends; its log is `NAME.log` of the directory."""
    log = directory / f"{name}.log"
    # A server that is started again goes on in its log.
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **settings},
        )
    try:
        yield Server(name, process, log)
    finally:
        end(process)


def end(process: subprocess.Popen[bytes], seconds: float = STOP_SECONDS) -> None:
    """Have a process stop; it is killed where it has not in so many seconds."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(server: Server, url: str, *listeners: str) -> None:
    """Return once the URL answers and the addresses are listened to.

    Raises:
        RuntimeError: the server ended, or is not ready within `READY_SECONDS`; with its log.
    """

    def ready() -> bool:
        if (code := server.process.poll()) is not None:
            raise RuntimeError(f"{server.name} ended with {code}:\n{server.log_tail()}")
        try:
            answered = httpx.get(url, timeout=2.0).is_success
        except httpx.TransportError:
            return False
        return answered and all(_listens(address) for address in listeners)

    try:
        wait_until(ready, READY_SECONDS, f"{server.name} to be ready")
    except TimeoutError as error:
        raise RuntimeError(f"{error}\n{server.log_tail()}") from error


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as caller:
        caller.settimeout(1.0)
        return caller.connect_ex((host, int(port))) == 0
