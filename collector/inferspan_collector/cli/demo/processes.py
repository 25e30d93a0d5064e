"""The demo's child processes: they tell what they do in lines of JSON on standard output."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from inferspan import semconv

START_SECONDS = 600.0
"""A machine's first start compiles, which takes minutes where it has much else to do."""
PATIENCE_SECONDS = 10.0
"""A start that takes longer is explained."""
STOP_SECONDS = 30.0
LOG_LINES_SHOWN = 15

Messages = queue.Queue[tuple[str, dict[str, Any]]]


class DemoFailed(Exception):
    """The demo cannot go on; the message says why."""


class Child:
    """One process of the demo.

    Args:
        name: of the process, and of its log.
        arguments: of the Python interpreter.
        environment: added to ours.
        messages: gets (name, message) for every line it tells, and `{"ended": CODE}` at its end.
        logs: directory for what it writes on standard error.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: dict[str, str],
        messages: Messages,
        logs: Path,
    ) -> None:
        self.name = name
        self._log = logs / f"{name}.log"
        self._messages = messages
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_clean_environment() | environment,
                text=True,
                encoding="utf-8",
                # Ctrl+C goes to the demo alone, which then ends its children in order.
                start_new_session=True,
            )
        self._listener = threading.Thread(target=self._listen, name=name, daemon=True)
        self._listener.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, message: dict[str, Any]) -> None:
        """Write it a line of JSON; one that has ended hears nothing, and its end is told."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps(message) + "\n")
                self._process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        self._process.kill()
        self._process.wait()
        self.end_input()
        self._listener.join()

    def stop(self) -> int:
        """SIGTERM, and wait for its end; then SIGKILL.

        Returns:
            Its exit code.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self.end_input()
        self._listener.join()
        return code

    def log_tail(self) -> str:
        """The last lines that it wrote on standard error."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._messages.put((self.name, json.loads(line)))
        self._messages.put((self.name, {"ended": self._process.wait()}))


class EmbeddedCollector:
    """An `inferspan serve` of the demo's own, that can be killed and started again.

    Args:
        data: its data directory.
        jaeger: Jaeger's OTLP endpoint, or None.
        logs: directory for its log.
        say: tells people what is waited for.
    """

    def __init__(
        self, data: Path, jaeger: str | None, logs: Path, say: Callable[[str], object]
    ) -> None:
        self._say = say
        self._data = data
        self._jaeger = jaeger
        self._logs = logs
        self._child: Child | None = None
        self.otlp = "http://127.0.0.1:0"
        self.api = "http://127.0.0.1:0"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._child is not None
        return self._child.pid

    def start(self) -> None:
        """Start it, on the ports it had before, and wait until it is ready.

        Raises:
            DemoFailed: it ended or was not ready in time; with the end of its log.
        """
        messages: Messages = queue.Queue()
        arguments = ["-m", "inferspan_collector.cli", "serve", "--data", str(self._data)]
        arguments += ["--otlp-grpc", "off", "--log-level", "warning"]
        arguments += ["--otlp-http", _host_port(self.otlp), "--api", _host_port(self.api)]
        arguments += ["--jaeger", self._jaeger] if self._jaeger else []
        child = self._child = Child("collector", arguments, {}, messages, self._logs)
        message = self._first(messages)
        if not message.get("ready"):
            child.kill()
            why = (
                f"it ended with code {message['ended']}"
                if "ended" in message
                else f"it was not ready within {START_SECONDS:.0f} s"
            )
            said = child.log_tail() or "(it wrote nothing to its log)"
            raise DemoFailed(f"the collector did not start: {why}:\n{said}")
        self.otlp, self.api = message["otlp_http"], message["api"]

    def _first(self, messages: Messages) -> dict[str, Any]:
        """What it tells first, its end too; empty where it tells nothing in time."""
        for seconds, said in (
            (PATIENCE_SECONDS, "Waiting for the collector: a first start compiles for a while."),
            (START_SECONDS - PATIENCE_SECONDS, ""),
        ):
            with contextlib.suppress(queue.Empty):
                return messages.get(timeout=seconds)[1]
            if said:
                self._say(said)
        return {}

    def kill(self) -> None:
        """`kill -9`."""
        assert self._child is not None
        self._child.kill()

    def stop(self) -> None:
        """Let it finish and end."""
        if self._child is not None:
            self._child.stop()


def sdk_environment(otlp: str, environment: str) -> dict[str, str]:
    """What a process with the SDK gets to know: where to send, quickly and patiently."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        "OTEL_RESOURCE_ATTRIBUTES": f"{semconv.DEPLOYMENT_ENVIRONMENT_NAME}={environment}",
        # A live table wants spans at once; the defaults are five and ten seconds.
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "60",
    }


def _clean_environment() -> dict[str, str]:
    """Ours, without what would send the demo's telemetry elsewhere."""
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("OTEL_", "INFERSPAN_"))
    }
    local = "127.0.0.1,localhost"
    return kept | {"NO_PROXY": local, "no_proxy": local, "PYTHONUNBUFFERED": "1"}


def _host_port(url: str) -> str:
    return url.removeprefix("http://")
