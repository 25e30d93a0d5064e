"""A collector that dies as it is told, and is started again at the same addresses."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from inferspan_collector.failpoints import ARMED, NAMES, POINT, SWITCH
from servers.running import free_addresses
from waiting import wait_until

STOP_SECONDS = 60.0
LOG = 8_000
"""Characters of the log that a failure shows."""
READY_SECONDS = 180.0
"""On a new machine the first start compiles what touches bytes."""
ACKNOWLEDGED = "acknowledged"
STARTING = "starting"


@dataclass(frozen=True)
class Death:
    """Where a collector is killed by SIGKILL.

    `at` is a failpoint's name, `acknowledged` (by the test, once so many requests were) or
    `starting` (by the test, so long after the start, however often that was acknowledged).
    """

    at: str
    count: int = 1
    delay_milliseconds: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What the process must be told."""
        if self.at not in NAMES:
            return {}
        return {SWITCH: ARMED, POINT: f"{self.at}:{self.count}:{self.delay_milliseconds}"}


class Mortal:
    """`inferspan serve` on one data directory; whenever it is killed, the next one starts.

    Args:
        data: the data directory.
        deaths: how the first process dies, the second one…; those beyond live on.
        options: of the command line.
        excused: exit codes upon which it is started again, too.

    Attributes:
        deaths: processes that were killed.
        death: how the present one is to die.
    """

    def __init__(
        self,
        data: Path,
        deaths: Iterable[Death] = (),
        options: Iterable[str] = (),
        excused: Iterable[int] = (),
    ) -> None:
        grpc, otlp, api = free_addresses(3)
        self.otlp_http, self.otlp_grpc, self.api = f"http://{otlp}", grpc, f"http://{api}"
        self.deaths = 0
        self.log = data.with_suffix(".log")
        self._planned = deaths
        self._excused = (*excused,)
        self._command = [
            *(sys.executable, "-m", "inferspan_collector.cli", "serve", "--data", str(data)),
            *("--otlp-http", otlp, "--otlp-grpc", grpc, "--api", api, *options),
        ]
        self._failure: str | None = None
        self._stopping = False
        self._replacing = False
        self._prepare: Callable[[int], None] = lambda pid: None
        self._acknowledged = itertools.count(1)
        self.death: Death | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    def start(self) -> None:
        """Start the first one."""
        self._supervisor.start()

    def acknowledged(self) -> None:
        """Told after each acknowledgement: some die of it."""
        death, process = self.death, self._process
        if death is None or process is None or death.at != ACKNOWLEDGED:
            return
        if next(self._acknowledged) == death.count:
            _kill_after(process, death.delay_milliseconds)

    def steadily(self, question: Callable[[], None]) -> None:
        """Ask it something that must not fail but by its death; then ask the next one."""

        def answered() -> bool:
            assert self._failure is None, self._failure
            try:
                question()
            except httpx.TransportError:
                return False
            return True

        wait_until(answered, READY_SECONDS, "an answer of the collector")

    def prepare(self, prepare: Callable[[int], None]) -> None:
        """Do something to each process that is started from now on, by its id."""
        self._prepare = prepare

    @property
    def pid(self) -> int:
        """Of the present process."""
        assert self._process is not None
        return self._process.pid

    def replace(self) -> int:
        """SIGTERM; the next one starts once this one has ended. The exit code."""
        self._replacing = True
        return self._terminate()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._stopping = True
        return self._terminate()

    def _terminate(self) -> int:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_SECONDS)

    def last_words(self) -> str:
        """How it ended where it was not to, and the end of what all of its processes said."""
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"{self._failure or 'the collector did not end by itself'}; its log:\n{said[-LOG:]}"

    def end(self) -> None:
        """Whatever happened, leave no process."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()
        self._supervisor.join(STOP_SECONDS)

    def _supervise(self) -> None:
        for death in itertools.chain(self._planned, itertools.repeat(None)):
            code = self._live(death)
            if self._stopping:
                return
            if code == 0 and self._replacing:
                self._replacing = False
            elif code not in (-signal.SIGKILL, *self._excused):
                self._failure = f"the collector ended with {code}"
                return
            else:
                self.deaths += 1

    def _live(self, death: Death | None) -> int:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env=os.environ | (death.environment if death else {}),
            )
        self._prepare(process.pid)
        self._acknowledged = itertools.count(1)
        self._process, self.death = process, death
        if death and death.at == STARTING:
            _kill_after(process, death.delay_milliseconds)
        return process.wait()


def _kill_after(process: subprocess.Popen[bytes], milliseconds: int) -> None:
    timer = threading.Timer(milliseconds / 1e3, process.kill)
    timer.daemon = True
    timer.start()


@contextmanager
def mortal(
    data: Path,
    deaths: Iterable[Death] = (),
    options: Iterable[str] = (),
    excused: Iterable[int] = (),
) -> Iterator[Mortal]:
    """Run one until the block ends; it must then stop as it is asked to."""
    collector = Mortal(data, deaths, options, excused)
    collector.start()
    try:
        collector.steadily(lambda: ready(collector.api))
        yield collector
        assert collector.stop() == 0
    except BaseException as error:
        # A sender that waits in vain does not know that nobody is there any more, nor why.
        error.add_note(collector.last_words())
        raise
    finally:
        collector.end()


def ready(api: str) -> None:
    """Hold that it can be asked."""
    answer = httpx.get(f"{api}/readyz", timeout=READY_SECONDS)
    assert answer.is_success, answer.text
