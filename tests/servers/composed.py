"""`docker-compose.yml` as processes: the same mounted files, commands and variables.

What a container would find at a path is copied to a directory of the test; what it would find under
a name and port is a free port of the loopback address. Nothing else differs, but for the waits of
`HASTE`.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from servers.build import ROOT, SERVERS, build
from servers.debian import COMMANDS, find
from servers.running import LOG_LINES, end, free_addresses
from waiting import wait_until

READY_SECONDS: Final = 120.0
STOP_SECONDS: Final = 45.0
LISTENED: Final = {
    "gateway": ("4317", "4318", "8888", "13133"),
    "inferspan": ("4317", "4318", "4319"),
    "jaeger": ("14317", "14318", "16685", "16686"),
    "prometheus": ("9090",),
    "alertmanager": ("9093",),
    "alerts": ("9095",),
    "grafana": ("3000",),
}
"""Service → the ports it listens on, as its image does by itself or our files say."""
HEALTH: Final = {
    "gateway": ("13133", "/"),
    "inferspan": ("4319", "/readyz"),
    "jaeger": ("16686", "/api/services"),
    "prometheus": ("9090", "/-/ready"),
    "alertmanager": ("9093", "/-/ready"),
}
WITHOUT: Final = ("prepare", "gateway-health", "grafana")
"""What is no process here: a `chown`, a `sleep` that is asked for its neighbour's health, and what
is not to be had."""
HASTE: Final = (
    (r"(?<=_interval: )15s", "2s"),
    (r"(?<=scrape_timeout: )10s", "2s"),
    (r"(?<=\binterval: )5m", "2s"),
    (r"(?<=\bfor: )\d+m", "2s"),
    (r"(?<=figures_seconds: )15", "1"),
    (r"(?<=group_wait: )15s", "1s"),
    (r"(?<=group_interval: )1m", "1s"),
)
"""Pattern → what stands there here: how often things are asked for, how long alerts wait; so that
a test takes seconds."""


@dataclass
class Running:
    """A service that runs; `process` is another one after a restart."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    out: Path

    def log_tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_LINES:])


