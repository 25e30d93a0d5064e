"""A prediction that sends, for the tests of what is carried over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import inferspan


@inferspan.predict(model="fraud", version="7", task="regression", prediction_id="order")
def predict(order: str, act: Callable[[], object]) -> float:
    act()
    return 1.0


def inside(act: Callable[[], Any], order: str = "order-17") -> Any:
    """What `act` answers inside a prediction."""
    answers: list[Any] = []
    predict(order, lambda: answers.append(act()))
    return answers[0]


def kafka(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in headers.items()]
