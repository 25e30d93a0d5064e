"""Requests that come together are answered by one call of the model; verdicts come to /feedback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI
from tumours import session

import inferspan
from inferspan.asgi import Feedback, PredictionMiddleware

BATCH_MAX = 32
Waiting = tuple[list[float], asyncio.Future[float], inferspan.PredictionRef | None]

inferspan.configure(service_name="tumours")
tumours = session()
waiting: asyncio.Queue[Waiting] = asyncio.Queue(maxsize=1024)


@inferspan.predict(
    model="tumour", task="binary_classification", positive="benign", classes=["malignant", "benign"]
)
async def judge(row: list[float]) -> dict[str, object]:
    """One prediction: it waits for the batch that it is in."""
    answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    await waiting.put((row, answer, inferspan.current_prediction()))
    benign = await answer
    return {"label": "benign" if benign > 0.5 else "malignant", "score": benign}


async def gather() -> None:
    """Answer whatever waits, up to 32 requests at a time."""
    while True:
        batch = [await waiting.get()]
        while not waiting.empty() and len(batch) < BATCH_MAX:
            batch.append(waiting.get_nowait())
        try:
            with inferspan.batch([reference for *_, reference in batch], model="tumour"):
                rows = np.array([row for row, *_ in batch], np.float32)
                _, probabilities = await asyncio.to_thread(tumours.run, None, {"X": rows})
            for (_, answer, _), said in zip(batch, probabilities, strict=True):
                if not answer.done():
                    answer.set_result(float(said[1]))
        except Exception as error:
            for _, answer, _ in batch:
                if not answer.done():
                    answer.set_exception(error)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Gather for as long as the service runs."""
    gathering = asyncio.create_task(gather())
    yield
    gathering.cancel()  # what waits to be sent is, by the middleware


app = FastAPI(lifespan=lifespan)
app.add_middleware(PredictionMiddleware)
app.router.add_route("/feedback", Feedback("tumour"), methods=["POST"])


@app.post("/score")
async def score(row: list[float]) -> dict[str, object]:
    """How likely a tumour is benign."""
    return await judge(row)
