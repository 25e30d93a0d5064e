"""Who may be in a batch: the traced and the untraced, those that are over, those from afar."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Callable

import pytest

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans, capture_spans

from .gathering import (
    Reference,
    by_arrival,
    hex_id,
    linked,
    requests,
    told,
)


def test_a_request_that_is_not_traced_has_a_place_and_no_link(spans: CapturedSpans) -> None:
    with requests(2) as (first, second), inferspan.batch([None, first, None, second]):
        pass
    (batch,) = spans.batches
    assert (batch.attributes or {})[semconv.BATCH_SIZE] == 4
    assert len(batch.links) == 2
    assert [told(span)[2] for span in by_arrival(spans)] == [1, 3]


def test_a_batch_of_nobody_knows_no_model(spans: CapturedSpans) -> None:
    with inferspan.batch([]):
        pass
    with inferspan.batch(iter([None]), model="fraud"):
        pass
    assert [(s.name, (s.attributes or {})[semconv.BATCH_SIZE]) for s in spans.batches] == [
        ("batch", 0),
        ("batch fraud", 1),
    ]


def test_a_request_that_was_cancelled_while_it_waited_is_linked(spans: CapturedSpans) -> None:
    references: list[Reference] = []

    @inferspan.predict(model="fraud", task="regression")
    async def handle() -> float:
        references.append(inferspan.current_prediction())
        return await asyncio.get_running_loop().create_future()

    async def serve() -> None:
        task = asyncio.create_task(handle())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with inferspan.batch(references):
            pass

    asyncio.run(serve())
    (request,) = spans.predictions
    assert told(request) == (None, None, None)
    assert linked(spans.batches) == [(request.context.trace_id, request.context.span_id)]


@pytest.mark.parametrize(
    "send",
    [
        lambda reference: pickle.loads(pickle.dumps(reference)),
        copy.deepcopy,
        lambda reference: inferspan.PredictionRef.from_token(reference.to_token()),
    ],
    ids=["pickled", "copied", "token"],
)
def test_a_reference_that_travelled_is_linked_only(
    spans: CapturedSpans, send: Callable[[Reference], Reference]
) -> None:
    with requests(1) as (reference,):
        travelled = send(reference)
        assert reference is not None
        assert travelled is not None
        assert (travelled.id, travelled.model) == (reference.id, reference.model)
        with inferspan.batch([travelled]):
            pass
    (request,) = spans.predictions
    assert told(request) == (None, None, None)
    assert linked(spans.batches) == [(request.context.trace_id, request.context.span_id)]


def test_when_a_reference_was_taken_is_no_part_of_what_it_is(spans: CapturedSpans) -> None:
    with requests(1) as (reference,):
        assert pickle.loads(pickle.dumps(reference)) == reference
        assert hash(pickle.loads(pickle.dumps(reference))) == hash(reference)
        assert "taken" not in repr(reference)


def test_a_reference_keeps_no_call_alive() -> None:
    references: list[Reference] = []

    class Large:
        pass

    @inferspan.predict(model="fraud", task="regression")
    def handle(x: object) -> float:
        references.append(inferspan.current_prediction())
        return 1.0

    with capture_spans():
        handle(Large())
    (reference,) = references
    assert reference is not None
    assert reference.taken is not None
    assert reference.taken.call() is None


def test_twice_in_one_batch_is_one_link_and_the_first_place(spans: CapturedSpans) -> None:
    with requests(2) as (first, second), inferspan.batch([first, second, first]):
        pass
    (batch,) = spans.batches
    assert (batch.attributes or {})[semconv.BATCH_SIZE] == 3
    assert len(batch.links) == 2
    assert [told(span)[2] for span in by_arrival(spans)] == [0, 1]


def test_in_two_batches_the_last_is_told_of(spans: CapturedSpans) -> None:
    with requests(1) as references:
        for _ in range(2):
            with inferspan.batch(references):
                pass
    assert told(spans.predictions[0])[0] == hex_id(spans.batches[1])


def test_what_is_no_reference_counts_as_untraced_and_is_said(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    class Gathered:
        pass

    with inferspan.batch([Gathered()]):  # type: ignore[list-item]
        pass
    assert (spans.batches[0].attributes or {})[semconv.BATCH_SIZE] == 1
    assert "Gathered, which counts as a request that is not traced" in caplog.text


def test_a_hook_without_a_hash_redacts(spans: CapturedSpans) -> None:
    class Mask:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, name: str, value: object) -> object:
            return [0.0]

    with requests(1, redact=Mask()) as references, inferspan.batch(references):
        inferspan.snapshot("amounts", [7.0])
    (event,) = spans.batches[0].events
    assert (event.attributes or {})[semconv.STATE_MEAN] == 0.0


def test_requests_are_what_current_prediction_answers() -> None:
    for wrong in (None, 5):
        with pytest.raises(TypeError, match="an iterable of what current_prediction"):
            inferspan.batch(wrong)  # type: ignore[arg-type]
    for name in ("", 5):
        with pytest.raises(ValueError, match="must be a text"):
            inferspan.batch([], model=name)  # type: ignore[arg-type]
