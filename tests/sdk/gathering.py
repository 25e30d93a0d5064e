"""Requests that wait together, for the tests of batches."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

Reference = inferspan.PredictionRef | None


@contextmanager
def requests(count: int, **options: object) -> Iterator[list[Reference]]:
    """Requests of here and now that wait, all at once, until the block ends."""
    declared = {"model": "fraud", "task": "regression", **options}
    references: list[Reference] = [None] * count
    arrived = [threading.Event() for _ in range(count)]
    answer = threading.Event()

    @inferspan.predict(**declared)  # type: ignore[arg-type]
    def handle(position: int) -> float:
        references[position] = inferspan.current_prediction()
        arrived[position].set()
        answer.wait()
        return float(position)

    with ThreadPoolExecutor(max(1, count)) as pool:
        futures: list[Future[float]] = []
        try:
            for position in range(count):
                run = contextvars.copy_context().run
                futures.append(pool.submit(run, handle, position))
                arrived[position].wait()
            yield references
        finally:
            answer.set()
            for future in futures:
                future.result()


def told(span: ReadableSpan) -> tuple[object, ...]:
    attributes = span.attributes or {}
    return tuple(
        attributes.get(name)
        for name in (semconv.BATCH_SPAN_ID, semconv.BATCH_SIZE, semconv.BATCH_POSITION)
    )


def waited(span: ReadableSpan) -> object:
    return (span.attributes or {}).get(semconv.BATCH_QUEUE_DURATION)


def linked(spans: Sequence[ReadableSpan]) -> list[tuple[int, int]]:
    return [(k.context.trace_id, k.context.span_id) for span in spans for k in span.links]


def by_arrival(spans: CapturedSpans) -> list[ReadableSpan]:
    return sorted(spans.predictions, key=lambda span: span.start_time or 0)


def hex_id(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def many(count: int) -> list[Reference]:
    """References from other processes."""
    return [
        inferspan.PredictionRef(
            f"p-{n}", "fraud", None, trace.SpanContext(n + 1, n + 1, True, trace.TraceFlags(1))
        )
        for n in range(count)
    ]
