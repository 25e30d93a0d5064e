"""Memory and answers of a collector that is sent more than it can write, for a minute.

`inferspan serve` runs as a user runs it, with a queue of 2 MiB and a small index of ids. Senders
over 64 connections, 22 MB of requests, send predictions as fast as they are answered, and come
again at once where they are told to come later: many times what the store takes. Printed every few
seconds: resident memory, bytes held, what was answered and refused, by reason. At the end: how many
were answered, and whether the store has exactly those.

    python benchmarks/bench_overload.py [--seconds 60] [--connections 64]
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from ingest.bodies import PER_REQUEST, Bodies, Times
from ingest.loads import Unlabelled
from ingest.servers import Server, ours

CONFIG: Final = """
limits: {queue_bytes: 2097152, request_bytes: 1048576}
store: {hot_keys: 100000, cold_keys: 100000}
"""
HOUR_NS: Final = 3_600_000_000_000
LOOK_SECONDS: Final = 5.0
MEBIBYTE: Final = 1024 * 1024


class Senders:
    """Threads that send until told to stop."""

    def __init__(self, address: str, connections: int) -> None:
        self._address = address
        self._made = Bodies(Times(time.time_ns() - HOUR_NS, 2_500))
        self._batches = iter(Unlabelled(1, 10**9))
        self._next = threading.Lock()
        self._stopped = threading.Event()
        self.codes: Counter[int] = Counter()
        self._threads = [threading.Thread(target=self._send) for _ in range(connections)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each have its last request answered with success."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=120)
        headers = {"Content-Type": "application/x-protobuf"}
        while not self._stopped.is_set():
            with self._next:
                body = self._made.predictions(next(self._batches).numbers)
            for _ in itertools.count():
                connection.request("POST", "/v1/traces", body, headers)
                answer = connection.getresponse()
                answer.read()
                self.codes[answer.status] += 1
                if answer.status == 200:
                    break


def look(server: Server, senders: Senders, began: float) -> float:
    """Print a line; gives the resident memory, MiB."""
    resident = server.memory_bytes() / MEBIBYTE
    metrics = server.metrics("part", "reason")
    held = {
        key.rpartition(" ")[2]: f"{value / MEBIBYTE:.1f}"
        for key, value in metrics.items()
        if key.startswith("inferspan_held_bytes ")
    }
    refused = {
        key.rpartition(" ")[2]: int(value)
        for key, value in metrics.items()
        if key.startswith("inferspan_refused_requests_total ")
    }
    print(
        f"{time.perf_counter() - began:5.0f} s  resident {resident:6.0f} MiB  held {held} MiB  "
        f"200: {senders.codes[200]}  503: {senders.codes[503]}  refused {refused}",
        flush=True,
    )
    return resident


def main() -> None:
    """Overload a collector, look at it, and compare what it has with what it answered."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ours(Path(directory), CONFIG) as server:
        senders = Senders(server.http, arguments.connections)
        began, resident = time.perf_counter(), []
        try:
            while time.perf_counter() - began < arguments.seconds:
                time.sleep(LOOK_SECONDS)
                resident.append(look(server, senders, began))
        finally:
            senders.stop()
        half = resident[len(resident) // 2 :]
        answered = senders.codes[200] * PER_REQUEST
        print(f"resident in the second half: {min(half):.0f} – {max(half):.0f} MiB")
        print(f"answered {answered} predictions, stored {server.stored().predictions}")


if __name__ == "__main__":
    main()
