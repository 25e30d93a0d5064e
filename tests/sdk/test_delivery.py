"""What becomes of spans on their way out is counted; what nobody takes waits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

import inferspan
from inferspan import providers, semconv, span_queue
from inferspan.answers import Answer
from inferspan.containment import ErrorLog
from inferspan.delivery import delivery_counts
from inferspan.leaving import leave
from inferspan.span_queue import QUEUE_SPANS_MAX, SpanQueue

from .queueing import Queues, Scripted, ended, names, put
from .receiving import attributes_of, receiver
from .test_configure import SCORE, run


class Raising(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no such host")


def test_a_full_queue_pushes_out_the_oldest_and_counts_them(queue_of: Queues) -> None:
    exporter = Scripted()
    queue = queue_of(exporter, size=8, batch_size=4)
    spans = ended(20)
    exporter.release.clear()
    put(queue, spans[:4])
    assert exporter.asked.acquire(timeout=60)  # the first four are on their way
    put(queue, spans[4:16])
    assert not queue.has_room()
    assert queue.counts() == {
        "handed": 16,
        "sent": 0,
        "failed": 0,
        "pushed_out": 4,
        "waiting": 12,
    }
    exporter.release.set()
    assert queue.force_flush(60_000)
    assert exporter.names == names(spans[:4]) + names(spans[8:16])
    assert queue.has_room()
    assert (queue.lost_since_asked(), queue.lost_since_asked()) == (True, False)
    put(queue, spans[16:])
    assert queue.force_flush(60_000)
    assert (queue.sent, queue.lost_since_asked()) == (16, False)


def test_labels_have_room_until_the_queue_is_full(queue_of: Queues) -> None:
    queue = queue_of(Scripted(), size=3, batch_size=3)
    exporter = queue._exporter
    assert isinstance(exporter, Scripted)
    exporter.release.clear()
    for span in ended(3):
        assert queue.has_room()
        queue.on_end(span)
    assert not queue.has_room()


def test_what_nobody_takes_waits_for_another_try_in_its_order(queue_of: Queues) -> None:
    exporter = Scripted(Answer.TAKEN, Answer.LATER, Answer.LATER)
    queue = queue_of(exporter, batch_size=4)
    spans = ended(10)
    put(queue, spans)
    assert not queue.force_flush(60_000)
    assert not queue.force_flush(60_000)
    assert queue.force_flush(60_000)
    assert exporter.names == names(spans)
    assert (queue.sent, queue.failed, queue.unsettled) == (10, 0, 0)


def test_an_outage_costs_the_oldest_beyond_the_queue(queue_of: Queues) -> None:
    exporter = Scripted(*[Answer.LATER] * 2)
    queue = queue_of(exporter, size=6, batch_size=4)
    spans = ended(12)
    put(queue, spans[:3])
    assert not queue.force_flush(60_000)
    exporter.release.clear()
    queue.hurry()
    assert exporter.asked.acquire(timeout=60)
    assert exporter.asked.acquire(timeout=60)
    put(queue, spans[3:8])  # three are on their way, five wait
    exporter.release.set()
    assert queue.force_flush(60_000) or queue.force_flush(60_000)
    assert exporter.names == names(spans[2:8])
    assert (queue.sent, queue.pushed_out) == (6, 2)


def test_a_receiver_that_is_gone_is_not_asked_for_every_full_request(queue_of: Queues) -> None:
    exporter = Scripted(*[Answer.LATER] * 100)
    queue = queue_of(exporter, size=100, batch_size=2)
    put(queue, ended(2))
    assert exporter.asked.acquire(timeout=60)
    assert not queue.force_flush(60_000)
    asked = len(exporter.requests)
    put(queue, ended(50))
    assert not queue.force_flush(60_000)
    assert len(exporter.requests) == asked + 1


def test_what_is_refused_failed(queue_of: Queues) -> None:
    exporter = Scripted(Answer.REFUSED, None)
    queue = queue_of(exporter, batch_size=2)
    put(queue, ended(5))
    assert queue.force_flush(60_000)
    assert (queue.sent, queue.failed, queue.lost_since_asked()) == (1, 4, True)


def test_a_caller_that_waits_for_its_chunk_is_told_at_once(queue_of: Queues) -> None:
    queue = queue_of(Scripted(Answer.LATER), keeps=False)
    put(queue, ended(3))
    assert queue.force_flush(60_000)
    assert (queue.sent, queue.failed) == (0, 3)


def test_an_exporter_that_raises_loses_its_spans(
    queue_of: Queues, contained_errors: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    queue = queue_of(Raising())
    put(queue, ended(3))
    assert queue.force_flush(60_000)
    assert (queue.sent, queue.failed, queue.lost_since_asked()) == (0, 3, True)
    assert "no such host" in caplog.text
    contained_errors.clear()


@given(count=st.integers(1, 60), most=st.integers(1, 20))
def test_a_request_that_is_too_large_goes_in_parts(count: int, most: int) -> None:
    spans, exporter = ended(count), Scripted(most=most)
    queue = SpanQueue(exporter, delay=3600.0)
    put(queue, spans)
    assert queue.force_flush(60_000)
    assert exporter.names == names(spans)
    assert (queue.sent, queue.failed) == (count, 0)
    queue.shutdown()


def test_a_span_that_is_too_large_alone_fails_alone(
    queue_of: Queues, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_queue, "errors", ErrorLog())
    exporter = Scripted(Answer.TOO_LARGE, Answer.TOO_LARGE)
    queue = queue_of(exporter)
    spans = ended(2)
    put(queue, spans)
    assert queue.force_flush(60_000)
    assert (exporter.names, queue.failed) == (names(spans[1:]), 1)
    (line,) = caplog.messages
    assert "one span of the spans is larger than its receiver takes, and is lost; record" in line


def test_what_waits_behind_a_part_keeps_its_place(queue_of: Queues) -> None:
    exporter = Scripted(Answer.TOO_LARGE, Answer.TAKEN, Answer.LATER)
    queue = queue_of(exporter)
    spans = ended(8)
    put(queue, spans)
    assert not queue.force_flush(60_000)
    assert queue.force_flush(60_000)
    assert exporter.names == names(spans)
    assert exporter.requests == [8, 4, 4, 4]


def test_a_request_holds_no_more_rows_than_a_receiver_takes(queue_of: Queues) -> None:
    exporter = Scripted()
    queue = queue_of(exporter)
    put(queue, ended(5, rows=semconv.REQUEST_ROWS_MAX // 2))
    put(queue, [*ended(1, rows=semconv.REQUEST_ROWS_MAX + 1), *ended(3)])
    assert queue.force_flush(60_000)
    assert exporter.requests == [2, 2, 1, 1, 3]


def test_a_request_beyond_every_receiver_is_measured(
    queue_of: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(semconv, "REQUEST_BYTES_MAX", 300)
    exporter = Scripted(None)  # not sent at all: OpenTelemetry found it too large
    queue = queue_of(exporter)
    spans = ended(10)
    put(queue, spans)
    assert queue.force_flush(60_000)
    assert (exporter.names, exporter.requests) == (names(spans), [10, 5, 5])


def test_what_is_left_at_the_end_is_counted_and_said_once(
    queue_of: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    held, gone = Scripted(), Scripted(*[Answer.LATER] * 1000)
    held.release.clear()
    first, second = queue_of(held, what="predictions"), queue_of(gone, what="labels")
    put(first, ended(3))
    put(second, ended(1))
    assert leave([first, second], 0.05) == 4
    (line,) = [record.message for record in caplog.records]
    assert "lost 3 prediction spans and 1 label, not delivered within 0.05 s;" in line
    assert leave([first, second], 60) == 0
    for queue in (first, second):
        (late,) = ended(1)
        queue.on_end(late)
        counts = queue.counts()
        assert counts["failed"] == counts["handed"]
        assert not counts["waiting"]
    assert len(caplog.records) == 1


def test_the_end_sends_what_waits(queue_of: Queues) -> None:
    exporter = Scripted(Answer.LATER)
    queue = queue_of(exporter, batch_size=4)
    spans = ended(10)
    put(queue, spans)
    assert leave([queue], 60) == 0
    assert exporter.names == names(spans)


def test_spans_that_are_not_sampled_are_none_of_ours(queue_of: Queues) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    queue = queue_of(Scripted())
    provider = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(queue)
    provider.get_tracer("test").start_span("unseen").end()
    assert queue.handed == 0


def test_a_finalizer_may_end_a_span_while_its_thread_ends_one(queue_of: Queues) -> None:
    queue = queue_of(Scripted())
    (inner,) = ended(1)
    with queue._lock:
        queue.on_end(inner)
    assert queue.force_flush(60_000)
    assert queue.sent == 1


def test_labels_that_find_no_room_are_not_sent_and_flush_says_so() -> None:
    with receiver() as server:
        server.release.clear()
        done = run(
            f"""
