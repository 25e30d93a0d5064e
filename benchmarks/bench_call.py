"""What a recorded call costs beside a span written by hand: `python benchmarks/bench_call.py`.

The reference R is `start_as_current_span` with five attributes, through the same provider and the
same batch processor, into an exporter that drops everything. Variants run in short rounds in
random order, because long rounds in a fixed order disturb each other through background threads;
medians of the rounds are compared. The cost of encoding on the exporter's thread is not in here.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Sequence

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import inferspan

CALLS_PER_ROUND = 500
INPUT = [0.5, 1.25, -3.0, 4.0]
"""Always the same: its digits decide what writing it costs."""


class Dropped(SpanExporter):
    """Takes spans and forgets them."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


def bare(x: list[float]) -> str:
    return "fraud" if x[0] > 0 else "legit"


tracer: trace.Tracer = trace.NoOpTracer()
"""Of the provider, once there is one: looking it up in each call would flatter us."""


def by_hand(x: list[float]) -> str:
    with tracer.start_as_current_span("predict fraud") as span:
        said = bare(x)
        span.set_attribute("model.name", "fraud")
        span.set_attribute("model.version", "7")
        span.set_attribute("task", "binary_classification")
        span.set_attribute("prediction.id", "order-17")
        span.set_attribute("output.class", said)
        return said


shapes = inferspan.predict(
    model="fraud", version="7", task="binary_classification", positive="fraud", capture="shapes"
)(bare)
values = inferspan.predict(
    model="fraud", version="7", task="binary_classification", positive="fraud", capture="values"
)(bare)

VARIANTS: dict[str, Callable[[list[float]], str]] = {
    "undecorated": bare,
    "by hand (R)": by_hand,
    "predict, shapes": shapes,
    "predict, values": values,
}


def microseconds(call: Callable[[list[float]], str]) -> float:
    """Mean time of one call in a round."""
    begun = time.perf_counter_ns()
    for _ in range(CALLS_PER_ROUND):
        call(INPUT)
    return (time.perf_counter_ns() - begun) / CALLS_PER_ROUND / 1e3


def main() -> None:
    global tracer
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=81)
    rounds = parser.parse_args().rounds
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Dropped()))
    trace.set_tracer_provider(provider)
    tracer = provider.get_tracer("bench")
    order = [name for name in VARIANTS for _ in range(rounds)]
    random.Random(0).shuffle(order)
    for call in VARIANTS.values():
        microseconds(call)
    measured: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for name in order:
        measured[name].append(microseconds(VARIANTS[name]))
    reference = statistics.median(measured["by hand (R)"])
    for name, times in measured.items():
        median = statistics.median(times)
        print(f"{name:<16} {median:7.2f} µs  {median / reference:5.2f} × R")
    provider.shutdown()


if __name__ == "__main__":
    main()
