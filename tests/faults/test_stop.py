"""SIGTERM in the middle of traffic: what it has stored it answers, the rest goes to the next."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from pathlib import Path

from ledger import Ledger
from mortal import Mortal, mortal
from rounds import ROUNDS, SEED
from senders import OverGrpc, OverHttp, Sender, Transport, run_all
from traffic import MODEL, requests
from truth import check

STOPS = max(2, ROUNDS // 10)
SENDERS = 4
PREDICTIONS = 100
AGAIN = 0.1
SECONDS = 60.0


def test_a_stop_amid_traffic_loses_and_repeats_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    with mortal(tmp_path / "data") as collector:
        for number in range(STOPS):
            stop_amid(collector, ledger, rng, f"stop-{number}", stalled=number == 0)
        assert collector.deaths == 0


def stop_amid(
    collector: Mortal, ledger: Ledger, rng: random.Random, version: str, stalled: bool
) -> None:
    """Stop a collector while several senders send to it; the next one gets the rest."""
    ways: list[Transport] = []
    for _ in range(SENDERS // 2):
        ways.append(OverHttp(collector.otlp_http, collector.api))
        ways.append(OverGrpc(collector.otlp_grpc, collector.api))
    senders = [
        Sender(way, requests(rng, version, f"s{n}", PREDICTIONS, time.time_ns()), ledger, AGAIN)
        for n, way in enumerate(ways)
    ]
    enough = _acknowledgements(ledger, rng.randint(1, 20))

    def stop() -> None:
        assert enough.wait(SECONDS)
        with contextlib.ExitStack() as stack:
            if stalled:
                # Whoever stalls must not keep it from stopping.
                stack.enter_context(contextlib.closing(_stalled(collector.otlp_http)))
            assert collector.replace() == 0, collector.log.read_text()[-4000:]

    run_all(senders, stop)
    assert sum(sender.unanswered for sender in senders) > 0, "nobody was under way"
    expected = ledger.rows(version)
    collector.steadily(lambda: check(collector.api, MODEL, expected, version))


def _acknowledgements(ledger: Ledger, number: int) -> threading.Event:
    """Set once so many more requests were acknowledged."""
    enough = threading.Event()
    left = [number]

    def acknowledged() -> None:
        left[0] -= 1
        if left[0] <= 0:
            enough.set()

    ledger.watcher = acknowledged
    return enough


def _stalled(address: str) -> socket.socket:
    """A sender that has sent half of a request, and sends no more."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    stalled = socket.create_connection((host, int(port)))
    stalled.sendall(
        b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-protobuf\r\n"
        b"Content-Length: 1000\r\n\r\n0123456789"
    )
    return stalled
