"""An OTLP/HTTP receiver that runs, for the tests of its answers and of real exporters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
from receiving import Switch, serving

from inferspan_collector import telemetry as counters
from inferspan_collector.config import Limits
from inferspan_collector.receivers import otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import RecordingSink

PROTOBUF = "application/x-protobuf"
LIMIT = 1024 * 1024


class Receiver:
    """A receiver that runs, its sink, its counters and a client."""

    def __init__(self, url: str, sink: RecordingSink, telemetry: Telemetry, client: httpx.Client):
        self.url = url
        self.sink = sink
        self.telemetry = telemetry
        self.client = client

    def post(self, body: bytes, path: str = "/v1/traces", **headers: str) -> httpx.Response:
        sent = {"content-type": PROTOBUF} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self.client.post(path, content=body, headers=sent)

    def count(self, counter: counters.Counter, **labels: str) -> int:
        return self.telemetry.get(counter, **labels)


@contextlib.contextmanager
def switchable() -> Iterator[tuple[Switch, str]]:
    """A server for a module's tests: its application, to be set, and its URL."""
    switch = Switch()
    with serving(switch) as url:
        yield switch, url


@contextlib.contextmanager
def receiving_on(server: tuple[Switch, str]) -> Iterator[Receiver]:
    """A new receiver on a server that runs."""
    switch, url = server
    sink, telemetry = RecordingSink(), Telemetry()
    limits = Limits(request_bytes=LIMIT, queue_bytes=4 * LIMIT)
    switch.app = otlp_http.application(sink, telemetry, limits, Budget.of(limits))
    with httpx.Client(base_url=url, timeout=20) as client:
        yield Receiver(url, sink, telemetry, client)
