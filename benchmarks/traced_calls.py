"""The calls that are measured: one small model, written by hand and with our decorators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from opentelemetry import trace
from rounds import Variant

import inferspan

NUMBERS: Final = [0.5, 1.25, -3.0, 4.0, 17.349, 0.001, 250.75, -0.3333333333333333, 1e6, 42.0]
"""Ten inputs, always the same: their digits decide what writing them costs."""
MATRIX: Final = np.random.default_rng(0).normal(size=(1_000, 1_000))
FRAME: Final = pd.DataFrame(
    np.random.default_rng(1).normal(size=(10_000, 10)), columns=[f"column_{n}" for n in range(10)]
)
ANSWER: Final = {"label": "fraud", "score": 0.9317}
LABELS: Final = ["fraud", "legit"] * 500
SCORES: Final = [n / 1_000 for n in range(1_000)]
ITEMS: Final = 10
"""Of the streams."""

Answer = dict[str, Any]
OPTIONS: Final[dict[str, Any]] = {
    "model": "fraud",
    "version": "7",
    "task": "binary_classification",
    "positive": "fraud",
}
ATTRIBUTES: Final = {
    "model.name": "fraud",
    "model.version": "7",
    "task": "binary_classification",
}


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


def ours(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Our decorator, declared as usual."""
    return inferspan.predict(**{**OPTIONS, **more})


def recorded(tracer: trace.Tracer) -> list[Variant]:
    """A small call under each of our options; every span is sampled."""
    small = (NUMBERS,)
    with_id = ours(prediction_id="order_id")(bare_with_id)
    return [
        Variant("by hand (R)", by_hand(tracer), small),
        Variant("undecorated", bare, small),
        Variant("predict, shapes, id minted", ours(capture="shapes")(bare), small),
        Variant("predict, shapes, id from an argument", with_id, ("order-17", NUMBERS)),
        Variant("predict, values", ours(capture="values")(bare), small),
        Variant("predict, none", ours(capture="none")(bare), small),
        Variant("stage", inferspan.stage("features")(bare), small),
    ]


def shaped(tracer: trace.Tracer) -> list[Variant]:
    """Coroutines and generators, each beside its own hand-written twin."""
    small, coroutine, stream = (NUMBERS,), "coroutine by hand", f"generator of {ITEMS} by hand"
    generates = ours(task="generation", operation="generate", positive=None)
    return [
        Variant(coroutine, awaited(by_hand_coroutine(tracer)), small, coroutine),
        Variant("predict, coroutine", awaited(ours()(bare_coroutine)), small, coroutine),
        Variant(stream, consumed(by_hand_stream(tracer)), small, stream),
        Variant(f"predict, generator of {ITEMS}", consumed(generates(bare_stream)), small, stream),
    ]


def large() -> list[Variant]:
    """Large inputs and outputs beside our own small call."""
    base = "predict, ten numbers"
    shapes, values = ours(capture="shapes")(bare), ours(capture="values")(bare)
    return [
        Variant(base, shapes, (NUMBERS,), base),
        Variant("predict, 1,000 × 1,000 float64", shapes, (MATRIX,), base),
        Variant("predict, DataFrame 10,000 × 10", shapes, (FRAME,), base),
        Variant("predict, values, 1,000 × 1,000 float64", values, (MATRIX,), base),
        Variant("predict, values, DataFrame 10,000 × 10", values, (FRAME,), base),
        Variant("predict, 1,000 rows out", ours()(bare_batch), (MATRIX,), base),
    ]
