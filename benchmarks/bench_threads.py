"""What tracing adds to the slow calls, and to memory, where many run at once: 32 threads of one
process that each predict every 5 ms. Four processes of a server: `bench_workers.py`.

Variants: undecorated; a span by hand; predict, every call recorded; predict at ratio 0.01 with
slim records. Every run is a process of its own; the variants alternate in random order, and
differences and ratios are taken within a sweep over all of them. Spans are encoded to OTLP on the
exporter's thread and thrown away. Added latency = quantile − quantile undecorated, same sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from served import BY_HAND, NUMBERS, UNDECORATED, VARIANTS, traced

THREADS: Final = 32
PAUSE_SECONDS: Final = 0.005
LOAD_SECONDS: Final = 1.5
WARM_UP: Final = 20
"""Calls of each thread before it counts."""
START_SECONDS: Final = 30.0
Figures = dict[str, float]
"""p50, p99 in µs, and memory in MiB."""


def quantiles(taken: Iterable[int]) -> Figures:
    """p50 and p99 of latencies in ns, as µs."""
    ordered = sorted(taken)
    return {
        "p50": ordered[len(ordered) // 2] / 1e3,
        "p99": ordered[len(ordered) * 99 // 100] / 1e3,
    }


def pss(pids: Iterable[int]) -> float:
    """MiB of processes; what several share is counted once."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def under_threads(variant: str) -> Figures:
    """In a fresh process: predict on many threads."""
    done = subprocess.run(
        [sys.executable, __file__, "--worker", variant],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=START_SECONDS + 10 * LOAD_SECONDS,
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def work(variant: str) -> Figures:
    """Predict on many threads of this process."""
    score, taken, barrier = traced(variant), [], threading.Barrier(THREADS)

    def loop() -> None:
        mine: list[int] = []
        barrier.wait()
        until = time.perf_counter() + LOAD_SECONDS
        while time.perf_counter() < until:
            time.sleep(PAUSE_SECONDS)
            begun = time.perf_counter_ns()
            score(NUMBERS)
            mine.append(time.perf_counter_ns() - begun)
        taken.extend(mine[WARM_UP:])

    threads = [threading.Thread(target=loop) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {**quantiles(taken), "memory": pss([os.getpid()])}


def compare(sweeps: int) -> None:
    """Alternate the variants, and print what each adds."""
    found: dict[str, list[Figures]] = {variant: [] for variant in VARIANTS}
    order, chance = list(VARIANTS), random.Random(0)
    for _ in range(sweeps):
        chance.shuffle(order)
        for variant in order:
            found[variant].append(under_threads(variant))
    print(f"{THREADS} threads in one process; medians of {sweeps} alternating runs")
    print(
        f"  {'':<18}{'p50':>10}{'p99':>11}{'added p50':>12}{'added p99':>12}  "
        f"{'(p25 – p75)':<18}{'× by hand':>10}{'memory':>11}{'added':>9}"
    )
    for variant, figures in found.items():
        bare = found[UNDECORATED]
        added = {
            name: [mine[name] - base[name] for mine, base in zip(figures, bare, strict=True)]
            for name in ("p50", "p99", "memory")
        }
        low, middle, high = statistics.quantiles(added["p99"], n=4, method="inclusive")
        ratio = statistics.median(
            mine["p99"] / hand["p99"] for mine, hand in zip(figures, found[BY_HAND], strict=True)
        )
        p50, p99, memory = (
            statistics.median(f[name] for f in figures) for name in ("p50", "p99", "memory")
        )
        print(
            f"  {variant:<18}{p50:>7,.0f} µs{p99:>8,.0f} µs"
            f"{statistics.median(added['p50']):>9,.0f} µs{middle:>9,.0f} µs  "
            f"{f'({low:,.0f} – {high:,.0f})':<18}{ratio:>8.2f} ×"
            f"{memory:>7,.0f} MiB{statistics.median(added['memory']):>+9.1f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="sweeps, at least 5 (default: 5)")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.worker:
        print(json.dumps(work(told.worker)))
        return
    if told.rounds < 5:
        parser.error(f"--rounds {told.rounds}: must be at least 5, or a median says little")
    compare(told.rounds)


if __name__ == "__main__":
    main()
