"""A deployment of Ray Serve as a user writes it: FastAPI, decorators, and Serve's own batching."""

from __future__ import annotations

import os
import signal
import sys
import threading

import ray
from fastapi import FastAPI
from ray import serve

import inferspan
from inferspan.asgi import Feedback, PredictionMiddleware

app = FastAPI()
app.add_middleware(PredictionMiddleware)
app.router.add_route("/feedback", Feedback("fraud"), methods=["POST"])
Asked = tuple[float, inferspan.PredictionRef | None]


@serve.deployment(ray_actor_options={"num_cpus": 0})
@serve.ingress(app)
class Fraud:
    """Answers requests that came together by one call of the model."""

    def __init__(self, endpoint: str) -> None:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        inferspan.configure(service_name="fraud-api")

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=5)
    async def judge(self, asked: list[Asked]) -> list[float]:
        """Risks of four requests."""
        with inferspan.batch([reference for _, reference in asked], model="fraud"):
            return [min(amount / 1000, 1.0) for amount, _ in asked]

    @inferspan.predict(
        model="fraud", task="binary_classification", positive="fraud", features=["amount"]
    )
    async def predict(self, amount: float) -> dict[str, object]:
        """One prediction: it waits for the batch that it is in."""
        risk = await self.judge((amount, inferspan.current_prediction()))
        return {"label": "fraud" if risk > 0.5 else "legit", "score": risk}

    @app.get("/score")
    async def score(self, amount: float) -> dict[str, object]:
        """How likely an order is fraud."""
        return await self.predict(amount)


def main(port: int, endpoint: str) -> None:
    """Serve until SIGTERM."""
    ended = threading.Event()
    ray.init(num_cpus=1, include_dashboard=False)
    # After Ray's own, which ends the process at once, and its replicas without a word.
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Fraud.bind(endpoint))
    ended.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
