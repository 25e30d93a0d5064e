"""A model served over WSGI, traced as `BENCH_VARIANT` says: what `bench_workers.py` asks.

Every variant imports numpy, as model servers do, and only what it needs beyond that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np

UNDECORATED, BY_HAND, PREDICT, SAMPLED = "undecorated", "by hand", "predict", "predict at 0.01"
VARIANTS: Final = (UNDECORATED, BY_HAND, PREDICT, SAMPLED)
CALL_HEADER: Final = "X-Call-Ns"
"""Of an answer: what the prediction took, ns."""
WEIGHTS: Final = np.random.default_rng(0).normal(size=(10, 256))
NUMBERS: Final = [0.5, 1.25, -3.0, 4.0, 17.349, 0.001, 250.75, -0.3333333333333333, 1e6, 42.0]


def score(x: list[float]) -> dict[str, Any]:
    """Some 10 µs of a model."""
    odds = float(np.tanh(np.asarray(x) @ WEIGHTS).mean())
    return {"label": "fraud" if odds > 0 else "legit", "score": (1 + odds) / 2}


def traced(variant: str) -> Callable[[list[float]], dict[str, Any]]:
    """The model under one of `VARIANTS`; spans are encoded on a thread behind, and thrown away."""
    if variant == UNDECORATED:
        return score
    from exporters import Encoding
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if variant == BY_HAND:
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Encoding()))
        tracer = provider.get_tracer("bench")

        def by_hand(x: list[float]) -> dict[str, Any]:
            with tracer.start_as_current_span("predict fraud") as span:
                said = score(x)
                span.set_attribute("model.name", "fraud")
                span.set_attribute("model.version", "7")
                span.set_attribute("task", "binary_classification")
                span.set_attribute("output.class", said["label"])
                span.set_attribute("output.score", said["score"])
                return said

        return by_hand
    import inferspan
    from inferspan import providers
    from inferspan.sampling import RatioSampler, SettableIds

    sampler = RatioSampler(0.01) if variant == SAMPLED else None
    provider = TracerProvider(sampler, id_generator=SettableIds() if sampler else None)
    provider.add_span_processor(BatchSpanProcessor(Encoding()))
    providers.divert(provider, Encoding)
    return inferspan.predict(
        model="fraud", version="7", task="binary_classification", positive="fraud"
    )(score)


_model: list[Callable[[list[float]], dict[str, Any]]] = []


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer one prediction."""
    if not _model:  # after the fork, as without preloading
        _model.append(traced(os.environ["BENCH_VARIANT"]))
    begun = time.perf_counter_ns()
    said = _model[0](NUMBERS)
    took = time.perf_counter_ns() - begun
    body = repr(said).encode()
    start_response("200 OK", [("Content-Length", str(len(body))), (CALL_HEADER, str(took))])
    return [body]
