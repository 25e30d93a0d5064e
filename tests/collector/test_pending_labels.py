"""Labels that find no prediction are kept up to a limit, and predictions are never held up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from collector_process import counts
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp_sending import Refused, Transport, send

from inferspan import semconv
from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.telemetry import REFUSED, REFUSED_REQUESTS
from inferspan_collector.testing import label_span, prediction_span, traces_request

FREE = "127.0.0.1:0"
LIMIT = 3


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    listeners = {"otlp_http": FREE, "otlp_grpc": FREE, "api": FREE}
    sections = {"store": {"data": str(tmp_path / "data")}, "limits": {"pending_labels": LIMIT}}
    with running_collector(load(None, {"receivers": dict(listeners)} | sections)) as running:
        yield running


def labels(*ids: str) -> bytes:
    spans = [label_span(one, {semconv.LABEL_CLASS: "fraud"}) for one in ids]
    return traces_request(spans, scope=semconv.SCOPE_LABELS).SerializeToString()


def predictions(*ids: str) -> bytes:
    outputs = {semconv.TASK_TYPE: semconv.BINARY, semconv.OUTPUT_CLASS: "fraud"}
    return traces_request([prediction_span(one, outputs) for one in ids]).SerializeToString()


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_over_the_limit_labels_come_again_until_predictions_release_others(
    collector: Collector, transport: Transport
) -> None:
    send(collector, transport, labels(*(f"order-{i}" for i in range(LIMIT))))
    with pytest.raises(Refused) as refused:
        send(collector, transport, labels("one-more"))
    assert refused.value.code in ("503", "UNAVAILABLE")
    assert "limits.pending_labels" in refused.value.status.message
    assert collector.telemetry.get(REFUSED_REQUESTS, reason="pending_labels") == 1

    send(collector, transport, predictions("order-0"))
    send(collector, transport, labels("one-more"))
    assert counts(str(collector.addresses.api)) == (1, 1)


def test_predictions_pass_and_labels_beside_them_are_named(collector: Collector) -> None:
    send(collector, "http", labels(*(f"order-{i}" for i in range(LIMIT))))
    both = predictions("order-0", "order-9") + labels("order-9", "order-8")
    said = ExportTraceServiceResponse.FromString(send(collector, "http", both)).partial_success
    assert said.rejected_spans == 2
    assert said.error_message.startswith("pending_labels: ")
    assert counts(str(collector.addresses.api)) == (2, 1)
    assert collector.telemetry.get(REFUSED, signal="labels", reason="pending_labels") == 2


def test_lines_are_told_when_to_come_again(collector: Collector) -> None:
    send(collector, "http", labels(*(f"order-{i}" for i in range(LIMIT))))
    line = b'{"prediction_id": "x", "model": "fraud", "class": "fraud"}\n'
    url = f"{collector.addresses.api}/v1/labels"
    answer = httpx.post(url, content=line, headers={"content-type": "application/x-ndjson"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert "dry-run" in answer.json()["detail"]
    dry = httpx.post(
        f"{url}?dry_run=true", content=line, headers={"content-type": "application/x-ndjson"}
    )
    assert dry.status_code == 200
