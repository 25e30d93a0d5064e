"""One model of every kind whose series `/metrics` has, and labels: run with `OTEL_*` set.

`python measured_workload.py RUN`; runs have ids of their own.
What is random is seeded. Scores are probabilities, so estimates have something to go by.
"""

from __future__ import annotations

import contextlib
import random
import sys

from opentelemetry import trace

import inferspan

CALLS = 400
DOCUMENTS = 60

chance = random.Random(3)


class Unavailable(Exception):
    """What the model raises now and then."""


@inferspan.predict(
    model="risk",
    version="7",
    task="binary_classification",
    positive="fraud",
    prediction_id="order",
    slices=["country"],
    features=["amount", "channel"],
)
def risk(order: str, amount: float, channel: str, country: str, score: float) -> dict[str, object]:
    with inferspan.stage("features"):
        if score < 0.02:
            raise Unavailable(order)
    return {"label": "fraud" if score >= 0.5 else "legit", "score": score}


@inferspan.predict(model="price", task="regression", prediction_id="flat")
def price(flat: str, size: float) -> float:
    return 3_000 * size


@inferspan.predict(model="bot", task="generation", prediction_id="answer")
def bot(answer: str) -> str:
    return "it depends"


def main() -> None:
    """Predict, label, correct, evaluate."""
    run = sys.argv[1]
    inferspan.configure(service_name="shop", service_version="1")
    for i in range(CALLS):
        score = chance.betavariate(0.4, 0.4)
        amount = chance.gauss(100, 10)
        with contextlib.suppress(Unavailable):
            risk(f"order-{run}-{i}", amount, chance.choice(["web", "app"]), f"C{i % 4}", score)
        if i % 10:
            truth = "fraud" if chance.random() < score else "legit"
            inferspan.label(f"order-{run}-{i}", truth, model="risk", id=f"label-{run}-{i}")
            if i % 50 == 1:
                other = "legit" if truth == "fraud" else "fraud"
                inferspan.label(
                    f"order-{run}-{i}", other, model="risk", id=f"label-{run}-{i}", revision=1
                )
    for i in range(DOCUMENTS):
        price(f"flat-{run}-{i}", 10.0 + i)
        inferspan.label(f"flat-{run}-{i}", 3_000 * (10.0 + i) + chance.gauss(0, 500), model="price")
        bot(f"answer-{run}-{i}")
        inferspan.label(
            f"answer-{run}-{i}", i / DOCUMENTS, model="bot", target="faithful", kind="evaluation"
        )
    inferspan.label(f"nobody-{run}", "fraud", model="risk")
    # A span that is nobody's prediction, and one that a mapping takes for one.
    tracer = trace.get_tracer("tickets")
    for name in ("classify", "other"):
        with tracer.start_as_current_span(name) as span:
            span.set_attribute("app.model", "tickets")
            span.set_attribute("app.answer", "refund")
    assert inferspan.flush(timeout=60)


if __name__ == "__main__":
    main()
