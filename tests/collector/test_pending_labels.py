"""Labels that find no prediction are kept up to a limit, and predictions are never held up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from collector_process import DEADLINE_SECONDS, counts
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp_sending import Refused, Transport, send

from inferspan import semconv
from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.telemetry import REFUSED, REFUSED_REQUESTS
from inferspan_collector.testing import (
    AttributeValue,
    label_span,
    prediction_span,
    span_ids,
    traces_request,
)
from waiting import wait_until

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
    assert said.rejected_spans == 1
    assert said.error_message.startswith("pending_labels: ")
    # That of a prediction which was here is not among those that wait.
    assert counts(str(collector.addresses.api)) == (2, 2)
    assert collector.telemetry.get(REFUSED, signal="labels", reason="pending_labels") == 1


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_labels_that_join_at_once_are_taken_over_the_limit(
    collector: Collector, transport: Transport
) -> None:
    send(collector, transport, predictions("known-1", "known-2"))
    send(collector, transport, labels(*(f"order-{i}" for i in range(LIMIT))))

    send(collector, transport, labels("known-1"))
    assert counts(str(collector.addresses.api)) == (2, 1)
    with pytest.raises(Refused):
        send(collector, transport, labels("known-2", "one-more"))
    # Told to come again, whole: whoever does loses nothing.
    assert counts(str(collector.addresses.api)) == (2, 1)


SPAN = span_ids("here")
VERSION = {semconv.MODEL_VERSION: "7"}
RANKED = {semconv.TASK_TYPE: "ranking"}


@pytest.mark.parametrize(
    ("prediction", "label", "taken"),
    [
        ({}, {}, True),
        (VERSION, VERSION, True),
        (VERSION, {semconv.MODEL_VERSION: "8"}, False),
        ({}, {semconv.MODEL_NAME: "another"}, False),
        ({}, {semconv.PREDICTION_INDEX: 1}, False),
        ({}, {semconv.PREDICTION_ID: "", semconv.MODEL_NAME: ""}, True),
        ({}, {semconv.PREDICTION_ITEM_ID: "a", semconv.LABEL_CLASS: "true"}, False),
        (RANKED, {semconv.PREDICTION_ITEM_ID: "a", semconv.LABEL_CLASS: "true"}, True),
    ],
)
def test_labels_about_predictions_of_their_own_request_are_taken_where_they_join(
    collector: Collector,
    prediction: dict[str, AttributeValue],
    label: dict[str, AttributeValue],
    taken: bool,
) -> None:
    send(collector, "http", labels(*(f"order-{i}" for i in range(LIMIT))))
    links = [SPAN] if label.get(semconv.PREDICTION_ID) == "" else []
    parts = (
        traces_request([prediction_span("here", prediction, ids=SPAN)]),
        traces_request(
            [label_span("here", {semconv.LABEL_CLASS: "fraud"} | label, links=links)],
            scope=semconv.SCOPE_LABELS,
        ),
    )
    both = b"".join(part.SerializeToString() for part in parts)
    said = ExportTraceServiceResponse.FromString(send(collector, "http", both)).partial_success
    assert said.rejected_spans == (0 if taken else 1)
    result = "joined" if taken else "invalid"
    # A scrape does not wait for the writer to count what it acknowledged.
    line = f'inferspan_labels_total{{result="{result}"}} 1.0'
    url = f"{collector.addresses.api}/metrics"
    wait_until(lambda: line in httpx.get(url).text.splitlines(), DEADLINE_SECONDS, line)


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
