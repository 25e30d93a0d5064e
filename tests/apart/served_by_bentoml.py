"""A service of BentoML as a user writes it."""

from __future__ import annotations

import bentoml

import inferspan
from inferspan.asgi import Feedback, PredictionMiddleware

inferspan.configure(service_name="fraud-api")


@inferspan.predict(model="fraud", task="binary_classification", positive="fraud")
def judge(amount: float) -> dict[str, object]:
    """How likely an order is fraud."""
    risk = min(amount / 1000, 1.0)
    return {"label": "fraud" if risk > 0.5 else "legit", "score": risk}


@bentoml.asgi_app(Feedback("fraud"), path="/feedback")
@bentoml.service(name="fraud", workers=1)
class Fraud:
    """One route."""

    @bentoml.api
    def score(self, amount: float) -> dict[str, object]:
        """How likely an order is fraud."""
        return judge(amount)


Fraud.add_asgi_middleware(PredictionMiddleware)
