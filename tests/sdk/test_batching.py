"""Requests that a server gathers: one span for their batch, and each knows where it stood."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    SamplingResult,
    StaticSampler,
)
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import providers, semconv
from inferspan.testing import CapturedSpans, ManualClock, capture_spans

from .gathering import (
    Reference,
    by_arrival,
    hex_id,
    linked,
    many,
    requests,
    told,
    waited,
)


def test_a_batch_is_linked_to_its_requests_and_they_know_it(spans: CapturedSpans) -> None:
    with requests(3) as references, inferspan.batch(references):
        pass
    (batch,) = spans.batches
    answered = by_arrival(spans)
    assert batch.name == "batch fraud"
    assert batch.parent is None
    assert dict(batch.attributes or {}) == {
        semconv.STAGE_NAME: "batch",
        semconv.BATCH_SIZE: 3,
    }
    assert batch.instrumentation_scope is not None
    assert batch.instrumentation_scope.name == semconv.SCOPE_PREDICTIONS
    assert linked([batch]) == [(s.context.trace_id, s.context.span_id) for s in answered]
    assert [told(span) for span in answered] == [(hex_id(batch), 3, k) for k in range(3)]


def test_the_wait_is_from_the_reference_to_the_beginning_of_the_batch() -> None:
    clock = ManualClock(step_ns=0)
    with capture_spans(clock=clock) as spans, requests(1) as references:
        clock.advance(1.5)
        with inferspan.batch(references):
            clock.advance(4.0)
    (request,) = spans.predictions
    assert waited(request) == 1.5


def test_a_clock_that_was_set_back_makes_no_negative_wait() -> None:
    clock = ManualClock(step_ns=0)
    with capture_spans(clock=clock) as spans, requests(1) as references:
        clock.advance(-10.0)
        with inferspan.batch(references):
            pass
    assert waited(spans.predictions[0]) == 0.0


def test_a_server_that_gathers_in_a_task(spans: CapturedSpans) -> None:
    waiting: list[tuple[float, asyncio.Future[float], Reference]] = []
    full = asyncio.Event()

    @inferspan.predict(model="fraud", task="regression")
    async def handle(x: float) -> float:
        future = asyncio.get_running_loop().create_future()
        waiting.append((x, future, inferspan.current_prediction()))
        if len(waiting) == 4:
            full.set()
        return await future

    async def gather() -> None:
        await full.wait()
        with inferspan.batch([reference for _, _, reference in waiting], model="fraud"):
            assert inferspan.current_prediction() is None
            await asyncio.sleep(0)
            answers = [2 * x for x, _, _ in waiting]
        for (_, future, _), answer in zip(waiting, answers, strict=True):
            future.set_result(answer)

    async def serve() -> list[float]:
        gatherer = asyncio.create_task(gather())
        answers = await asyncio.gather(*(handle(float(x)) for x in range(4)))
        await gatherer
        return answers

    assert asyncio.run(serve()) == [0.0, 2.0, 4.0, 6.0]
    (batch,) = spans.batches
    assert {told(span) for span in spans.predictions} == {(hex_id(batch), 4, k) for k in range(4)}


def test_a_batch_that_raises_is_an_error_and_lets_the_error_pass(spans: CapturedSpans) -> None:
    error = ValueError("secret")
    with requests(2) as references:
        with pytest.raises(ValueError, match="secret") as caught, inferspan.batch(references):
            raise error
        assert caught.value is error
        assert error.__context__ is None
    (batch,) = spans.batches
    assert batch.status.status_code is StatusCode.ERROR
    assert batch.status.description is None
    assert (batch.attributes or {})[semconv.ERROR_TYPE] == "ValueError"
    assert [told(span)[1] for span in spans.predictions] == [2, 2]


@pytest.mark.parametrize(
    ("policies", "redact", "described"),
    [
        (("values", "values"), None, True),
        (("values", "shapes"), None, False),
        (("values", "values"), ["*card*"], False),
        (("values", "afar"), None, False),
    ],
    ids=["all-let-it-out", "one-does-not", "one-redacts", "one-is-unknown"],
)
def test_a_message_goes_along_where_every_request_lets_it(
    spans: CapturedSpans, policies: tuple[str, ...], redact: list[str] | None, described: bool
) -> None:
    with ExitStack() as stack:
        references = [
            reference
            for policy in policies
            if policy != "afar"
            for reference in stack.enter_context(requests(1, capture=policy, redact=redact))
        ]
        references += many(policies.count("afar"))
        with pytest.raises(ValueError, match="secret"), inferspan.batch(references):
            raise ValueError("secret")
    assert (spans.batches[0].status.description == "secret") is described


@pytest.mark.parametrize(
    ("policies", "shown"),
    [
        (("values", "none"), None),
        (("shapes", "values"), "statistics"),
        (("values",), "values"),
        (("values", "untraced"), "statistics"),
        (("untraced",), "statistics"),
        ((), "statistics"),
        (("values", "afar"), None),
    ],
    ids=["none", "shapes", "values", "with-untraced", "untraced", "nobody", "from-afar"],
)
def test_a_snapshot_in_a_batch_shows_what_every_request_allows(
    spans: CapturedSpans, policies: tuple[str, ...], shown: str | None
) -> None:
    with ExitStack() as stack:
        references = [
            reference
            for policy in policies
            if policy in semconv.CAPTURE_POLICIES
            for reference in stack.enter_context(requests(1, capture=policy))
        ]
        references += [None] * policies.count("untraced") + many(policies.count("afar"))
        with inferspan.batch(references, model="fraud"), inferspan.stage("stack"):
            inferspan.snapshot("rows", np.arange(100.0))
    (stage,) = spans.stages
    assert stage.name == "stack fraud"
    assert stage.parent is not None
    assert stage.parent.span_id == spans.batches[0].context.span_id
    found = None
    for event in stage.events:
        packed = "inferspan.state." + semconv.TENSOR_DATA in (event.attributes or {})
        found = "values" if packed else "statistics"
    assert found == shown


def test_a_snapshot_in_a_batch_is_redacted_as_its_requests_are(spans: CapturedSpans) -> None:
    def mask(name: str, value: object) -> object:
        return [0.0] if name == "amounts" else value

    with (
        requests(1, redact=["*card*"]) as first,
        requests(1, redact=mask) as second,
        inferspan.batch(first + second),
    ):
        inferspan.snapshot("cards", [4111.0])
        inferspan.snapshot("amounts", [7.0])
        inferspan.snapshot("ages", [40.0])
    means = [(e.attributes or {}).get(semconv.STATE_MEAN) for e in spans.batches[0].events]
    assert means == [None, 0.0, 40.0]


def test_a_request_that_is_over_keeps_its_redaction(spans: CapturedSpans) -> None:
    with requests(1, redact=["*card*"]) as references:
        pass
    with inferspan.batch(references):
        inferspan.snapshot("cards", [4111.0])
    (event,) = spans.batches[0].events
    assert dict(event.attributes or {}) == {semconv.STATE_NAME: "cards"}


def test_a_model_inside_a_batch_is_a_prediction_of_its_own(spans: CapturedSpans) -> None:
    @inferspan.predict(model="inner", task="regression")
    def model() -> float:
        reference = inferspan.current_prediction()
        assert reference is not None
        assert reference.model == "inner"
        return 1.0

    with requests(1) as references, inferspan.batch(references):
        model()
        assert inferspan.current_prediction() is None
    request, inner = sorted(spans.predictions, key=lambda span: span.name)
    assert inner.parent is not None
    assert inner.parent.span_id == spans.batches[0].context.span_id
    assert told(inner) == (None, None, None)
    assert told(request) == (hex_id(spans.batches[0]), 1, 0)


# --- sampling, and what goes wrong ---------------------------------------------------------------


class NoBatches(StaticSampler):
    def should_sample(
        self, parent_context: Context | None, trace_id: int, name: str, *args: Any, **kwargs: Any
    ) -> SamplingResult:
        sampler = ALWAYS_OFF if name.startswith("batch") else ALWAYS_ON
        return sampler.should_sample(parent_context, trace_id, name, *args, **kwargs)


def test_a_batch_that_is_not_sampled_has_no_id_to_tell() -> None:
    with capture_spans(sampler=NoBatches(Decision.DROP)) as spans:
        with requests(1) as references, inferspan.batch(references):
            inferspan.snapshot("rows", [1.0])
        (request,) = spans
        assert told(request) == (None, 1, 0)


def test_no_tracer_no_batch_and_no_harm(contained_errors: list[BaseException]) -> None:
    class Broken(trace.NoOpTracerProvider):
        def get_tracer(self, *args: object, **kwargs: object) -> trace.Tracer:
            raise RuntimeError("no tracer")

    ran = False
    restore = providers.divert(Broken(), None)
    try:
        with inferspan.batch(many(1)):
            ran = True
    finally:
        restore()
    assert ran
    assert [str(error) for error in contained_errors] == ["no tracer"]
    contained_errors.clear()
