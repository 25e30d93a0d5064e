"""Senders that stall, trickle or leave in the middle: their neighbours are served as ever."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from ledger import Ledger
from metrics import metric, resident_bytes
from mortal import Mortal, mortal
from rounds import SEED
from senders import PATIENT_SECONDS, OverGrpc, OverHttp, Sender, run_all
from traffic import MODEL, Request, requests
from truth import check

from waiting import wait_until

STALLED = 60
"""Of each kind, on each of the two HTTP listeners."""
ANNOUNCED_BYTES = 60 * 1024 * 1024
"""What each says that it will send: together many times what all may hold."""
MEMORY_BYTES_MAX = 400_000_000
"""What the whole test may add to the process, most of it for the first transactions."""
PREDICTIONS = 100
SECONDS = 60.0
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def test_neighbours_of_stalled_senders_are_served(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    ledger = Ledger()
    with mortal(tmp_path / "data") as collector, contextlib.ExitStack() as stack:
        before = resident_bytes(collector.pid)
        for address in (collector.otlp_http, collector.api):
            path = "/v1/labels" if address == collector.api else "/v1/traces"
            for _ in range(STALLED):
                stack.enter_context(_opened(address, b"POST " + path.encode()[:4]))
                stack.enter_context(_opened(address, _head(path, ANNOUNCED_BYTES) + b"0123"))
        trickling = stack.enter_context(_trickling(collector))
        neighbours = [
            Sender(way, requests(rng, "served", f"s{n}", PREDICTIONS, time.time_ns()), ledger)
            for n, way in enumerate(
                (
                    OverHttp(collector.otlp_http, collector.api, PATIENT_SECONDS),
                    OverGrpc(collector.otlp_grpc, collector.api, PATIENT_SECONDS),
                )
            )
        ]

        run_all(neighbours)

        assert [sender.unanswered for sender in neighbours] == [0, 0]
        check(collector.api, MODEL, ledger.rows("served"), "served")
        assert trickling.is_alive()
        assert resident_bytes(collector.pid, most=True) < before + MEMORY_BYTES_MAX


def test_who_leaves_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    whole = requests(rng, "left", "s", 10, time.time_ns())[0]
    with mortal(tmp_path / "data") as collector:
        address = collector.otlp_http if whole.path != "/v1/labels" else collector.api
        for end in (len(whole.body) // 2, len(whole.body) - 1):
            with _opened(address, _sent(whole)[: end - len(whole.body)]):
                pass
        wait_until(
            lambda: metric(collector.api, "inferspan_requests_total", code="499") == 2,
            SECONDS,
            "two requests whose senders left",
        )
        check(collector.api, MODEL, {}, "left")

        # Whoever has said everything may close that half of the connection, and is answered.
        with _opened(address, _sent(whole)) as connection:
            connection.shutdown(socket.SHUT_WR)
            answer = connection.makefile("rb").readline()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        ledger = Ledger()
        ledger.acknowledge(whole.records)
        check(collector.api, MODEL, ledger.rows("left"), "left")


def _head(path: str, length: int, headers: Mapping[str, str] = PROTOBUF) -> bytes:
    lines = [f"{name}: {value}" for name, value in headers.items()]
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *lines]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _sent(request: Request) -> bytes:
    return _head(request.path, len(request.body), request.headers) + request.body


@contextlib.contextmanager
def _opened(address: str, sent: bytes) -> Iterator[socket.socket]:
    """A connection on which so much was sent."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall(sent)
        yield connection


@contextlib.contextmanager
def _trickling(collector: Mortal) -> Iterator[threading.Thread]:
    """A sender of a byte now and then."""
    left = threading.Event()

    def trickle() -> None:
        with _opened(collector.otlp_http, _head("/v1/traces", ANNOUNCED_BYTES)) as connection:
            while not left.wait(0.05):
                connection.sendall(b"0")

    thread = threading.Thread(target=trickle, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        left.set()
        thread.join()
