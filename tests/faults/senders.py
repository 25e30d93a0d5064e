"""Senders that keep what is not acknowledged and send it again, as exporters do."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import grpc
from ledger import Ledger
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from traffic import Request

ANSWER_SECONDS = 10.0
"""How long a sender waits for one answer before it sends again."""
PATIENT_SECONDS = 180.0
"""How long one waits where each request is to be answered at the first try."""
DELIVERY_SECONDS = 240.0
"""How long a sender tries in all: the test fails where one request takes longer."""
PAUSE_SECONDS = 0.05
RETRYABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
"""What OTLP has senders try again, of what a collector that stops or dies may say."""


class Unanswered(Exception):
    """No acknowledgement: the sender still has to deliver it."""


class Transport(Protocol):
    """One way to the collector."""

    def send(self, request: Request) -> None:
        """Return once it is acknowledged.

        Raises:
            Unanswered: it is not, or nobody knows.
            AssertionError: it was refused for good, which no fault excuses.
        """

    def close(self) -> None:
        """Let go of connections."""


class OverHttp:
    """OTLP/HTTP and lines of labels, over connections that are kept.

    Args:
        otlp_http: `http://HOST:PORT`.
        api: the same of the API.
        seconds: how long it waits for an answer; twice as long after each that did not come in
            time, until one does: a busy machine must not be taken for a network that loses them.
    """

    def __init__(self, otlp_http: str, api: str, seconds: float = ANSWER_SECONDS) -> None:
        self._seconds = self._waiting = seconds
        self._addresses = {
            "/v1/traces": otlp_http,
            "/v1/logs": otlp_http,
            "/v1/labels": api,
        }
        self._connections: dict[str, http.client.HTTPConnection] = {}

    def send(self, request: Request) -> None:
        address = self._addresses[request.path].removeprefix("http://")
        if address not in self._connections:
            self._connections[address] = http.client.HTTPConnection(address)
        connection = self._connections[address]
        connection.timeout = self._waiting
        try:
            connection.request("POST", request.path, request.body, request.headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, TimeoutError):
                self._waiting = min(2 * self._waiting, PATIENT_SECONDS)
            raise Unanswered(str(error)) from error
        self._waiting = self._seconds
        if answer.status in (429, 502, 503, 504):
            raise Unanswered(f"{answer.status}: {content[:200]!r}")
        assert answer.status == 200, f"{answer.status}: {content[:500]!r}"
        _check_taken(request, content)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


def _check_taken(request: Request, content: bytes) -> None:
    if request.path == "/v1/traces":
        rejected = ExportTraceServiceResponse.FromString(content).partial_success.rejected_spans
    elif request.path == "/v1/logs":
        logs = ExportLogsServiceResponse.FromString(content).partial_success
        rejected = logs.rejected_log_records
    else:
        rejected = content.count(b'"invalid"')
    assert not rejected, f"{rejected} records of {request.path} were rejected: {content[:500]!r}"


class OverGrpc:
    """OTLP/gRPC; lines of labels go over HTTP."""

    def __init__(self, otlp_grpc: str, api: str, seconds: float = ANSWER_SECONDS) -> None:
        self._seconds = seconds
        quickly = [
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 300),
        ]
        self._channel = grpc.insecure_channel(otlp_grpc, quickly)
        self._traces = TraceServiceStub(self._channel)
        self._logs = LogsServiceStub(self._channel)
        self._lines = OverHttp("", api, seconds)

    def send(self, request: Request) -> None:
        if request.path == "/v1/labels":
            self._lines.send(request)
            return
        try:
            if request.path == "/v1/traces":
                traces = ExportTraceServiceRequest.FromString(request.content)
                answer = self._traces.Export(traces, timeout=self._seconds)
            else:
                logs = ExportLogsServiceRequest.FromString(request.content)
                answer = self._logs.Export(logs, timeout=self._seconds)
        except grpc.RpcError as error:
            if error.code() in RETRYABLE:
                raise Unanswered(error.details()) from error
            raise AssertionError(f"{error.code()}: {error.details()}") from error
        _check_taken(request, answer.SerializeToString())

    def close(self) -> None:
        self._channel.close()
        self._lines.close()


class Sender(threading.Thread):
    """Sends its requests one after the other, each until it is acknowledged.

    Args:
        transport: its way to the collector, which it closes.
        requests: what to send.
        ledger: where acknowledgements are noted.
        again: chance by which a request is sent once more though it was acknowledged.
        rng: decides about that.
    """

    def __init__(
        self,
        transport: Transport,
        requests: Iterable[Request],
        ledger: Ledger,
        again: float = 0.0,
        rng: random.Random | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self.failure: BaseException | None = None
        self.unanswered = 0
        """Attempts without an answer."""
        self._transport = transport
        self._requests = requests
        self._ledger = ledger
        self._again = again
        self._rng = rng or random.Random(0)

    def run(self) -> None:
        try:
            with contextlib.closing(self._transport):
                for request in self._requests:
                    self._deliver(request)
                    if self._rng.random() < self._again:
                        self._deliver(request)
        except BaseException as error:
            self.failure = error

    def _deliver(self, request: Request) -> None:
        clock = threading.Event()
        deadline = time.monotonic() + DELIVERY_SECONDS
        while True:
            try:
                self._transport.send(request)
                break
            except Unanswered as error:
                self.unanswered += 1
                if time.monotonic() > deadline:
                    raise AssertionError(f"not delivered: {error}") from error
                clock.wait(PAUSE_SECONDS)
        self._ledger.acknowledge(request.records)


def run_all(senders: Sequence[Sender], meanwhile: Callable[[], None] | None = None) -> None:
    """Start senders, do something while they send, and wait until all is delivered."""
    for sender in senders:
        sender.start()
    if meanwhile is not None:
        meanwhile()
    finish(senders)


def finish(senders: Sequence[Sender]) -> None:
    """Wait until senders have delivered everything; what made one fail, fails here."""
    for sender in senders:
        sender.join()
    for sender in senders:
        if sender.failure is not None:
            raise sender.failure
