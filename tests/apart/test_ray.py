"""A real Ray Serve with its own batching: the batch is linked to all the requests in it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx
from real_servers import DEADLINE_SECONDS, free_ports, serving

from inferspan import semconv
from sdk.receiving import attributes_of, receiver

HERE = Path(__file__).parent
COUNT = 4
"""As many as the deployment answers at once."""


async def ask(address: str) -> None:
    """Ask from several callers at once, each with a trace and an id of its own; judge one."""
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:

        async def one(n: int) -> None:
            headers = {
                "traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01",
                "X-Prediction-Id": f"order-{n}",
            }
            answer = await client.get(f"/score?amount={300 * n}", headers=headers)
            assert answer.headers["X-Prediction-Id"] == f"order-{n}"
            assert answer.json()["score"] == 300 * n / 1000

        await asyncio.gather(*map(one, range(COUNT)))
        verdict = {"prediction_id": "order-3", "label": "legit"}
        assert (await client.post("/feedback", json=verdict)).status_code == 202


def test_a_batch_of_ray_serve_is_linked_to_all_its_requests(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    address = f"http://127.0.0.1:{port}"
    with receiver() as otlp:
        command = [sys.executable, HERE / "served_by_ray.py", str(port), otlp.url]
        environment = {
            "HOME": str(tmp_path),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": str(DEADLINE_SECONDS),
        }
        with serving(command, f"{address}/openapi.json", tmp_path / "log", environment=environment):
            asyncio.run(ask(address))
    spans = [span for _, span in otlp.spans(semconv.SCOPE_PREDICTIONS)]
    (batch,) = [span for span in spans if span.name == "batch fraud"]
    calls = {attributes_of(s)[semconv.PREDICTION_ID]: s for s in spans if s is not batch}
    assert sorted(calls) == [f"order-{n}" for n in range(COUNT)]
    # Between a caller and a prediction may be spans of the server's own.
    parents = {
        span.span_id.hex(): span.parent_span_id.hex()
        for _, request in otlp.requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    for n in range(COUNT):
        call = calls[f"order-{n}"]
        assert int(call.trace_id.hex(), 16) == n + 1
        above = call.parent_span_id.hex()
        while above in parents:
            above = parents[above]
        assert int(above, 16) == n + 1
        assert attributes_of(call)[semconv.BATCH_SPAN_ID] == batch.span_id.hex()
    assert {link.span_id for link in batch.links} == {call.span_id for call in calls.values()}
    ((_, label),) = otlp.spans(semconv.SCOPE_LABELS)
    assert attributes_of(label)[semconv.PREDICTION_ID] == "order-3"
