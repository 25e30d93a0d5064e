"""Whose child a batch is: of the work it is part of, never of one of its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import inferspan
from inferspan import providers
from inferspan.sampling import RatioSampler
from inferspan.testing import CapturedSpans, capture_spans

from .gathering import Reference, hex_id, parent_of, requests, told


def test_a_batch_is_a_child_of_the_work_it_is_part_of(spans: CapturedSpans) -> None:
    with requests(2) as references, inferspan.stage("nightly"), inferspan.batch(references):
        pass
    (stage,) = spans.stages
    assert parent_of(spans.batches[0]) == stage.context.span_id


def test_requests_of_one_trace_are_answered_in_it(spans: CapturedSpans) -> None:
    references: list[Reference] = []

    @inferspan.predict(model="fraud", task="regression")
    async def part(barrier: asyncio.Barrier) -> float:
        references.append(inferspan.current_prediction())
        await barrier.wait()
        await barrier.wait()
        return 1.0

    async def fan_out() -> None:
        barrier = asyncio.Barrier(3)
        with inferspan.stage("handler"):
            parts = [asyncio.create_task(part(barrier)) for _ in range(2)]
            await barrier.wait()
            with inferspan.batch(references):
                pass
            await barrier.wait()
            await asyncio.gather(*parts)

    asyncio.run(fan_out())
    (handler,) = spans.stages
    assert parent_of(spans.batches[0]) == handler.context.span_id
    assert [told(span)[1] for span in spans.predictions] == [2, 2]


def test_a_batch_is_no_child_of_the_request_that_leads_it(spans: CapturedSpans) -> None:
    @inferspan.predict(model="fraud", task="regression")
    def lead() -> float:
        own = inferspan.current_prediction()
        with inferspan.stage("lead"), inferspan.batch([own]):
            inferspan.snapshot("rows", [1.0])
        assert inferspan.current_prediction() == own
        return 1.0

    lead()
    (batch,) = spans.batches
    assert batch.parent is None
    assert len(batch.events) == 1
    assert told(spans.predictions[0]) == (hex_id(batch), 1, 0)


def test_a_gatherer_that_the_first_request_started_serves_no_trace_alone(
    spans: CapturedSpans,
) -> None:
    waiting: list[tuple[asyncio.Future[float], Reference]] = []
    gatherers: list[asyncio.Task[None]] = []

    async def gather(rounds: int) -> None:
        for _ in range(rounds):
            while len(waiting) < 2:
                await asyncio.sleep(0)
            with inferspan.batch([reference for _, reference in waiting]):
                pass
            for future, _ in waiting:
                future.set_result(1.0)
            waiting.clear()

    @inferspan.predict(model="fraud", task="regression")
    async def handle() -> float:
        future = asyncio.get_running_loop().create_future()
        waiting.append((future, inferspan.current_prediction()))
        if not gatherers:
            gatherers.append(asyncio.create_task(gather(2)))
        return await future

    async def front() -> None:
        # As a web framework's instrumentation does: its span ends with the request.
        with inferspan.stage("GET /"):
            await handle()

    async def serve() -> None:
        for _ in range(2):
            await asyncio.gather(front(), front())
        await gatherers[0]

    asyncio.run(serve())
    assert [batch.parent for batch in spans.batches] == [None, None]


def served(rounds: int, gatherer_in: str, spans: CapturedSpans) -> list[ReadableSpan]:
    """Batches of a gatherer that the first request starts: in its handler, or its prediction."""
    waiting: list[tuple[asyncio.Future[float], Reference]] = []
    gatherers: list[asyncio.Task[None]] = []

    async def gather() -> None:
        with inferspan.stage("gatherer"):  # its own span, which runs on and on
            for _ in range(rounds):
                while len(waiting) < 2:
                    await asyncio.sleep(0)
                with inferspan.batch([reference for _, reference in waiting]):
                    pass
                for future, _ in waiting:
                    future.set_result(1.0)
                waiting.clear()

    def start(where: str) -> None:
        if not gatherers and where == gatherer_in:
            gatherers.append(asyncio.create_task(gather()))

    @inferspan.predict(model="fraud", task="regression")
    async def handle() -> float:
        future = asyncio.get_running_loop().create_future()
        waiting.append((future, inferspan.current_prediction()))
        start("prediction")
        return await future

    async def front() -> None:
        with inferspan.stage("GET /"):
            start("handler")
            await handle()

    async def serve() -> None:
        for _ in range(rounds):
            await asyncio.gather(front(), front())
        await gatherers[0]

    asyncio.run(serve())
    return spans.batches


def test_a_gatherer_with_a_span_of_its_own_in_the_first_requests_trace(
    spans: CapturedSpans,
) -> None:
    assert [batch.parent for batch in served(2, "prediction", spans)] == [None, None]


def test_a_handler_that_still_runs_is_the_parent_of_no_batch_for_others_too(
    spans: CapturedSpans,
) -> None:
    assert [batch.parent for batch in served(1, "handler", spans)] == [None]


def test_an_ended_span_is_nobodys_parent(spans: CapturedSpans) -> None:
    tracer = providers.prediction_tracer()
    handler = tracer.start_span("GET /")
    with trace.use_span(handler, end_on_exit=False):
        handler.end()
        with requests(1) as references, inferspan.batch(references):
            pass
    assert spans.batches[0].parent is None


# --- and whether it is sampled -------------------------------------------------------------------


@contextmanager
def caller(sampled: bool) -> Iterator[trace.SpanContext]:
    """The request comes from a service that has decided about its trace."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else 0)
    remote = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=flags)
    with trace.use_span(trace.NonRecordingSpan(remote)):
        yield remote


def answered(sampled_requests: list[bool], spans: CapturedSpans) -> list[ReadableSpan]:
    """Answers requests of sampled and of other traces in one batch."""
    with ExitStack() as stack:
        references: list[Reference] = []
        for sampled in sampled_requests:
            with caller(sampled):
                references += stack.enter_context(requests(1))
        with inferspan.batch(references):
            pass
    return spans.batches


@pytest.mark.parametrize(
    ("sampled_requests", "batches"),
    [([False, False], 0), ([False, True], 1), ([True], 1)],
    ids=["none", "one", "all"],
)
def test_under_our_sampler_a_batch_is_sampled_with_any_of_its_requests(
    sampled_requests: list[bool], batches: int
) -> None:
    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        assert len(answered(sampled_requests, spans)) == batches
        assert len(spans.predictions) == sum(sampled_requests)
    for request in spans.predictions:
        assert told(request)[0] == hex_id(spans.batches[0])


def test_a_batch_that_is_sampled_has_no_parent_that_is_not() -> None:
    with capture_spans(sampler=RatioSampler(1.0)) as spans, requests(1) as references:
        with caller(sampled=False), inferspan.batch(references):
            pass
        (batch,) = spans.batches
        assert batch.parent is None


def test_what_runs_in_a_batch_is_sampled_on_its_own_merits() -> None:
    with capture_spans(sampler=RatioSampler(0.0)) as spans:
        with caller(sampled=True) as remote:
            reference = inferspan.PredictionRef("p", "fraud", None, remote)
        with inferspan.batch([reference]):
            in_the_batch = context_api.get_current()
        elsewhere = trace.set_span_in_context(trace.INVALID_SPAN, in_the_batch)
        tracer = providers.prediction_tracer()
        assert not tracer.start_span("another trace", elsewhere).is_recording()
    assert len(spans.batches) == 1
