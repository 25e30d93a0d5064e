"""As `boosted`, with decorators: names of classes, a stage, and verdicts that come to /feedback."""

from __future__ import annotations

import numpy as np
from fastapi import FastAPI
from tumour_rows import CLASSES, split
from xgboost import XGBClassifier

import inferspan
from inferspan.asgi import Feedback, PredictionMiddleware

inferspan.configure(service_name="tumours")
rows, _, classes, _ = split()
model = XGBClassifier(n_estimators=20, n_jobs=1).fit(rows, classes)

app = FastAPI()
app.add_middleware(PredictionMiddleware)
app.router.add_route("/feedback", Feedback("tumour"), methods=["POST"])


@inferspan.predict(model="tumour", task="binary_classification", positive="benign", classes=CLASSES)
def judge(row: list[float]) -> dict[str, object]:
    """One prediction."""
    with inferspan.stage("boosting"):
        benign = float(model.predict_proba(np.array([row], np.float32))[0, 1])
    return {"label": CLASSES[int(benign > 0.5)], "score": benign}


@app.post("/score")
def score(row: list[float]) -> dict[str, object]:
    """How likely a tumour is benign."""
    return judge(row)
