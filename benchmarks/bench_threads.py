"""What tracing adds to the slow calls, and to memory, where many run at once.

  threads   one process, 32 threads that each predict every 5 ms
  gunicorn  a real gunicorn on a loopback port, 4 workers × 8 threads, 8 clients that keep their
            connections; latency as the clients see it, memory of master and workers (PSS, which
            splits what they share)

Variants: undecorated; a span by hand; predict, every call recorded; predict at ratio 0.01 with
slim records. Every run is a process of its own; the variants alternate in random order, and
differences and ratios are taken within a sweep over all of them. Spans are encoded to OTLP on the
exporter's thread and thrown away. Added latency = quantile − quantile undecorated, same sweep.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from served import BY_HAND, NUMBERS, UNDECORATED, VARIANTS, traced

HERE: Final = Path(__file__).parent
THREADS: Final = 32
PAUSE_SECONDS: Final = 0.005
LOAD_SECONDS: Final = 1.5
WORKERS: Final = 4
CLIENTS: Final = 8
REQUESTS: Final = 250
"""Of each client."""
WARM_UP: Final = 20
"""Calls of each thread, requests of each client, before it counts."""
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


def under_gunicorn(variant: str) -> Figures:
    """Start a gunicorn, load it, stop it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "served:application", "--bind"]
    command += [f"127.0.0.1:{port}", "--workers", str(WORKERS), "--worker-class", "gthread"]
    command += ["--threads", "8", "--keep-alive", "10", "--log-level", "error"]
    environment = {**os.environ, "BENCH_VARIANT": variant}
    with subprocess.Popen(command, cwd=HERE, env=environment) as server:
        try:
            await_answer(port, server)
            figures = quantiles(load(port))
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            return {**figures, "memory": pss([server.pid, *map(int, children)])}
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def await_answer(port: int, server: subprocess.Popen[bytes]) -> None:
    """Wait until the server answers."""
    until = time.perf_counter() + START_SECONDS
    while server.poll() is None and time.perf_counter() < until:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        except ConnectionError:
            time.sleep(0.05)
    raise SystemExit("gunicorn does not answer; is it installed? pip install gunicorn")


def load(port: int) -> list[int]:
    """Send requests on connections that stay open; what each took, ns."""
    taken: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        mine: list[int] = []
        for _ in range(WARM_UP + REQUESTS):
            begun = time.perf_counter_ns()
            connection.request("GET", "/")
            connection.getresponse().read()
            mine.append(time.perf_counter_ns() - begun)
        connection.close()
        taken.extend(mine[WARM_UP:])

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if len(taken) != CLIENTS * REQUESTS:
        raise SystemExit(f"only {len(taken)} of {CLIENTS * REQUESTS} requests were answered")
    return taken


def compare(title: str, run: Callable[[str], Figures], sweeps: int) -> None:
    """Alternate the variants, and print what each adds."""
    found: dict[str, list[Figures]] = {variant: [] for variant in VARIANTS}
    order, chance = list(VARIANTS), random.Random(0)
    for _ in range(sweeps):
        chance.shuffle(order)
        for variant in order:
            found[variant].append(run(variant))
    print(f"\n{title}; medians of {sweeps} alternating runs")
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
    parser.add_argument(
        "section", nargs="*", choices=[[], "threads", "gunicorn"], help="none named = both"
    )
    parser.add_argument("--rounds", type=int, default=5, help="sweeps, at least 5 (default: 5)")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.worker:
        print(json.dumps(work(told.worker)))
        return
    if told.rounds < 5:
        parser.error(f"--rounds {told.rounds}: must be at least 5, or a median says little")
    sections = told.section or ["threads", "gunicorn"]
    if "threads" in sections:
        compare(f"threads: {THREADS} in one process", under_threads, told.rounds)
    if "gunicorn" in sections:
        compare(f"gunicorn: {WORKERS} workers, {CLIENTS} clients", under_gunicorn, told.rounds)


if __name__ == "__main__":
    main()
