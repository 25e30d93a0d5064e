"""What tracing adds to a prediction that is served: a real gunicorn of 4 workers for each variant.

All servers run side by side, and one at a time is asked: 8 clients send a burst to each variant in
turn, in an order that is drawn anew for each round. A burst is compared with those of its own
round, half a second apart, so that what else the machine does falls on all variants alike. Printed
are medians over the rounds, and in brackets the interval that holds the true median with 95 %.

  call     what the worker took for the prediction, which it tells in a header
  request  what the client waited for
  memory   anonymous memory of master and workers after the load (PSS: what several share counts
           once); files that are mapped, such as libraries, are the same for all variants

Variants: undecorated; a span by hand; predict, every call recorded; predict at ratio 0.01 with
slim records. Spans are encoded to OTLP on the exporter's thread and thrown away.
"""

from __future__ import annotations

import argparse
import http.client
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from served import BY_HAND, CALL_HEADER, UNDECORATED, VARIANTS

HERE: Final = Path(__file__).parent
WORKERS: Final = 4
CLIENTS: Final = 8
REQUESTS: Final = 60
"""Of each client in a burst."""
WARM_UP: Final = 5
"""Requests of each connection before it counts."""
ROUNDS: Final = 80
ROUNDS_MIN: Final = 10
"""With fewer, the interval of a median is the range."""
WAIT_SECONDS: Final = 30.0


@dataclass
class Served:
    """A gunicorn under one variant, and what its bursts took: one entry for each round."""

    process: subprocess.Popen[bytes]
    port: int
    call: dict[str, list[float]] = field(default_factory=lambda: {"p50": [], "p99": []})
    """Quantile → µs of each round, of the prediction alone."""
    request: dict[str, list[float]] = field(default_factory=lambda: {"p50": [], "p99": []})

    def memory(self) -> float:
        """Anonymous memory of its processes, MiB."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        kib = 0
        for one in (pid, *children):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss_Anon:"):
                    kib += int(line.split()[1])
        return kib / 1024


@contextmanager
def serving(variant: str) -> Iterator[Served]:
    """Start a gunicorn, wait for its first answer, and end it."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        descriptor = listening.fileno()
        command = [sys.executable, "-m", "gunicorn", "served:application"]
        command += ["--bind", f"fd://{descriptor}", "--workers", str(WORKERS)]
        command += ["--worker-class", "gthread", "--threads", "8", "--keep-alive", "10"]
        command += ["--log-level", "error"]
        environment = {**os.environ, "BENCH_VARIANT": variant}
        with subprocess.Popen(command, cwd=HERE, env=environment, pass_fds=[descriptor]) as process:
            served = Served(process, int(listening.getsockname()[1]))
            try:
                ask(served.port, 1)
                yield served
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(WAIT_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()


def ask(port: int, requests: int) -> list[tuple[int, int]]:
    """Send requests over one connection; what each took in the worker, and for the client, ns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    taken = []
    for _ in range(requests):
        begun = time.perf_counter_ns()
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        taken.append((int(answer.headers[CALL_HEADER]), time.perf_counter_ns() - begun))
    connection.close()
    return taken


def burst(served: Served) -> None:
    """Ask from several clients at once, and note the quantiles."""
    taken: list[tuple[int, int]] = []

    def client() -> None:
        taken.extend(ask(served.port, WARM_UP + REQUESTS)[WARM_UP:])

    clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    if len(taken) != CLIENTS * REQUESTS:
        raise SystemExit(f"only {len(taken)} of {CLIENTS * REQUESTS} requests were answered")
    for found, ordered in (
        (served.call, sorted(call for call, _ in taken)),
        (served.request, sorted(request for _, request in taken)),
    ):
        found["p50"].append(ordered[len(ordered) // 2] / 1e3)
        found["p99"].append(ordered[len(ordered) * 99 // 100] / 1e3)


def median_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and two order statistics between which the true one is with 95 %."""
    ordered, half = sorted(values), 0.98 * math.sqrt(len(values))
    low = max(0, math.floor(len(values) / 2 - half))
    high = min(len(values) - 1, math.ceil(len(values) / 2 + half))
    return statistics.median(ordered), ordered[low], ordered[high]


def show(title: str, of: Callable[[str], dict[str, list[float]]]) -> None:
    """Print what each variant takes, adds, and how that stands to a span by hand."""
    print(f"\n{title}")
    print(
        f"  {'':<16}{'p50':>9}{'p99':>10}{'added p50':>12}  {'added p99 (95 %)':<26}"
        f"{'p99 × by hand (95 %)'}"
    )
    bare, hand = of(UNDECORATED), of(BY_HAND)
    for variant in VARIANTS:
        mine = of(variant)
        added = {
            name: median_and_interval(
                [one - base for one, base in zip(mine[name], bare[name], strict=True)]
            )
            for name in ("p50", "p99")
        }
        ratio = median_and_interval(
            [one / base for one, base in zip(mine["p99"], hand["p99"], strict=True)]
        )
        middle, low, high = added["p99"]
        beside = f"{middle:,.0f} µs ({low:,.0f} – {high:,.0f})"
        print(
            f"  {variant:<16}{statistics.median(mine['p50']):>6,.0f} µs"
            f"{statistics.median(mine['p99']):>7,.0f} µs{added['p50'][0]:>9,.0f} µs  "
            f"{beside:<26}{ratio[0]:.2f} ({ratio[1]:.2f} – {ratio[2]:.2f})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"at least {ROUNDS_MIN} (default: {ROUNDS})"
    )
    told = parser.parse_args()
    if told.rounds < ROUNDS_MIN:
        parser.error(f"--rounds {told.rounds}: must be at least {ROUNDS_MIN}")
    with ExitStack() as running:
        servers = {variant: running.enter_context(serving(variant)) for variant in VARIANTS}
        order, chance = list(VARIANTS), random.Random(0)
        for served in servers.values():
            burst(served)  # the first calls of each worker do what is done once
            served.call = {"p50": [], "p99": []}
            served.request = {"p50": [], "p99": []}
        for _ in range(told.rounds):
            chance.shuffle(order)
            for variant in order:
                burst(servers[variant])
        print(
            f"{WORKERS} workers, {CLIENTS} clients × {REQUESTS} requests a burst, "
            f"{told.rounds} rounds"
        )
        show("call: the prediction within the worker", lambda variant: servers[variant].call)
        show("request: what a client waits for", lambda variant: servers[variant].request)
        print("\nmemory, MiB")
        bare = servers[UNDECORATED].memory()
        for variant, served in servers.items():
            held = served.memory()
            print(f"  {variant:<16}{held:>8,.0f}{held - bare:>+8.1f}")


if __name__ == "__main__":
    main()
