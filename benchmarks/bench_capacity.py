"""What a collector holds: the cost, memory, disk and start with many predictions that wait.

pending  two collectors side by side, one with few predictions that have no label yet, one with
many: CPU a span with labels near in time, with labels scattered over the index of recent ids, and
over all that wait; memory, and what more predictions add to it; bytes on disk; the time to start
again
cold     labels alone, of predictions that are older than those that memory holds
older    the same loads where the file has many times the ids that memory has room for
start    seconds from the command to /readyz, with an empty store; the first time (compilation) too
size     what `pip install` of both distributions puts into an empty environment
soak     minutes at half of the highest rate: memory, and its slope

    python benchmarks/bench_capacity.py [SECTION …] [--pending 10M] [--seconds 900]
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from ingest import costs
from ingest.bodies import PER_REQUEST, Times
from ingest.costs import Answers, acknowledgements, at_least, at_most
from ingest.loads import DRAWS, TURN_SPANS, Batches, Labelled, Load, Scattered, Unlabelled
from ingest.sender import Sender
from ingest.servers import ROOT, Server, ours

from inferspan_collector.config.store import Store

DAY_NS: Final = 86_400_000_000_000
STEP_NS: Final = 2_500
FEW: Final = 10_000
SWEEPS: Final = 3
TURNS: Final = 100
MORE: Final = 4_000_000
"""Predictions beyond the many, to see whether memory stays."""
SAMPLE_SECONDS: Final = 5.0
MIB: Final = 2**20
SUFFIXES: Final = {"": 1, "k": 1_000, "M": 1_000_000}
SECTIONS: Final = ("pending", "cold", "older", "start", "size", "soak")
HELD: Final = Store().hot_keys
"""Predictions that memory holds."""
HOT: Final = 100_000
"""Predictions that memory holds where labels of older ones are wanted."""
COLD_TURNS: Final = 100


class Filled:
    """A collector and the numbers of the predictions that it was sent."""

    def __init__(self, server: Server, sender: Sender) -> None:
        self.server = server
        self._sender = sender
        self._times = Times(time.time_ns() - DAY_NS, STEP_NS)
        self.next = 0

    def run(self, batches: Batches, pace: float | None = None) -> costs.Round:
        """Send a load that begins at `next`."""
        done = costs.run(
            self.server, self._sender, Load(batches, self._times, spans_per_second=pace)
        )
        self.next += batches.predictions
        return done

    def fill(self, predictions: int) -> costs.Round:
        """Send predictions without labels."""
        return self.run(Unlabelled(self.next, -(-predictions // PER_REQUEST)))


def pending(sender: Sender, many: int) -> None:
    """Few and many that wait, side by side."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with ours(directory / "few") as one:
            few = Filled(one, sender)
            few.fill(FEW)
            with ours(directory / "many") as other:
                lots = Filled(other, sender)
                filled = lots.fill(many)
                memory, filling = other.memory_bytes(), other.memory_bytes("VmHWM")
                print(f"  filled with {lots.next:,} at {filled.per_second:,.0f} a second")
            if many >= SUFFIXES["M"]:
                with ours(directory / "many", pinned=False) as again:
                    at_most(f"start with {many:,} waiting, s", again.ready_seconds, 6.0)
                    print(f"  of it on a core: {again.cpu_seconds():.2f} s")
            with ours(directory / "many") as other:
                # The same store, whose collector was started again for the figure above.
                lots.server = other
                _costs(few, lots)
                _memory(lots, memory, filling)


