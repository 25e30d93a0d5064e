"""As `batched`, and knows nothing of us: `opentelemetry-instrument uvicorn gathered:app` traces it.

Each row brings its key along through the queue and into the model, as rows do whose answers are
kept under it. That is how their ids are known without a line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel
from tumours import session

BATCH_MAX = 32


class Biopsy(BaseModel):
    """What is asked about."""

    key: str
    row: list[float]


Waiting = tuple[Biopsy, asyncio.Future[float]]
tumours = session(named=True)
waiting: asyncio.Queue[Waiting] = asyncio.Queue(maxsize=1024)


async def gather() -> None:
    """Answer whatever waits, up to 32 requests at a time."""
    while True:
        batch = [await waiting.get()]
        while not waiting.empty() and len(batch) < BATCH_MAX:
            batch.append(waiting.get_nowait())
        try:
            rows = np.array([biopsy.row for biopsy, _ in batch], np.float32)
            keys = np.array([biopsy.key for biopsy, _ in batch], object)
            _, probabilities = await asyncio.to_thread(tumours.run, None, {"X": rows, "id": keys})
            for (_, answer), said in zip(batch, probabilities, strict=True):
                if not answer.done():
                    answer.set_result(float(said[1]))
        except Exception as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Gather for as long as the service runs."""
    gathering = asyncio.create_task(gather())
    yield
    gathering.cancel()


app = FastAPI(lifespan=lifespan)


@app.post("/score")
async def score(biopsy: Biopsy) -> dict[str, float]:
    """How likely a tumour is benign."""
    answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    await waiting.put((biopsy, answer))
    return {"benign": await answer}
