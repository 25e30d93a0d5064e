"""What holds for every test of the SDK: contained errors are failures, settings are fresh."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SpanExporter

from inferspan import settings
from inferspan.leaving import leave
from inferspan.span_queue import SpanQueue
from inferspan.testing import CapturedSpans, capture_spans, record_contained_errors

from .queueing import Queues


@pytest.fixture(autouse=True)
def contained_errors() -> Iterator[list[BaseException]]:
    """Errors that inferspan kept to itself; a test that means them clears the list."""
    with record_contained_errors() as collected:
        yield collected
    if collected:
        raise collected[0]


@pytest.fixture(autouse=True)
def _fresh_settings() -> Iterator[None]:
    previous = settings.install(None)
    yield
    settings.install(previous)


@pytest.fixture
def spans() -> Iterator[CapturedSpans]:
    with capture_spans() as caught:
        yield caught


@pytest.fixture
def queue_of() -> Iterator[Queues]:
    made: list[SpanQueue] = []

    def make(exporter: SpanExporter, **options: object) -> SpanQueue:
        # An hour: nothing but a full request, or being asked, makes it export.
        made.append(SpanQueue(exporter, **{"delay": 3600.0, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    leave(made, 0.0)
