"""The calls that are measured: one small model, bare and with spans as people write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from opentelemetry import trace

NUMBERS: Final = [0.5, 1.25, -3.0, 4.0, 17.349, 0.001, 250.75, -0.3333333333333333, 1e6, 42.0]
"""Ten inputs, always the same: their digits decide what writing them costs."""
LABELS: Final = ["fraud", "legit"] * 500
SCORES: Final = [n / 1_000 for n in range(1_000)]
ITEMS: Final = 10
"""Of the streams."""

Answer = dict[str, Any]


def bare(x: Any) -> Answer:
    return {"label": "fraud", "score": 0.9317}


def bare_with_id(order_id: str, x: Any) -> Answer:
    return {"label": "fraud", "score": 0.9317}


def bare_batch(x: Any) -> dict[str, list[Any]]:
    return {"label": LABELS, "score": SCORES}


async def bare_coroutine(x: Any) -> Answer:
    return {"label": "fraud", "score": 0.9317}


def bare_stream(x: Any) -> Iterator[int]:
    yield from range(ITEMS)


def by_hand(tracer: trace.Tracer) -> Callable[[Any], Answer]:
    """The same with a span as people write it: the reference."""

    def score(x: Any) -> Answer:
        with tracer.start_as_current_span("predict fraud") as span:
            said = bare(x)
            span.set_attribute("model.name", "fraud")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "binary_classification")
            span.set_attribute("output.class", said["label"])
            span.set_attribute("output.score", said["score"])
            return said

    return score


def by_hand_coroutine(tracer: trace.Tracer) -> Callable[[Any], Any]:
    """The reference as a coroutine function."""

    async def score(x: Any) -> Answer:
        with tracer.start_as_current_span("predict fraud") as span:
            said = await bare_coroutine(x)
            span.set_attribute("model.name", "fraud")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "binary_classification")
            span.set_attribute("output.class", said["label"])
            span.set_attribute("output.score", said["score"])
            return said

    return score


def by_hand_stream(tracer: trace.Tracer) -> Callable[[Any], Iterator[int]]:
    """The reference as a generator; its span leaks into the consumer between items."""

    def tokens(x: Any) -> Iterator[int]:
        with tracer.start_as_current_span("generate fraud") as span:
            count = 0
            for token in bare_stream(x):
                count += 1
                yield token
            span.set_attribute("model.name", "fraud")
            span.set_attribute("model.version", "7")
            span.set_attribute("task", "generation")
            span.set_attribute("chunks", count)
            span.set_attribute("completed", True)

    return tokens


def awaited(function: Callable[[Any], Any]) -> Callable[[Any], object]:
    """A call of a coroutine function, driven to its end without an event loop."""

    def call(x: Any) -> object:
        try:
            function(x).send(None)
        except StopIteration as stopped:
            return stopped.value
        raise AssertionError("it waits for nothing")

    return call


def consumed(function: Callable[[Any], Iterator[Any]]) -> Callable[[Any], None]:
    """A call of a generator function, and all of its items."""

    def call(x: Any) -> None:
        for _ in function(x):
            pass

    return call
