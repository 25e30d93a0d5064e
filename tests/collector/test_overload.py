"""More than the store can write: memory stays within its limits, and nothing is lost for it."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from collector_process import DEADLINE_SECONDS, counts
from prometheus_client.parser import text_string_to_metric_families

from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.store.writer import Writer
from inferspan_collector.telemetry import HELD, HELD_LIMIT, REFUSED_REQUESTS
from inferspan_collector.testing import prediction_span, traces_request

QUEUE_BYTES = 1024 * 1024
ROWS = 100
REQUEST_BYTES = ROWS * 512
"""What one weighs in the queue."""
REQUESTS = 10 * QUEUE_BYTES // REQUEST_BYTES
FREE = "127.0.0.1:0"


def settings(data: Path) -> Any:
    limits = {"queue_bytes": QUEUE_BYTES, "request_bytes": QUEUE_BYTES, "group_bytes": 65_536}
    listeners = {"otlp_http": FREE, "otlp_grpc": "off", "api": FREE}
    return load(None, {"receivers": listeners, "store": {"data": str(data)}, "limits": limits})


class StoppedWriter:
    """A store that writes nothing until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        commit = Writer.commit

        def waiting(writer: Writer, *arguments: Any, **options: Any) -> Any:
            assert self.go_on.wait(DEADLINE_SECONDS)
            return commit(writer, *arguments, **options)

        monkeypatch.setattr(Writer, "commit", waiting)


class Senders:
    """As many senders as there are requests, all at once; each comes again until it is taken."""

    def __init__(self, collector: Collector, writer: StoppedWriter) -> None:
        self._collector = collector
        self._writer = writer
        self._turned_away = 0
        self.codes: Counter[int] = Counter()
        self.most: Counter[str] = Counter()

    async def run(self) -> None:
        limits = httpx.Limits(max_connections=REQUESTS)
        async with (
            httpx.AsyncClient(
                base_url=str(self._collector.addresses.otlp_http),
                limits=limits,
                timeout=DEADLINE_SECONDS,
                headers={"content-type": "application/x-protobuf"},
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(REQUESTS):
                group.create_task(self._send(client, number))

    async def _send(self, client: httpx.AsyncClient, number: int) -> None:
        spans = [prediction_span(f"{number}-{row}") for row in range(ROWS)]
        body = traces_request(spans).SerializeToString()
        first = True
        while True:
            answer = await client.post("/v1/traces", content=body)
            self._look()
            self.codes[answer.status_code] += 1
            if answer.status_code == 200:
                return
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            if first:
                first = False
                self._turned_away += 1
                # The queue is as full as it gets: all others were sent away.
                if self._turned_away >= REQUESTS - QUEUE_BYTES // REQUEST_BYTES - 2:
                    self._writer.go_on.set()
            await asyncio.to_thread(self._writer.go_on.wait, DEADLINE_SECONDS)

    def _look(self) -> None:
        for (part,), held in self._collector.telemetry.gauges()[HELD].items():
            self.most[part] = max(self.most[part], int(held))


def test_ten_times_the_queue_grows_no_memory_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StoppedWriter(monkeypatch)
    with running_collector(settings(tmp_path / "data")) as collector:
        senders = Senders(collector, writer)
        asyncio.run(senders.run())
        telemetry = collector.telemetry
        assert counts(str(collector.addresses.api)) == (REQUESTS * ROWS, 0)
        limits = telemetry.gauges()[HELD_LIMIT]
        held = telemetry.gauges()[HELD]
        metrics = httpx.get(f"{collector.addresses.api}/metrics").text
    assert senders.codes[200] == REQUESTS
    assert senders.codes[503] >= REQUESTS - QUEUE_BYTES // REQUEST_BYTES - 2
    assert telemetry.get(REFUSED_REQUESTS, transport="otlp_http") == senders.codes[503]
    assert all(senders.most[part] <= limit for (part,), limit in limits.items())
    # It was in fact full, and is empty again.
    assert senders.most["queue"] > QUEUE_BYTES - REQUEST_BYTES
    # The ids that are remembered stay; what held requests is empty again.
    assert held[("queue",)] == held[("requests_under_way",)] == 0
    parts = {"queue", "requests_under_way", "recent_ids", "links", "journal"}
    assert set(held) == {(part,) for part in parts}
    shown = {
        (sample.name, sample.labels.get("reason", sample.labels.get("part")))
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    assert ("inferspan_refused_requests_total", "queue_full") in shown
    assert ("inferspan_held_bytes", "queue") in shown
    assert ("process_resident_memory_bytes", None) in shown
