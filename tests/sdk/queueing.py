"""Spans, queues for them, and an exporter that answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from inferspan import semconv
from inferspan.answers import Answer
from inferspan.span_queue import SpanQueue

Queues = Callable[..., SpanQueue]


class Scripted(SpanExporter):
    """Answers as told, then takes everything; holds each request until `release` is set."""

    def __init__(self, *answers: Answer | None, most: int = 1_000_000) -> None:
        self.answers = list(answers)
        self.most = most
        self.answer: Answer | None = None
        self.names: list[str] = []
        self.requests: list[int] = []
        self.asked = threading.Semaphore(0)
        self.release = threading.Event()
        self.release.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.asked.release()
        self.release.wait(60)
        self.requests.append(len(spans))
        self.answer = self.answers.pop(0) if self.answers else Answer.TAKEN
        if len(spans) > self.most:
            self.answer = Answer.TOO_LARGE
        if self.answer is not Answer.TAKEN:
            return SpanExportResult.FAILURE
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self.release.set()


def ended(
    count: int, rows: int | None = None, column: Sequence[object] = ()
) -> Sequence[ReadableSpan]:
    caught = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(caught))
    tracer = provider.get_tracer("test")
    for number in range(count):
        attributes: dict[str, Any] = {} if rows is None else {semconv.PREDICTION_COUNT: rows}
        if column:
            attributes["column"] = column
        tracer.start_span(f"span {number}", attributes=attributes).end()
    return caught.get_finished_spans()


def put(queue: SpanQueue, spans: Sequence[ReadableSpan]) -> None:
    for span in spans:
        queue.on_end(span)


def names(spans: Sequence[ReadableSpan]) -> list[str]:
    return [span.name for span in spans]
