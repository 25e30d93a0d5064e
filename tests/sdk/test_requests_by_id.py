"""Requests that wait for a call that nothing tells of them but the ids of its rows."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import inferspan
from inferspan import semconv
from inferspan.asgi import PredictionMiddleware
from inferspan.testing import CapturedSpans, capture_spans

COUNT = 5


@inferspan.predict(model="fraud", task="regression", prediction_id="keys")
def score(keys: list[str], amounts: list[float]) -> list[float]:
    return [amount / 1000 for amount in amounts]


class Gathering:
    """A service that knows nothing of us, but for the model's call: it gathers requests."""

    def __init__(self, **options: Any) -> None:
        self.waiting: list[tuple[str, float, asyncio.Future[float]]] = []
        self.all_here = asyncio.Event()
        self.app = FastAPI()
        self.app.add_middleware(PredictionMiddleware, **options)
        self.app.get("/score")(self.answer)

    async def answer(self, key: str, amount: float) -> float:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.waiting.append((key, amount, future))
        if len(self.waiting) == COUNT:
            self.all_here.set()
        return await future

    async def gather(self) -> None:
        await self.all_here.wait()
        keys, amounts, futures = zip(*self.waiting, strict=True)
        for future, said in zip(futures, score(list(keys), list(amounts)), strict=True):
            future.set_result(said)


def headers(n: int, offered: str | None) -> dict[str, str]:
    own = {"traceparent": f"00-{n + 1:032x}-{n + 1:016x}-01"}
    return own if offered is None else {**own, "X-Prediction-Id": offered}


async def ask_together(offered: list[str | None], **options: Any) -> list[httpx.Response]:
    service = Gathering(**options)
    gathering = asyncio.create_task(service.gather())
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:

        async def ask(n: int) -> httpx.Response:
            asked = {"key": f"order-{n}", "amount": 100 * n}
            return await client.get("/score", params=asked, headers=headers(n, offered[n]))

        answers = await asyncio.gather(*map(ask, range(COUNT)))
    await gathering
    return answers


def linked(spans: CapturedSpans) -> list[tuple[int, int]]:
    links = spans.prediction("fraud").links
    return sorted((link.context.trace_id, link.context.span_id) for link in links)


def test_a_batch_is_linked_to_the_requests_whose_ids_its_rows_have() -> None:
    with capture_spans() as spans:
        answers = asyncio.run(ask_together([f"order-{n}" for n in range(COUNT)]))
    assert [answer.headers["X-Prediction-Id"] for answer in answers] == [
        f"order-{n}" for n in range(COUNT)
    ]
    span = spans.prediction("fraud")
    assert span.parent is None
    assert (span.attributes or {})[semconv.PREDICTION_COUNT] == COUNT
    assert linked(spans) == [(n + 1, n + 1) for n in range(COUNT)]


def test_of_the_others_nothing_is_known() -> None:
    with capture_spans() as spans:
        asyncio.run(ask_together([None, "order-1", "order-99", None, "order-4"]))
    assert linked(spans) == [(2, 2), (5, 5)]


def test_of_callers_who_are_not_trusted_no_id_is_taken() -> None:
    with capture_spans() as spans:
        asyncio.run(ask_together(["order-0"] * COUNT, trust_callers=False))
    assert linked(spans) == []


def test_a_request_that_was_answered_is_found_no_more() -> None:
    with capture_spans() as spans:
        asyncio.run(ask_together([f"order-{n}" for n in range(COUNT)]))
        spans.clear()
        gc.collect()
        score([f"order-{n}" for n in range(COUNT)], [1.0] * COUNT)
    assert linked(spans) == []


@pytest.mark.parametrize("keys", [["order-1"], ["order-1", "order-2"]])
def test_a_prediction_in_its_own_request_is_a_child_and_not_linked(keys: list[str]) -> None:
    app = FastAPI()
    app.add_middleware(PredictionMiddleware)
    app.get("/score")(lambda: score(keys, [1.0] * len(keys)))

    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            await client.get("/score", headers=headers(0, "order-1"))

    with capture_spans() as spans:
        asyncio.run(ask())
    assert spans.prediction("fraud").parent is not None
    assert linked(spans) == []