class Composed:
    """The set of `docker-compose.yml`, in a directory."""

    def __init__(self, directory: Path, without: tuple[str, ...] = ()) -> None:
        """Copy what is mounted; nothing runs yet.

        Args:
            directory: for everything.
            without: services that shall not run.
        """
        self.directory = directory
        services: Mapping[str, dict[str, Any]] = yaml.safe_load(
            (ROOT / "docker-compose.yml").read_text()
        )["services"]
        self.services = {
            name: service for name, service in services.items() if name not in (*WITHOUT, *without)
        }
        ports = [(name, port) for name, listened in LISTENED.items() for port in listened]
        self.at = dict(zip(ports, free_addresses(len(ports)), strict=True))
        self.running: dict[str, Running] = {}
        for name in self.services:
            self._mount(name)

    def url(self, service: str, port: str) -> str:
        """Where a service answers."""
        return f"http://{self.at[service, port]}"

    def placed(self, service: str, text: str) -> str:
        """What a file, a variable or an argument of a service says, with addresses of here."""
        for (name, port), address in self.at.items():
            text = re.sub(rf"\b{name}:{port}\b", address, text)
            if name == service:
                text = re.sub(rf"(?<!\d)0\.0\.0\.0:{port}\b", address, text)
            for published in self.services.get(name, {}).get("ports", ()):
                if published == f"127.0.0.1:{port}:{port}":
                    text = re.sub(rf"(?<!\d)127\.0\.0\.1:{port}\b", address, text)
        for slow, fast in HASTE:
            text = re.sub(slow, fast, text)
        return text

    def _mount(self, name: str) -> None:
        for volume in self.services[name].get("volumes", ()):
            source, target = volume.split(":")[:2]
            here = self._path(name, target)
            if not source.startswith("./"):
                # A volume outlives its service, and may have two.
                real = self.directory / "volumes" / source
                real.mkdir(parents=True, exist_ok=True)
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(real)
                continue
            files = ROOT / source
            for file in files.rglob("*") if files.is_dir() else [files]:
                if file.is_file():
                    copy = here / file.relative_to(files) if files.is_dir() else here
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_text(self.placed(name, file.read_text()))

    def _path(self, service: str, path: str) -> Path:
        return self.directory / "containers" / service / path.lstrip("/")

    def _here(self, service: str, word: str) -> str:
        """A word of a command or a variable's value: paths and addresses of here."""
        if word == "0.0.0.0":
            return "127.0.0.1"
        if (service, word) in self.at:
            return self.at[service, word].rpartition(":")[2]
        root = str(self.directory / "containers" / service)
        return re.sub(r"(^|=)(/[\w./-]+)$", rf"\1{root}\2", self.placed(service, word))

    def command(self, name: str) -> list[str]:
        """The command line of a service."""
        service = self.services[name]
        words = [self._here(name, word) for word in service.get("command", ())]
        match name:
            case "gateway":
                return [str(build(SERVERS["otelcol"])), *words]
            case "jaeger":
                return [str(build(SERVERS["jaeger"])), *words]
            case "prometheus":
                listen = f"--web.listen-address={self.at[name, '9090']}"
                # An Alertmanager that was started again knows of no alert before it is told again.
                told_again = "--rules.alert.resend-delay=2s"
                return [str(find(COMMANDS["prometheus"])), *words, listen, told_again]
            case "alertmanager":
                listen = f"--web.listen-address={self.at[name, '9093']}"
                return [str(build(SERVERS["alertmanager"])), *words, listen]
            case "inferspan":
                return [str(Path(sys.executable).with_name("inferspan")), *words]
        # Both of examples/service: what the Dockerfile starts, unless told otherwise.
        program = words[1:] or ["main.py"]
        return [sys.executable, str(ROOT / "examples/service" / program[0]), *program[1:]]

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a service."""
        given = self.services[name].get("environment", {})
        return {variable: self._here(name, str(value)) for variable, value in given.items()}

    def start(self, name: str, *more: str) -> None:
        """Start a service, with more arguments than it has in the file, if any."""
        log, out = (self.directory / f"{name}.{kind}" for kind in ("log", "out"))
        with log.open("ab") as errors, out.open("ab") as output:
            process = subprocess.Popen(
                [*self.command(name), *more],
                stdout=output,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment(name)},
            )
        self.running[name] = Running(name, process, log, out)

    def wait_ready(self, *names: str) -> None:
        """Return once services answer as their healthchecks ask.

        Raises:
            RuntimeError: one ended, or does not answer in time; with its log.
        """
        for name in names:
            server = self.running[name]
            port, path = HEALTH[name]
            asked = functools.partial(_answers, server, self.url(name, port) + path)
            try:
                wait_until(asked, READY_SECONDS, f"{name} to be ready")
            except TimeoutError as error:
                raise RuntimeError(f"{error}\n{server.log_tail()}") from error

    def kill(self, name: str) -> None:
        """End a service as a power cut would: by SIGKILL."""
        self.running[name].process.kill()
        self.running[name].process.wait()

    def restart(self, name: str) -> None:
        """Kill a service and start it again, on what it left on disk."""
        self.kill(name)
        self.start(name)
        self.wait_ready(name)

    def stop(self, name: str) -> str:
        """End a service as `docker compose stop` does; returns what it printed."""
        server = self.running.pop(name)
        end(server.process, STOP_SECONDS)
        return server.out.read_text()

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """Run everything but the example, which starts when the test says so."""
        names = [name for name in self.services if name != "example"]
        try:
            for name in names:
                self.start(name)
            self.wait_ready(*(name for name in names if name in HEALTH))
            yield
        finally:
            for server in self.running.values():
                if server.process.poll() is None:
                    server.process.send_signal(signal.SIGTERM)
            for server in self.running.values():
                end(server.process, STOP_SECONDS)


def _answers(server: Running, url: str) -> bool:
    if (code := server.process.poll()) is not None:
        raise RuntimeError(f"{server.name} ended with {code}:\n{server.log_tail()}")
    try:
        return httpx.get(url, timeout=5.0).is_success
    except httpx.TransportError:
        return False
