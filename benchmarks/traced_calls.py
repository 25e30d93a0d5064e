"""The variants of a call: the small model of `by_hand`, and the same with our decorators."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

import numpy as np
from by_hand import (
    ITEMS,
    NUMBERS,
    awaited,
    bare,
    bare_batch,
    bare_coroutine,
    bare_stream,
    bare_with_id,
    by_hand,
    by_hand_coroutine,
    by_hand_stream,
    consumed,
)
from opentelemetry import trace
from rounds import Variant

import inferspan

OPTIONS: Final[dict[str, Any]] = {
    "model": "fraud",
    "version": "7",
    "task": "binary_classification",
    "positive": "fraud",
}


@cache
def matrix() -> Any:
    """A thousand rows of a thousand float64."""
    return np.random.default_rng(0).normal(size=(1_000, 1_000))


@cache
def frame() -> Any:
    """A DataFrame of ten thousand rows and ten columns."""
    import pandas as pd

    columns = [f"column_{number}" for number in range(10)]
    return pd.DataFrame(np.random.default_rng(1).normal(size=(10_000, 10)), columns=columns)


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
        Variant("predict, 1,000 × 1,000 float64", shapes, (matrix(),), base),
        Variant("predict, DataFrame 10,000 × 10", shapes, (frame(),), base),
        Variant("predict, values, 1,000 × 1,000 float64", values, (matrix(),), base),
        Variant("predict, values, DataFrame 10,000 × 10", values, (frame(),), base),
        Variant("predict, 1,000 rows out", ours()(bare_batch), (matrix(),), base),
    ]
