"""As `plain`, with XGBoost: `opentelemetry-instrument uvicorn boosted:app` traces it."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from tumour_rows import split
from xgboost import XGBClassifier

rows, _, classes, _ = split()
model = XGBClassifier(n_estimators=20, n_jobs=1).fit(rows, classes)
app = FastAPI()


@app.post("/score")
def score(row: list[float]) -> dict[str, float]:
    """How likely a tumour is benign."""
    return {"benign": float(model.predict_proba(np.array([row], np.float32))[0, 1])}
