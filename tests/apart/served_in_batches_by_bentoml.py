"""Two services of BentoML as a user writes them: one predicts, one is called for many at a time."""

from __future__ import annotations

import threading
from typing import Any

import bentoml

import inferspan
from inferspan.asgi import PredictionMiddleware

COUNT = 9
"""Requests that the test makes at once."""

inferspan.configure(service_name="fraud-api")


class Arrivals:
    """Counts what comes to a service, so that the first call is over once all are there."""

    arrived = threading.Semaphore(0)

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand it on."""
        if scope["type"] == "http" and scope["path"] == "/risks":
            self.arrived.release()
        await self.app(scope, receive, send)


@bentoml.service(workers=1, threads=1)
class Model:
    """Answers requests that came together by one call, in a process of its own."""

    def __init__(self) -> None:
        self.began = False

    @bentoml.api(batchable=True, max_batch_size=COUNT, max_latency_ms=60_000)
    def risks(self, asked: list[dict[str, Any]]) -> list[float]:
        """Risks of orders."""
        references = [inferspan.PredictionRef.from_token(one["prediction"]) for one in asked]
        with inferspan.batch(references, model="fraud"):
            if not self.began:
                self.began = True
                for _ in range(COUNT):
                    Arrivals.arrived.acquire(timeout=60)
            return [min(one["amount"] / 1000, 1.0) for one in asked]


Model.add_asgi_middleware(Arrivals)
Model.add_asgi_middleware(PredictionMiddleware)  # sends what waits as the process ends


@bentoml.service(name="fraud", workers=1)
class Fraud:
    """One route."""

    model = bentoml.depends(Model)

    @inferspan.predict(model="fraud", task="binary_classification", positive="fraud")
    async def judge(self, amount: float) -> dict[str, object]:
        """One prediction: it waits for the batch that it is in."""
        prediction = inferspan.current_prediction()
        assert prediction is not None
        asked = {"amount": amount, "prediction": prediction.to_token()}
        (risk,) = await self.model.to_async.risks([asked])
        return {"label": "fraud" if risk > 0.5 else "legit", "score": risk}

    @bentoml.api
    async def score(self, amount: float) -> dict[str, object]:
        """How likely an order is fraud."""
        return await self.judge(amount)


Fraud.add_asgi_middleware(PredictionMiddleware)
