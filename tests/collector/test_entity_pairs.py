"""One label can be about many predictions: what a request may make of that is limited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from collector_process import counts
from otlp_sending import send

from inferspan import semconv
from inferspan_collector.config import load
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.testing import prediction_span, traces_request

FREE = "127.0.0.1:0"
LIMIT = 6
PREDICTIONS = 3


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    sections = {
        "receivers": {"otlp_http": FREE, "otlp_grpc": "off", "api": FREE},
        "store": {"data": str(tmp_path / "data")},
        "limits": {"entity_pairs": LIMIT},
        "models": {"fraud": {"targets": {"default": {"horizon": "400d"}}}},
    }
    with running_collector(load(None, sections)) as running:
        yield running


def predictions(*ids: str) -> bytes:
    said = {
        semconv.TASK_TYPE: semconv.BINARY,
        semconv.OUTPUT_CLASS: "fraud",
        semconv.ENTITY_ID: "customer-1",
    }
    return traces_request([prediction_span(one, said) for one in ids]).SerializeToString()


def label(collector: Collector, n: int, dry_run: bool = False) -> httpx.Response:
    line = '{{"id": "label-{}", "entity_id": "customer-1", "model": "fraud", "class": "fraud"}}\n'
    return httpx.post(
        f"{collector.addresses.api}/v1/labels",
        params={"dry_run": "true"} if dry_run else {},
        content="".join(line.format(i) for i in range(n)),
        headers={"Content-Type": "application/x-ndjson"},
    )


def test_a_request_that_means_too_many_is_refused_and_smaller_ones_are_not(
    collector: Collector,
) -> None:
    send(collector, "http", predictions(*(f"order-{i}" for i in range(PREDICTIONS))))
    for dry_run in (True, False):
        refused = label(collector, LIMIT // PREDICTIONS + 1, dry_run)
        assert refused.status_code == 400
        assert f"more than {LIMIT} predictions" in refused.json()["detail"]
        assert "limits.entity_pairs" in refused.json()["detail"]
    assert label(collector, LIMIT // PREDICTIONS, dry_run=True).status_code == 200
    assert counts(str(collector.addresses.api)) == (PREDICTIONS, 0)

    assert label(collector, LIMIT // PREDICTIONS).status_code == 200
    assert counts(str(collector.addresses.api)) == (PREDICTIONS, PREDICTIONS)
