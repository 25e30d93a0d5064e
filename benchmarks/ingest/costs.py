"""Rounds of a load against the same servers in turn, and what each cost."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ingest.loads import Load
from ingest.sender import Sender, Sent
from ingest.servers import SETTLE_SECONDS, Metrics, Server

POLL_SECONDS: Final = 0.005
STAGE: Final = "inferspan_stage_cpu_seconds_total"


@dataclass(frozen=True, slots=True)
class Round:
    """One load against one server."""

    server: str
    sent: Sent
    cpu_seconds: float
    checkpoints: tuple[tuple[float, float], ...]
    """When the log before the store shrank: monotonic seconds, from the last look before it to
    the first look after."""

    @property
    def per_cpu_second(self) -> float:
        return self.sent.spans / self.cpu_seconds

    @property
    def per_second(self) -> float:
        return self.sent.spans / self.sent.seconds


class Checkpoints:
    """Watches the store's log in a thread: where it shrinks, there was a checkpoint."""

    def __init__(self, data: Path | None) -> None:
        self._data = data
        self._stopped = threading.Event()
        self.seen: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _watch(self) -> None:
        if self._data is None:
            return
        size, looked = 0, time.perf_counter()
        while not self._stopped.wait(POLL_SECONDS):
            now, logs = time.perf_counter(), 0
            for log in self._data.glob("*.wal"):
                with contextlib.suppress(FileNotFoundError):
                    logs += log.stat().st_size
            if logs < size:
                self.seen.append((looked, now))
            size, looked = logs, now


def run(server: Server, sender: Sender, load: Load) -> Round:
    """Prepare a load, send it, let the server settle."""
    sender.prepare(load)
    checkpoints = Checkpoints(server.data)
    with checkpoints.watching():
        before = server.cpu_seconds()
        try:
            sent = sender.send(server.address(load.transport))
        except RuntimeError as error:
            raise RuntimeError(f"{server.name}, {server.state()}: {error}") from error
        time.sleep(SETTLE_SECONDS)
        used = server.cpu_seconds() - before
    return Round(server.name, sent, used, tuple(checkpoints.seen))


def ratios(rounds: Sequence[Round]) -> list[float]:
    """Ours by the peer's, of rounds beside each other."""
    mine = [one.per_cpu_second for one in rounds if one.server == "inferspan"]
    its = [one.per_cpu_second for one in rounds if one.server != "inferspan"]
    return [one / other for one, other in zip(mine, its, strict=False)]


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """p25, median, p75."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, half, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, half, high


@dataclass(frozen=True, slots=True)
class Answers:
    """How long acknowledgements took, s; those with a checkpoint under way apart."""

    all: np.ndarray[Any, np.dtype[np.float64]]
    beside_checkpoints: np.ndarray[Any, np.dtype[np.float64]]
    checkpoints: int

    @classmethod
    def of(cls, rounds: Sequence[Round]) -> Answers:
        took, beside = [], []
        for one in rounds:
            seconds = one.sent.answered - one.sent.due
            during = np.zeros(len(seconds), bool)
            for begin, end in one.checkpoints:
                during |= (one.sent.due <= end) & (one.sent.answered >= begin)
            took.append(seconds)
            beside.append(seconds[~during])
        return cls(
            np.concatenate(took),
            np.concatenate(beside),
            sum(len(one.checkpoints) for one in rounds),
        )


def acknowledgements(answers: Answers) -> str:
    """As one line."""

    def line(took: np.ndarray[Any, np.dtype[np.float64]]) -> str:
        if not len(took):
            return "none"
        p50, p99 = np.percentile(took, [50, 99]) * 1e3
        return f"p50 {p50:.1f}, p99 {p99:.1f}, max {took.max() * 1e3:.0f} ms"

    return (
        f"answers {line(answers.all)}; {answers.checkpoints} checkpoints, "
        f"beside them {line(answers.beside_checkpoints)}"
    )


@dataclass
class Stages:
    """CPU a span by stage, between two looks at our `/metrics`."""

    before: Metrics
    nanoseconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def begin(cls, server: Server) -> Stages:
        return cls(server.metrics("stage"))

    def end(self, server: Server, spans: int, cpu_seconds: float) -> dict[str, float]:
        """CPU a span, ns; the whole process's last: its own work beside the stages too."""
        now = server.metrics("stage")
        for key, seconds in now.items():
            name, _, stage = key.partition(" ")
            if name == STAGE and (more := seconds - self.before.get(key, 0.0)):
                self.nanoseconds[stage] = more / spans * 1e9
        self.nanoseconds["whole process"] = cpu_seconds / spans * 1e9
        return self.nanoseconds


def at_most(what: str, value: float, most: float) -> None:
    """Print a figure beside what it may be at most."""
    _judged(what, value, f"≤ {most:,g}", value <= most)


def at_least(what: str, value: float, least: float) -> None:
    """Print a figure beside what it must be at least."""
    _judged(what, value, f"≥ {least:,g}", value >= least)


def _judged(what: str, value: float, target: str, reached: bool) -> None:
    verdict = "reached" if reached else "NOT reached"
    print(f"  {what}: {value:,.2f}; target {target}: {verdict}", flush=True)