import inferspan, urllib.request
inferspan.configure(endpoint={server.url!r})
print([inferspan.label("a", 1, model="m") is not None for _ in range(6)])
urllib.request.urlopen({server.url + "/release"!r})
print(inferspan.flush(60), inferspan.flush(60))
""",
            OTEL_BSP_MAX_QUEUE_SIZE="4",
        )
        assert len(server.spans(semconv.SCOPE_LABELS)) == 4
    assert done.stdout.splitlines() == [str([True] * 4 + [False] * 2), "False True"]
    assert "4 labels wait for export, so more are not sent" in done.stderr


@pytest.mark.parametrize("told", [None, "200", "0", "many"])
def test_the_queues_size_is_what_the_variable_says(
    monkeypatch: pytest.MonkeyPatch, told: str | None
) -> None:
    if told is not None:
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", told)
    held = Scripted()
    held.release.clear()
    restore = providers.divert(None, lambda: held)
    size = 200 if told == "200" else QUEUE_SPANS_MAX
    accepted = sum(inferspan.label("a", 1, model="m") is not None for _ in range(size + 1))
    held.release.set()
    restore()
    assert accepted == size


def test_what_became_of_everything_can_be_read() -> None:
    with receiver() as taking, receiver(status=400) as refusing:
        done = run(
            SCORE
            + f"""
