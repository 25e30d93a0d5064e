"""A sender in a process of its own: prebuilt requests over 16 keep-alive connections.

Its CPU is not the servers': it runs on a core of its own where the machine has two, and says how
much it used. Each connection is a thread around a blocking socket, which costs a few system calls
a request; a request is taken by whichever connection is free.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import Queue
from typing import Any, Final, Protocol, Self

import grpc
import numpy as np

from ingest.bodies import PER_REQUEST, Bodies, gzipped
from ingest.loads import Batch, Load

CONNECTIONS: Final = 16
AHEAD: Final = 6_000
"""Requests made before the clock starts, 2 GB of them; of a longer load, this many wait at most. To
make some while others are sent takes half a core, which the servers share some of."""
TRIES_MAX: Final = 200
RETRY_SECONDS: Final = 0.05
ANSWER_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a load.

    `due` and `answered` are monotonic seconds, one entry a request in order of their answers: an
    acknowledgement took `answered - due`, so a request that found no connection free has waited.
    """

    predictions: int
    labels: int
    seconds: float
    cpu_seconds: float
    tried_again: int
    due: np.ndarray[Any, np.dtype[np.float64]]
    answered: np.ndarray[Any, np.dtype[np.float64]]

    @property
    def spans(self) -> int:
        return self.predictions + self.labels


class Sender:
    """The process; a context manager."""

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()
        there.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._here.close()
        self._process.join(10)
        self._process.kill()

    def prepare(self, load: Load) -> None:
        """Make the requests, as many as are made ahead. A load is prepared anew for each send."""
        self._ask(("prepare", load))

    def send(self, address: str) -> Sent:
        """Send what was prepared.

        Args:
            address: `HOST:PORT`.

        Raises:
            RuntimeError: an answer was neither success nor "come again".
        """
        sent: Sent = self._ask(("send", address))
        return sent

    def _ask(self, question: object) -> Any:
        self._here.send(question)
        answer = self._here.recv()
        if isinstance(answer, Exception):
            raise RuntimeError(f"the sender: {answer}") from answer
        return answer


class _Connection(Protocol):
    refusal: str
    """What the last answer said that was "come again"."""

    def exchange(self, request: bytes) -> bool:
        """Send a request and wait for its answer; False = come again."""

    def close(self) -> None:
        """End it."""


class _Http:
    refusal = ""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> bool:
        self._socket.sendall(request)
        answer = bytearray()
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._received()
        head = bytes(answer[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
        while len(answer) < end + 4 + length:
            answer += self._received()
        if head.split(b" ", 2)[1] == b"503":
            self.refusal = repr(bytes(answer[:400]))
            return False
        # An answer with a body is a partial success: some of it was refused.
        if head.split(b" ", 2)[1] != b"200" or length > 4:
            raise ConnectionError(f"answered {bytes(answer[:400])!r}")
        return True

    def _received(self) -> bytes:
        content = self._socket.recv(65_536)
        if not content:
            raise ConnectionError("the server closed the connection")
        return content

    def close(self) -> None:
        self._socket.close()


class _Grpc:
    refusal = ""

    def __init__(self, address: str) -> None:
        # Without a pool of its own every channel of a process shares one connection.
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._export = self._channel.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            request_serializer=None,
            response_deserializer=None,
        )
        grpc.channel_ready_future(self._channel).result(ANSWER_SECONDS)

    def exchange(self, request: bytes) -> bool:
        try:
            answer = self._export(request, timeout=ANSWER_SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAVAILABLE:
                self.refusal = f"{error.details()}"
                return False
            raise ConnectionError(f"answered {error.code()}: {error.details()}") from error
        if len(answer) > 4:
            raise ConnectionError(f"answered {answer[:400]!r}")
        return True

    def close(self) -> None:
        self._channel.close()


@dataclass
class _Tally:
    predictions: int = 0
    labels: int = 0
    tried_again: int = 0
    due: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)


class _Prepared:
    """Requests, made by a thread of their own where there are more than are made ahead."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self._bodies = Bodies(load.times, load.features)
        self._ready: Queue[tuple[Batch, bytes] | None] = Queue(maxsize=AHEAD)
        self._full = threading.Event()
        threading.Thread(target=self._make, daemon=True).start()
        self._full.wait()

    def __iter__(self) -> Iterator[tuple[Batch, bytes]]:
        while (request := self._ready.get()) is not None:
            yield request

    def _make(self) -> None:
        for batch in self.load.batches:
            make = self._bodies.predictions if batch.kind == "predictions" else self._bodies.labels
            content = make(batch.numbers)
            if self.load.gzip:
                content = gzipped(content)
            if self.load.transport == "http":
                content = self._head(len(content)) + content
            if self._ready.full():
                self._full.set()
            self._ready.put((batch, content))
        self._full.set()
        self._ready.put(None)

    def _head(self, length: int) -> bytes:
        encoding = "Content-Encoding: gzip\r\n" if self.load.gzip else ""
        return (
            "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\n"
            f"Content-Type: application/x-protobuf\r\n{encoding}Content-Length: {length}\r\n\r\n"
        ).encode()


def _send(prepared: _Prepared, address: str) -> Sent:
    """Send everything over all connections."""
    kind = _Http if prepared.load.transport == "http" else _Grpc
    connections: list[_Connection] = [kind(address) for _ in range(CONNECTIONS)]
    taken = zip(itertools.count(), prepared, strict=False)
    taking = threading.Lock()
    pace = prepared.load.spans_per_second
    cpu, began = time.process_time(), time.perf_counter()

    def run(connection: _Connection) -> _Tally:
        tally = _Tally()
        while True:
            with taking:
                number, request = next(taken, (0, None))
                if request is None:
                    return tally
                due = time.perf_counter()
                if pace is not None:
                    due = began + number * PER_REQUEST / pace
                    time.sleep(max(0.0, due - time.perf_counter()))
            batch, content = request
            for _ in range(TRIES_MAX):
                if connection.exchange(content):
                    break
                tally.tried_again += 1
                time.sleep(RETRY_SECONDS)
            else:
                said = f"{address} refused {TRIES_MAX} times: {connection.refusal}"
                raise ConnectionError(said)
            tally.due.append(due)
            tally.answered.append(time.perf_counter())
            if batch.kind == "predictions":
                tally.predictions += len(batch.numbers)
            else:
                tally.labels += len(batch.numbers)

    try:
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            tallies = list(threads.map(run, connections))
    finally:
        for connection in connections:
            connection.close()
    return Sent(
        predictions=sum(tally.predictions for tally in tallies),
        labels=sum(tally.labels for tally in tallies),
        seconds=time.perf_counter() - began,
        cpu_seconds=time.process_time() - cpu,
        tried_again=sum(tally.tried_again for tally in tallies),
        due=np.concatenate([tally.due for tally in tallies]),
        answered=np.concatenate([tally.answered for tally in tallies]),
    )


def own_core() -> set[int]:
    """The core that senders have to themselves; none where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return set(cores[-1:]) if len(cores) > 1 else set()


def _serve(asked: Connection) -> None:
    if core := own_core():
        os.sched_setaffinity(0, core)
    prepared: _Prepared | None = None
    while True:
        try:
            what, argument = asked.recv()
        except EOFError:
            return
        try:
            if what == "prepare":
                prepared = _Prepared(argument)
                asked.send(None)
            else:
                assert prepared is not None
                asked.send(_send(prepared, argument))
        except Exception as error:
            asked.send(RuntimeError(f"{type(error).__name__}: {error}"))
