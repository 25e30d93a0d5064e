"""A FastAPI service that predicts once a request; its lifespan ends as the documentation says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import inferspan

MODEL = "awaited"

inferspan.configure(service_name="served")


@asynccontextmanager
async def lifespan(service: FastAPI) -> AsyncIterator[None]:
    """Send what waits: uvicorn ends by the signal, without Python's own end."""
    yield
    inferspan.flush(timeout=4)


application = FastAPI(lifespan=lifespan)


@inferspan.predict(model=MODEL, task="binary_classification", positive="fraud", prediction_id="key")
async def score(key: str) -> dict[str, object]:
    """What a model says of an order."""
    return {"label": "fraud" if key.endswith("7") else "legit", "score": 0.5}


@application.get("/{key}")
async def predict(key: str) -> dict[str, object]:
    """Answer a request."""
    return await score(key)
