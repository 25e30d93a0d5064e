"""A real BentoML: the prediction is below its span, ids come and go, verdicts become labels."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from real_servers import free_ports, serving

from inferspan import semconv
from sdk.receiving import Receiver, attributes_of, receiver

HERE = Path(__file__).parent
TRACE = "a" * 32
COUNT = 9
"""Requests at once."""


@contextmanager
def bentoml(service: str, folder: Path, otlp: Receiver) -> Iterator[str]:
    """Address of a service; it has ended when the block is left."""
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    command = [
        *(Path(sys.executable).with_name("bentoml"), "serve", service),
        *("--host", "127.0.0.1", "--port", str(port)),
    ]
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.url,
        "BENTOML_DO_NOT_TRACK": "1",
        "BENTOML_HOME": str(folder / "home"),
    }
    with serving(command, f"{address}/readyz", folder / "log", cwd=HERE, environment=environment):
        yield address


def test_trace_and_id_come_through_bentoml_and_back(tmp_path: Path) -> None:
    with (
        receiver() as otlp,
        bentoml("served_by_bentoml:Fraud", tmp_path, otlp) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        headers = {"traceparent": f"00-{TRACE}-{'b' * 16}-01", "X-Prediction-Id": "order-17"}
        answer = client.post("/score", json={"amount": 930}, headers=headers)
        assert answer.json() == {"label": "fraud", "score": 0.93}
        assert answer.headers["X-Prediction-Id"] == "order-17"
        own_span = answer.headers["X-BentoML-Request-ID"]
        verdict = {"prediction_id": "order-17", "label": "legit"}
        assert client.post("/feedback/", json=verdict).status_code == 202
    ((_, span),) = otlp.spans(semconv.SCOPE_PREDICTIONS)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, own_span)
    assert attributes_of(span)[semconv.PREDICTION_ID] == "order-17"
    ((_, label),) = otlp.spans(semconv.SCOPE_LABELS)
    assert attributes_of(label)[semconv.PREDICTION_ID] == "order-17"


async def ask_together(address: str) -> None:
    """Ask from several callers at once, each with a trace and an id of its own."""
    async with httpx.AsyncClient(base_url=address, timeout=90) as client:

        async def ask(n: int) -> None:
            headers = {
                "traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01",
                "X-Prediction-Id": f"order-{n}",
            }
            answer = await client.post("/score", json={"amount": 100 * n}, headers=headers)
            assert answer.json()["score"] == 100 * n / 1000
            assert answer.headers["X-Prediction-Id"] == f"order-{n}"

        await asyncio.gather(*map(ask, range(COUNT)))


def test_batches_in_another_process_are_linked_to_all_their_requests(tmp_path: Path) -> None:
    with (
        receiver() as otlp,
        bentoml("served_in_batches_by_bentoml:Fraud", tmp_path, otlp) as address,
    ):
        asyncio.run(ask_together(address))
    spans = [span for _, span in otlp.spans(semconv.SCOPE_PREDICTIONS)]
    calls = {
        attributes_of(span)[semconv.PREDICTION_ID]: span
        for span in spans
        if span.name == "predict fraud"
    }
    assert sorted(calls) == [f"order-{n}" for n in range(COUNT)]
    assert [int(calls[f"order-{n}"].trace_id.hex(), 16) for n in range(COUNT)] == list(
        range(1, COUNT + 1)
    )
    batches = [span for span in spans if span.name == "batch fraud"]
    sizes = [attributes_of(batch)[semconv.BATCH_SIZE] for batch in batches]
    assert max(sizes) > 1
    assert [len(batch.links) for batch in batches] == sizes
    # Each request is in one batch, which is linked to it and to those that it shared the call with.
    linked = [link.span_id for batch in batches for link in batch.links]
    assert sorted(linked) == sorted(call.span_id for call in calls.values())
