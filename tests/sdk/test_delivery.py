"""What becomes of spans on their way out is counted, so that `flush` can say it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import inferspan
from inferspan import delivery, providers, semconv
from inferspan.delivery import CountingProcessor, Tally

from .receiving import attributes_of, receiver
from .test_configure import SCORE, run


class Taken(SpanExporter):
    """Keeps the names of spans, as long as no request is larger than `most`."""

    def __init__(self, most: int = 1_000_000) -> None:
        self.most = most
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if len(spans) > self.most:
            return SpanExportResult.FAILURE
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


class Raising(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no such host")


def provider_of(tally: Tally, batch_size: int) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(CountingProcessor(tally, batch_size))
    return provider


def emit(provider: TracerProvider, count: int) -> None:
    tracer = provider.get_tracer("test")
    for number in range(count):
        tracer.start_span(f"span {number}").end()


def ended(count: int) -> Sequence[ReadableSpan]:
    caught = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource({}), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(caught))
    emit(provider, count)
    return caught.get_finished_spans()


def test_what_the_queue_pushed_out_is_a_loss_once() -> None:
    tally = Tally(Taken(), queue_size=8)
    provider = provider_of(tally, batch_size=8)
    processor = provider._active_span_processor
    # While the exporter's lock is held nothing leaves the queue: the ninth pushes out the first.
    with processor._span_processors[0]._batch_processor._export_lock:  # type: ignore[attr-defined]
        emit(provider, 8)
        assert not tally.has_room()
        emit(provider, 4)
    assert provider.force_flush()
    assert (tally.sent, tally.lost_since_asked(), tally.lost_since_asked()) == (8, True, False)
    assert tally.has_room()
    emit(provider, 3)
    provider.force_flush()
    assert (tally.sent, tally.lost_since_asked()) == (11, False)
    provider.shutdown()


def test_an_exporter_that_raises_loses_its_spans(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(Raising())
    provider = provider_of(tally, batch_size=8)
    emit(provider, 3)
    provider.force_flush()
    assert (tally.sent, tally.failed, tally.lost_since_asked()) == (0, 3, True)
    assert "no such host" in caplog.text
    provider.shutdown()


def test_a_request_that_is_too_large_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    spans = ended(10)
    monkeypatch.setattr(semconv, "REQUEST_BYTES_MAX", 300)
    taken = Taken(most=3)
    tally = Tally(taken)
    answer = tally.export(spans)
    assert (answer, tally.sent, tally.failed) == (SpanExportResult.SUCCESS, 10, 0)
    assert taken.names == [span.name for span in spans]


def test_a_small_request_that_fails_is_not_tried_again() -> None:
    tally = Tally(Taken(most=3))
    assert tally.export(ended(4)) is SpanExportResult.FAILURE
    assert (tally.sent, tally.failed) == (0, 4)


def test_labels_that_find_no_room_are_not_sent_and_flush_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "4")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    taken = Taken()
    restore = providers.divert(None, lambda: taken)
    monkeypatch.setattr(delivery.Tally, "has_room", lambda tally: len(kept) < 4)
    kept: list[str] = []
    for _ in range(6):
        if (label_id := inferspan.label("a", 1, model="m")) is not None:
            kept.append(label_id)
    assert len(kept) == 4
    assert "4 labels wait for export, so more are not sent" in caplog.text
    assert not inferspan.flush()
    assert inferspan.flush()
    assert len(taken.names) == 4
    restore()


@pytest.mark.parametrize(
    "timeout", [math.inf, -math.inf, math.nan, 1e12, 10**400, None, "5", "soon", -1]
)
def test_no_timeout_makes_flush_raise(
    timeout: object, contained_errors: list[BaseException]
) -> None:
    assert inferspan.flush(timeout) in (True, False)  # type: ignore[arg-type]
    contained_errors.clear()


def test_a_limit_of_the_environment_does_not_cut_ids() -> None:
    with receiver() as server:
        run(
            SCORE
            + f"""
inferspan.configure(endpoint={server.url!r})
score("order-17-of-the-eastern-warehouse")
inferspan.label("order-17-of-the-eastern-warehouse", "legit", model="fraud")
""",
            OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="20",
        )
        for scope in (semconv.SCOPE_PREDICTIONS, semconv.SCOPE_LABELS):
            ((_, span),) = server.spans(scope)
            told = attributes_of(span)[semconv.PREDICTION_ID]
            assert told == "order-17-of-the-eastern-warehouse"
