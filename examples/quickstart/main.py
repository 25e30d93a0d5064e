"""A fraud model in ten lines, and the truth about its answers: `python main.py`."""

from __future__ import annotations

import random
import sys
import uuid

import inferspan

inferspan.configure(service_name="fraud-api")


@inferspan.predict(
    model="fraud",
    version="7",
    task="binary_classification",
    positive="fraud",
    prediction_id="order_id",
    slices=["country"],
)
def score(order_id: str, amount: float, country: str) -> dict[str, object]:
    with inferspan.stage("features"):
        risk = min(amount / 1000, 1.0)
    return {"label": "fraud" if risk > 0.5 else "legit", "score": risk}


def main(orders: int) -> None:
    """Score orders, and say of each a little later what it really was."""
    draw = random.Random(7)
    run = uuid.uuid4().hex[:8]
    unlabelled: list[tuple[str, str]] = []
    for number in range(orders):
        order_id, amount = f"{run}-{number}", draw.uniform(10, 1000)
        score(order_id, amount, draw.choice(("NL", "DE", "FR")))
        # Larger orders are fraud more often; the model's border is nearly, not quite, the truth.
        truth = "fraud" if draw.random() < (amount / 1000) ** 2 else "legit"
        unlabelled.append((order_id, truth))
        if len(unlabelled) > 20:
            earlier, was = unlabelled.pop(draw.randrange(20))
            inferspan.label(earlier, was, model="fraud")
    for order_id, truth in unlabelled:
        inferspan.label(order_id, truth, model="fraud")
    if not inferspan.flush(timeout=10):
        sys.exit(
            "not everything was taken within 10 s: is `inferspan serve` running, and ready? What "
            "waits is tried for some seconds more"
        )
    print("http://127.0.0.1:4319/api/v1/models/fraud/quality has the accuracy")


if __name__ == "__main__":
    main(orders=100)
