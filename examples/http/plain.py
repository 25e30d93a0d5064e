"""A service that knows nothing of us: `opentelemetry-instrument uvicorn plain:app` traces it."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from tumours import session

app = FastAPI()
tumours = session()


@app.post("/score")
def score(row: list[float]) -> dict[str, float]:
    """How likely a tumour is benign."""
    _, probabilities = tumours.run(None, {"X": np.array([row], np.float32)})
    return {"benign": float(probabilities[0, 1])}