def _costs(few: Filled, lots: Filled) -> None:
    # Of the oldest that memory holds, some leave it for those that come now.
    recent = range(max(lots.next // 4, lots.next - HELD * 4 // 5), lots.next)
    everywhere = range(lots.next // 4, lots.next)
    taken: dict[str, list[float]] = {"few": [], "near": [], "recent": [], "everywhere": []}
    for sweep in range(SWEEPS + 1):
        near_few = few.run(Labelled(few.next, TURNS))
        near = lots.run(Labelled(lots.next, TURNS))
        done = {"few": near_few, "near": near}
        # Each draws from residue classes of its own: none is labelled twice.
        last = DRAWS - 1 - sweep
        for name, waiting, draw in (("recent", recent, sweep), ("everywhere", everywhere, last)):
            turns = min(TURNS, len(waiting) // (2 * DRAWS * PER_REQUEST))
            load = Scattered(lots.next, turns, waiting, draw)
            done[name] = lots.run(load) if turns else near
        if sweep:  # The first warms caches up.
            for name, one in done.items():
                taken[name].append(1e9 / one.per_cpu_second)
    base = float(np.median(taken["few"]))
    print(f"  CPU a span with {FEW:,} waiting: {base:,.0f} ns")
    ratios = {
        name: np.median(np.array(each) / np.array(taken["few"])) for name, each in taken.items()
    }
    at_most("labels near, × of that with few", float(ratios["near"]), 1.5)
    at_most("labels scattered over recent ids, × of that with few", float(ratios["recent"]), 2.0)
    print(f"  labels scattered over all ids, × of that with few: {ratios['everywhere']:.2f}")


def _memory(lots: Filled, filled: int, filling: int) -> None:
    # What is resident at one moment goes up and down by tens of MiB with buffers of a checkpoint;
    # the highest that it has been does not, and shows growth all the same.
    before, at = lots.server.memory_bytes("VmHWM"), lots.next
    lots.fill(MORE)
    most = lots.server.memory_bytes("VmHWM")
    at_most("memory once filled, MiB", filled / MIB, 1536)
    at_most("the most while it was filled, MiB", filling / MIB, 1536)
    at_most("the most since it started again, MiB", most / MIB, 1536)
    at_most("the most, a further prediction adds, B", (most - before) / (lots.next - at), 8)
    stored = lots.server.quality()["predictions"]
    assert stored == lots.next
    at_most("on disk a prediction, B", lots.server.disk_bytes() / stored, 80)


def cold(sender: Sender, many: int) -> None:
    """Labels of predictions that only the file holds."""
    config = f"store: {{hot_keys: {HOT}}}"
    with tempfile.TemporaryDirectory() as scratch, ours(Path(scratch), config) as server:
        filled = Filled(server, sender)
        filled.fill(many)
        old = range(many - 2 * HOT)
        turns = min(COLD_TURNS, len(old) // (2 * DRAWS * PER_REQUEST))
        labelled = [
            filled.run(Scattered(0, turns, old, draw, alone=True)) for draw in range(SWEEPS)
        ]
        rate = float(np.median([one.per_second for one in labelled]))
        used = float(np.median([one.per_cpu_second for one in labelled]))
        at_least(f"labels a second, of {len(old):,} predictions in the file", rate, 20_000)
        print(f"  {used:,.0f} per CPU-second")
        stored, figures = server.stored(), server.quality()
        assert figures["labeled"] == stored.labels == sum(one.sent.labels for one in labelled)


def older(sender: Sender, many: int) -> None:
    """A file with many times the ids that memory has room for, beside a small one."""
    config = f"store: {{hot_keys: {HOT}, cold_keys: {HOT}}}"
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with ours(directory / "few") as one, ours(directory / "many", config) as other:
            few, lots = Filled(one, sender), Filled(other, sender)
            few.fill(FEW)
            filled = lots.fill(many)
            print(f"  filled with {lots.next:,} at {filled.per_second:,.0f} a second")
            loads: dict[str, Callable[[int], Batches]] = {
                "no labels": lambda _: Unlabelled(lots.next, TURNS),
                "labels near": lambda _: Labelled(lots.next, TURNS),
                "labels of any age": lambda draw: Scattered(
                    lots.next, TURNS // 10, range(many), draw
                ),
            }
            for name, load in loads.items():
                taken = []
                for draw in range(SWEEPS):
                    base = few.run(Labelled(few.next, TURNS))
                    taken.append(base.per_cpu_second / lots.run(load(draw)).per_cpu_second)
                print(f"  {name}, × of labels near with few: {float(np.median(taken)):.2f}")


def start() -> None:
    """Small store, compiled code cached and not. Nothing is sent: all cores are the collector's."""
    with tempfile.TemporaryDirectory() as scratch:
        cache = {"NUMBA_CACHE_DIR": f"{scratch}/cache"}
        with ours(Path(scratch) / "first", environ=cache, pinned=False) as server:
            at_most("the first start, s", server.ready_seconds, 20.0)
            print(f"  of it on a core: {server.cpu_seconds():.2f} s")
        again = []
        for _ in range(SWEEPS):
            with ours(Path(scratch) / "first", environ=cache, pinned=False) as server:
                again.append((server.ready_seconds, server.cpu_seconds()))
        seconds, on_a_core = np.median(again, axis=0).tolist()
        at_most("a later start, s", seconds, 2.5)
        print(f"  of it on a core: {on_a_core:.2f} s")


def size() -> None:
    """Install both distributions into an empty environment."""
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch) / "environment"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(environment / "bin/python")]
        subprocess.run([*pip, "install", str(ROOT), str(ROOT / "collector")], check=True)
        installed = sum(path.lstat().st_size for path in environment.rglob("*") if path.is_file())
        at_most("installed, MB", installed / 1e6, 450)


def soak(sender: Sender, seconds: float) -> None:
    """Half of the highest rate for long."""
    with tempfile.TemporaryDirectory() as scratch, ours(Path(scratch)) as server:
        filled = Filled(server, sender)
        filled.run(Labelled(filled.next, TURNS // 4))
        rate = filled.run(Labelled(filled.next, TURNS)).per_second / 2
        with _sampling(server) as samples:
            done = filled.run(Labelled(filled.next, round(seconds * rate / TURN_SPANS)), rate)
        settled = np.array(samples[len(samples) // 3 :])
        slope = np.polynomial.Polynomial.fit(settled[:, 0], settled[:, 1], 1).convert().coef[-1]
        print(f"  {seconds:,.0f} s at {rate:,.0f} spans/s, {done.per_cpu_second:,.0f} per CPU-s")
        print(f"  {acknowledgements(Answers.of([done]))}")
        print(f"  memory {settled[0, 1] / MIB:,.0f} → {settled[-1, 1] / MIB:,.0f} MiB")
        at_most("slope over the last two thirds, MiB a minute", slope * 60 / MIB, 1.0)
        stored, figures = server.stored(), server.quality()
        print(f"  {stored.predictions:,} predictions stored of {filled.next:,}")
        print(f"  {figures['labeled']:,} joined of {stored.labels:,} labels")
        assert stored.predictions == filled.next == figures["predictions"]
        assert stored.labels == figures["labeled"]


@contextlib.contextmanager
def _sampling(server: Server) -> Iterator[list[tuple[float, float]]]:
    samples: list[tuple[float, float]] = []
    stopped = threading.Event()

    def watch() -> None:
        began = time.perf_counter()
        while True:
            samples.append((time.perf_counter() - began, server.memory_bytes()))
            if stopped.wait(SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        stopped.set()
        thread.join()


def number(text: str) -> int:
    """`10k`, `10M` or digits."""
    digits = text.rstrip("kM")
    return int(digits) * SUFFIXES[text[len(digits) :]]


def main() -> int:
    """Run the sections asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--pending", type=number, default=1_000_000, help="as 10M; default 1M")
    parser.add_argument("--seconds", type=float, default=900.0, help="of the soak")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    run: dict[str, Callable[[Sender], None]] = {
        "pending": lambda sender: pending(sender, arguments.pending),
        "cold": lambda sender: cold(sender, arguments.pending),
        "older": lambda sender: older(sender, arguments.pending),
        "start": lambda _: start(),
        "size": lambda _: size(),
        "soak": lambda sender: soak(sender, arguments.seconds),
    }
    with Sender() as sender:
        for name in arguments.sections or ("pending", "start"):
            print(f"\n{name}", flush=True)
            run[name](sender)
    return 0


if __name__ == "__main__":
    sys.exit(main())
