"""Every kind of prediction, and labels for nine of ten: run with `OTEL_*` set.

`python sampled_workload.py RATIO RECORDS` predicts and labels the same at every ratio: what is
random is seeded, and nothing of it depends on what is sampled.
"""

from __future__ import annotations

import contextlib
import random
import sys
from typing import Any

import numpy as np

import inferspan
from inferspan import PredictionRef

STEPS = 300
BATCH_EVERY, BATCH_ROWS = 15, 40
FAILING, LABELED, RIGHT = 0.05, 0.9, 0.8
COUNTRIES = ("DE", "FR", "IT")
DIGITS = ("0", "1", "2", "3")
TAGS = ("art", "music", "sport")

chance = random.Random(11)


class Unavailable(Exception):
    """What a model raises now and then."""


def answer(given: Any) -> Any:
    if given is Unavailable:
        raise Unavailable("no answer")
    return given


@inferspan.predict(
    model="risk",
    version="7",
    task="binary_classification",
    positive="fraud",
    prediction_id="order_id",
    slices=["country"],
    features=["amount", "country"],
)
def risk(order_id: Any, country: Any, amount: Any, given: Any) -> Any:
    return answer(given)


@inferspan.predict(
    model="digit",
    operation="predict_proba",
    classes=list(DIGITS),
    task="multiclass_classification",
)
def digit(given: Any, refs: list[PredictionRef | None]) -> Any:
    refs.append(inferspan.current_prediction())
    return answer(given)


@inferspan.predict(model="price", task="regression", prediction_id="flat", slices=["country"])
def price(flat: Any, country: Any, given: Any) -> Any:
    return answer(given)


@inferspan.predict(model="tags", task="multilabel_classification", prediction_id="text")
def tags(text: str, given: Any) -> Any:
    return answer(given)


def label(prediction: object, truth: Any, model: str, index: int | None = None) -> None:
    if chance.random() < LABELED:
        inferspan.label(prediction, truth, model=model, index=index)


def call(function: Any, *arguments: Any) -> None:
    failing = chance.random() < FAILING
    with contextlib.suppress(Unavailable):
        function(*arguments[:-1], Unavailable if failing else arguments[-1])


def fraud_or_not(score: float) -> str:
    return "fraud" if score >= 0.5 else "legit"


def true_class(said: str, classes: tuple[str, ...]) -> str:
    return said if chance.random() < RIGHT else chance.choice(classes)


def probabilities() -> list[float]:
    weights = [chance.random() for _ in DIGITS]
    return [weight / sum(weights) for weight in weights]


def step(number: int) -> None:
    """One call of each model, and its label."""
    score = chance.random()
    said = fraud_or_not(score)
    order = f"order-{number}"
    country, amount = chance.choice(COUNTRIES), chance.uniform(1, 500)
    call(risk, order, country, amount, {"label": said, "score": score})
    label(order, true_class(said, ("fraud", "legit")), "risk")

    row = probabilities()
    refs: list[PredictionRef | None] = []
    digit(np.array(row), refs)
    label(refs[0], true_class(DIGITS[int(np.argmax(row))], DIGITS), "digit")

    value = chance.uniform(100, 900)
    call(price, f"flat-{number}", chance.choice(COUNTRIES), value)
    label(f"flat-{number}", value + chance.uniform(-1, 1), "price")

    found = set(chance.sample(TAGS, chance.randrange(3)))
    call(tags, f"text-{number}", found)
    label(f"text-{number}", found if chance.random() < RIGHT else {"art"}, "tags")


def batches(number: int) -> None:
    """A batch whose rows have ids of their own, one whose rows share one, and one that fails."""
    ids = [f"row-{number}-{row}" for row in range(BATCH_ROWS)]
    scores = [chance.random() for _ in ids]
    countries = [chance.choice(COUNTRIES) for _ in ids]
    said = [fraud_or_not(score) for score in scores]
    call(risk, ids, countries, scores, {"label": said, "score": scores})
    for row, predicted in zip(ids, said, strict=True):
        label(row, true_class(predicted, ("fraud", "legit")), "risk")

    matrix = np.array([probabilities() for _ in range(BATCH_ROWS)])
    refs: list[PredictionRef | None] = []
    digit(matrix, refs)
    for row, best in enumerate(matrix.argmax(axis=1)):
        label(refs[0], true_class(DIGITS[int(best)], DIGITS), "digit", row)

    values = [chance.uniform(100, 900) for _ in range(BATCH_ROWS)]
    flats = [f"flat-{number}-{row}" for row in range(BATCH_ROWS)]
    call(price, flats, countries, np.array(values, np.float32))
    for flat, given in zip(flats, values, strict=True):
        label(flat, given + chance.uniform(-1, 1), "price")


def main() -> None:
    """Predict, label, and send it all."""
    inferspan.configure(
        service_name="shop",
        environment="test",
        sample_ratio=float(sys.argv[1]),
        records=sys.argv[2],
    )
    for number in range(STEPS):
        step(number)
        if number % BATCH_EVERY == 0:
            batches(number)
        if number % 50 == 0:
            assert inferspan.flush(timeout=60)
    assert inferspan.flush(timeout=60)


if __name__ == "__main__":
    main()
