"""A prediction goes on in another thread or process, or on the other side of a queue."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context

import inferspan
from inferspan import semconv
from inferspan.containment import errors
from inferspan.propagation import PREDICTION_HEADER, carry, extract, inject
from inferspan.testing import CapturedSpans

# By its full name, which the processes of a pool find.
from sdk.workers import configured, step, step_elsewhere

from .receiving import receiver
from .sending import inside, kafka


def far_away(carrier: Any) -> None:
    """What the other side does: in a thread of its own, so nothing comes along but the carrier."""

    def work() -> None:
        with extract(carrier), inferspan.stage("rules"):
            reference = inferspan.current_prediction()
            assert reference is not None
            reference.label(2.0)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


SHAPES: dict[str, Callable[[], Any]] = {
    "dict": inject,
    "given-dict": lambda: inject({"content-type": "text/plain"}),
    "kafka-list": lambda: inject([("content-type", b"text/plain")]),
    "asgi-list": lambda: inject([(b"content-type", b"text/plain")]),
    "dict-of-bytes": lambda: dict(kafka(inject())),
    "tuple-of-pairs": lambda: tuple(kafka(inject())),
    "title-case": lambda: {name.title(): value for name, value in inject().items()},
    "several-values": lambda: {name: [value] for name, value in inject().items()},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prediction_goes_on_at_the_other_end_of_a_carrier(
    spans: CapturedSpans, shape: str
) -> None:
    far_away(inside(SHAPES[shape]))
    (prediction,), (stage,), (label,) = spans.predictions, spans.stages, spans.labels
    assert stage.name == "rules fraud"
    assert stage.context.trace_id == prediction.context.trace_id
    assert stage.parent is not None
    assert stage.parent.span_id == prediction.context.span_id
    assert (label.attributes or {})[semconv.PREDICTION_ID] == "order-17"
    assert (label.attributes or {})[semconv.MODEL_NAME] == "fraud"
    assert [link.context.span_id for link in label.links] == [prediction.context.span_id]


def test_pairs_are_written_as_their_clients_want_them(spans: CapturedSpans) -> None:
    kafka_pairs, asgi_pairs = inside(SHAPES["kafka-list"]), inside(SHAPES["asgi-list"])
    assert {(type(name), type(value)) for name, value in kafka_pairs} == {(str, bytes)}
    assert {(type(name), type(value)) for name, value in asgi_pairs} == {(bytes, bytes)}


def test_what_arrives_is_what_was_sent(spans: CapturedSpans) -> None:
    def send() -> tuple[inferspan.PredictionRef | None, dict[str, str]]:
        return inferspan.current_prediction(), inject()

    sent, headers = inside(send)
    with extract(headers):
        arrived = inferspan.current_prediction()
    assert arrived is not None
    assert (arrived.id, arrived.model, arrived.version) == ("order-17", "fraud", "7")
    assert arrived.traceparent == sent.traceparent == headers["traceparent"]
    assert inferspan.current_prediction() is None


def test_an_id_travels_keyed(spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERSPAN_ID_KEY", "secret")
    key = b"secret"
    headers = inside(inject, order="alice@example.org")
    keyed = semconv.prediction_id_text("alice@example.org", key)
    with extract(headers):
        arrived = inferspan.current_prediction()
    assert arrived is not None
    assert arrived.id == keyed
    far_away(headers)
    (prediction,), (label,) = spans.predictions, spans.labels
    # Keyed once: both sides name the same prediction.
    assert (prediction.attributes or {})[semconv.PREDICTION_ID] == keyed
    assert (label.attributes or {})[semconv.PREDICTION_ID] == keyed


def test_an_id_goes_only_where_it_is_injected(spans: CapturedSpans) -> None:
    def call_somebody() -> dict[str, str]:
        headers: dict[str, str] = {}
        propagate.inject(headers)  # as every instrumented client does
        return headers

    assert set(inside(call_somebody)) == {"traceparent"}
    with extract(inside(inject)):
        assert set(call_somebody()) == {"traceparent"}
        assert baggage.get_all() == {}


def test_a_second_hop_carries_the_same_prediction(spans: CapturedSpans) -> None:
    def forward(headers: dict[str, str]) -> dict[str, str]:
        with extract(headers), inferspan.stage("first"):
            return inject()

    far_away(forward(inside(inject)))
    first, second = spans.stages
    assert second.parent is not None
    assert second.parent.span_id == first.context.span_id
    assert spans.labels[0].links[0].context.span_id == spans.predictions[0].context.span_id


def test_baggage_travels(spans: CapturedSpans) -> None:
    token = context.attach(baggage.set_baggage("tenant", "a"))
    try:
        headers = inside(inject)
    finally:
        context.detach(token)
    with extract(headers):
        assert baggage.get_baggage("tenant") == "a"


def test_a_reference_taken_earlier_is_sent_from_elsewhere(spans: CapturedSpans) -> None:
    reference = inside(inferspan.current_prediction)
    with inferspan.stage("dispatcher"):
        far_away(inject(prediction=reference))
    rules = next(span for span in spans.stages if span.name == "rules fraud")
    assert rules.parent is not None
    assert rules.parent.span_id == spans.predictions[0].context.span_id


def test_a_step_that_sends_is_the_parent(spans: CapturedSpans) -> None:
    def send() -> dict[str, str]:
        reference = inferspan.current_prediction()
        with inferspan.stage("send"):
            return inject(prediction=reference)

    far_away(inside(send))
    send_stage, rules = spans.stages
    assert rules.parent is not None
    assert rules.parent.span_id == send_stage.context.span_id


def test_a_span_that_goes_on_with_the_trace_stays_the_parent(spans: CapturedSpans) -> None:
    headers = inside(inject)
    # As an instrumentation of the queue does, before the handler sees the message.
    instrumented = extract({"traceparent": headers["traceparent"]})
    with instrumented, inferspan.stage("receive"), extract(headers), inferspan.stage("rules"):
        assert inferspan.current_prediction() is not None
    rules, receive = spans.stages
    assert rules.parent is not None
    assert rules.parent.span_id == receive.context.span_id


def test_what_a_carrier_lacks_stays_as_it_is(spans: CapturedSpans) -> None:
    with inferspan.stage("consumer"), extract({}), inferspan.stage("rules"):
        assert inferspan.current_prediction() is None
    rules, consumer = spans.stages
    assert rules.parent is not None
    assert rules.parent.span_id == consumer.context.span_id


def test_a_plain_context_is_one_of_opentelemetry(spans: CapturedSpans) -> None:
    extracted = extract(inside(inject))
    assert isinstance(extracted, Context)
    token = context.attach(extracted)
    assert inferspan.current_prediction() is not None
    context.detach(token)
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_one_extracted_context_may_be_shared(spans: CapturedSpans) -> None:
    extracted = extract(inside(inject))

    async def step(entered: asyncio.Event, leave: asyncio.Event) -> None:
        before = context.get_current()
        with extracted, extracted:
            entered.set()
            await leave.wait()
        assert context.get_current() == before

    async def crossed() -> None:
        first_in, second_in, second_out = asyncio.Event(), asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(step(first_in, second_in))
        await first_in.wait()
        second = asyncio.create_task(step(second_in, second_out))
        await first
        second_out.set()
        await second

    asyncio.run(crossed())


def test_a_snapshot_of_a_carried_prediction_is_not_taken(spans: CapturedSpans) -> None:
    with extract(inside(inject)), inferspan.stage("rules"):
        inferspan.snapshot("cards", [4111.0])
    assert spans.stages[0].events == ()


def test_injecting_again_replaces(spans: CapturedSpans) -> None:
    old, new = inside(inject, "old"), inside(inject, "new")
    pairs: list[tuple[str, bytes]] = [("Inferspan-Prediction", b"x"), *kafka(old), ("a", b"1")]
    inside(lambda: inject(pairs), "newest")
    names = [name.lower() for name, _ in pairs]
    assert len(names) == len(set(names)) == 3
    with extract([*kafka(old), *kafka(new)]):
        reference = inferspan.current_prediction()
    assert reference is not None
    assert reference.id == "new"


def test_outside_of_a_prediction_only_the_trace_travels(spans: CapturedSpans) -> None:
    assert inject() == {}
    with inferspan.stage("nightly"):
        assert set(inject()) == {"traceparent"}


@pytest.mark.parametrize("model", ["fraud", "Betrüger / 7"])
def test_a_batch_goes_on_at_the_other_end(spans: CapturedSpans, model: str) -> None:
    of_one = inside(inject)
    with inferspan.batch([None], model=model):
        headers = inject(of_one)

    def work() -> dict[str, str]:
        with extract(headers), inferspan.stage("rules"):
            assert inferspan.current_prediction() is None
            return inject()

    with ThreadPoolExecutor(1) as pool:
        again = pool.submit(work).result()
    assert again[PREDICTION_HEADER] == headers[PREDICTION_HEADER]
    (batch,) = [span for span in spans if span.name.startswith("batch")]
    (stage,) = [span for span in spans if span.name.startswith("rules")]
    assert stage.name == f"rules {model}"
    assert stage.parent is not None
    assert stage.parent.span_id == batch.context.span_id


def test_a_task_that_outlives_its_prediction_carries_none(spans: CapturedSpans) -> None:
    kept = inside(contextvars.copy_context)
    assert set(kept.run(inject)) == {"traceparent"}


# --- threads and processes -----------------------------------------------------------------------


def test_a_thread_pool_runs_in_the_callers_context(spans: CapturedSpans) -> None:
    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    together = threading.Barrier(2)

    def work(_: int) -> str:
        together.wait()  # both are inside at the same time
        assert tenant.get() == "a"
        return step() or ""

    def send() -> list[str]:
        tenant.set("a")
        with ThreadPoolExecutor(2) as pool:
            assert pool.submit(step).result() is None
            return list(pool.map(carry(work), range(2)))

    assert contextvars.copy_context().run(inside, send) == ["order-17", "order-17"]
    alone, *carried = spans.stages
    assert alone.parent is None
    assert {s.parent.span_id if s.parent else None for s in carried} == {
        spans.predictions[0].context.span_id
    }


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_pool_goes_on_with_the_prediction(spans: CapturedSpans, method: str) -> None:
    def send() -> Any:
        with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
            return pool.submit(carry(step_elsewhere)).result()

    assert inside(send) == ("order-17", "work fraud", spans.predictions[0].context.span_id)


def test_a_worker_that_ends_sends_what_waits(spans: CapturedSpans) -> None:
    context = multiprocessing.get_context("spawn")

    def send(url: str) -> str | None:
        with ProcessPoolExecutor(1, context, configured, (url,)) as pool:
            return pool.submit(carry(step)).result()

    with receiver() as server:
        assert inside(lambda: send(server.url)) == "order-17"
        ((resource, span),) = server.spans(semconv.SCOPE_PREDICTIONS)
    assert resource[semconv.SERVICE_NAME] == "worker"
    assert int.from_bytes(span.parent_span_id) == spans.predictions[0].context.span_id


def test_a_carried_function_may_be_sent_on_after_the_call(spans: CapturedSpans) -> None:
    carried = inside(lambda: carry(step))
    for _ in range(2):
        carried = pickle.loads(pickle.dumps(carried))
        assert carried() == "order-17"


def test_what_a_carried_function_raises_passes(spans: CapturedSpans) -> None:
    error = ValueError("yours")

    def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="yours") as caught:
        inside(lambda: carry(fail))()
    assert caught.value is error


def test_a_header_that_is_too_long_is_passed_over_and_counted() -> None:
    before = errors.counts().get("prediction header", 0)
    with extract({PREDICTION_HEADER: "x" * 9_000}):
        assert inferspan.current_prediction() is None
    assert errors.counts()["prediction header"] == before + 1


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    def dependency() -> Iterator[None]:
        with extract(CARRIED):
            yield

    running = dependency()
    contextvars.copy_context().run(next, running)
    contextvars.copy_context().run(next, running, None)
    assert inferspan.current_prediction() is None


CARRIED = {"traceparent": "00-00000000000000000000000000000007-0000000000000005-01"}