import logging
from inferspan.containment import ErrorLog
from inferspan.delivery import delivery_counts
logging.disable()
assert delivery_counts() == {{}}
inferspan.configure(endpoint={taking.url!r})
score("a")
inferspan.label("a", 1, model="m")
assert inferspan.flush(30)
inferspan.configure(endpoint={refusing.url!r})
inferspan.label("b", 1, model="m")
assert not inferspan.flush(30)
print(delivery_counts())
"""
        )
    assert eval(done.stdout) == {
        "predictions": {"handed": 1, "sent": 1, "failed": 0, "pushed_out": 0, "waiting": 0},
        "labels": {"handed": 2, "sent": 1, "failed": 1, "pushed_out": 0, "waiting": 0},
    }
    assert isinstance(delivery_counts(), dict)


def test_a_receiver_that_takes_little_gets_little() -> None:
    with receiver() as server:
        server.body_bytes_max = 4_000
        run(
            f"""
import inferspan
inferspan.configure(endpoint={server.url!r})
for number in range(100):
    inferspan.label(str(number), 1, model="m")
assert inferspan.flush(30)
"""
        )
        assert len(server.spans(semconv.SCOPE_LABELS)) == 100
        assert len(server.requests) > 10


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
            assert attributes_of(span)[semconv.PREDICTION_ID].endswith("-eastern-warehouse")
