"""A server that gathers requests by itself: each is a prediction, their call a batch of all."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

import inferspan
from gathering_server import Doubling, Payload, Queue, Together
from inferspan import semconv
from inferspan.testing import CapturedSpans, capture_spans

from .gathering import told, waited

SIZE = 3


@pytest.fixture(autouse=True)
def _instrumented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As one of a distribution that is installed."""
    info = tmp_path / "gathering_server-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gathering-server\nVersion: 1.0\n")
    entry = "[inferspan_integration]\ngathering_server = gathering_server:INTEGRATION\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(tmp_path)
    inferspan.instrument("gathering_server", prediction_id="payload.key")
    yield
    inferspan.uninstrument()


def ask(queue: Queue, *payloads: Payload) -> list[Any]:
    """What everybody gets who asks at the same time."""

    async def main() -> list[Any]:
        return await asyncio.gather(*map(queue.answer, payloads), return_exceptions=True)

    return asyncio.run(main())


def payloads(*numbers: list[float]) -> list[Payload]:
    return [Payload(own, key=f"order-{n}") for n, own in enumerate(numbers)]


def test_a_batch_is_linked_to_all_its_requests(spans: CapturedSpans) -> None:
    queue = Queue(Doubling(), SIZE)
    assert ask(queue, *payloads([1.0], [2.0, 3.0], [4.0])) == [[2.0], [4.0, 6.0], [8.0]]
    calls = spans.predictions
    ids = [(call.attributes or {}).get(semconv.PREDICTION_ID) for call in calls]
    assert ids == ["order-0", "order-1", "order-2"]
    assert (calls[1].attributes or {})[semconv.OUTPUT_VALUES] == (4.0, 6.0)
    (batch,) = [span for span in spans if span not in calls]
    assert (batch.name, batch.parent) == ("batch doubling", None)
    assert [link.context for link in batch.links] == [call.context for call in calls]
    span_id = f"{batch.context.span_id:016x}"
    assert [told(call) for call in calls] == [(span_id, SIZE, n) for n in range(SIZE)]
    assert all(waited(call) is not None for call in calls)


def test_each_batch_has_its_own_requests(spans: CapturedSpans) -> None:
    queue = Queue(Doubling(), 2)
    assert ask(queue, *payloads([1.0], [2.0], [3.0], [4.0])) == [[2.0], [4.0], [6.0], [8.0]]
    batches = [span for span in spans if span.name == "batch doubling"]
    linked = [[link.context for link in batch.links] for batch in batches]
    calls = [call.context for call in spans.predictions]
    assert linked == [calls[:2], calls[2:]]


def test_what_is_called_for_a_batch_is_told_so(spans: CapturedSpans) -> None:
    queue = Queue(Doubling(), 2)
    ask(queue, *payloads([1.0], [2.0]))
    (seen,) = queue.model.seen
    (batch,) = [span for span in spans if span.name == "batch doubling"]
    assert seen.headers["inferspan-prediction"] == "batch:doubling"
    assert seen.headers["traceparent"].split("-")[2] == f"{batch.context.span_id:016x}"


def test_a_model_that_fails_has_failed_all_requests(spans: CapturedSpans) -> None:
    answers = ask(Queue(Doubling(), 2), *payloads([1.0], [-1.0]))
    assert [str(answer) for answer in answers] == ["below nothing"] * 2
    assert [(s.attributes or {})[semconv.ERROR_TYPE] for s in spans] == ["ValueError"] * 3


def test_a_request_that_was_given_up_is_linked_all_the_same(spans: CapturedSpans) -> None:
    async def main() -> list[float]:
        queue, (first, second) = Queue(Doubling(), 2), payloads([1.0], [2.0])
        leaving = asyncio.create_task(queue.answer(first))
        await asyncio.sleep(0)
        leaving.cancel()
        return await queue.answer(second)

    assert asyncio.run(main()) == [4.0]
    (batch,) = [span for span in spans if span.name == "batch doubling"]
    assert {link.context.span_id for link in batch.links} == {
        call.context.span_id for call in spans.predictions
    }


def test_requests_that_are_not_sampled_leave_records() -> None:
    with capture_spans(sampler=ALWAYS_OFF) as unsampled:
        assert ask(Queue(Doubling(), 2), *payloads([1.0], [2.0])) == [[2.0], [4.0]]
        (record,) = unsampled.records
    assert list(unsampled.predictions) == []
    assert list((record.attributes or {})[semconv.RECORD_IDS]) == ["order-0", "order-1"]  # type: ignore[call-overload]


def test_a_model_that_is_called_for_nobody_else_predicts(spans: CapturedSpans) -> None:
    model = Doubling()
    assert asyncio.run(model.predict(Payload([1.0], key="order-9"))) == [2.0]
    (span,) = spans
    assert (span.attributes or {})[semconv.PREDICTION_ID] == "order-9"


def test_within_a_prediction_a_request_is_a_stage_of_it(spans: CapturedSpans) -> None:
    @inferspan.predict(model="service", task="regression")
    async def predict(n: float) -> float:
        return (await queue.answer(Payload([n])))[0]

    async def main() -> list[float]:
        return await asyncio.gather(predict(1.0), predict(2.0))

    queue = Queue(Doubling(), 2)
    assert asyncio.run(main()) == [2.0, 4.0]
    assert [(s.attributes or {})[semconv.MODEL_NAME] for s in spans.predictions] == ["service"] * 2
    (batch,) = [span for span in spans if span.name == "batch service"]
    assert {link.context.span_id for link in batch.links} == {
        call.context.span_id for call in spans.predictions
    }


def test_what_was_answered_is_forgotten(spans: CapturedSpans) -> None:
    asked = payloads([1.0], [2.0])
    queue = Queue(Doubling(), 2)
    ask(queue, *asked)
    kept = [weakref.ref(one) for one in (*asked, *queue.model.seen)]
    asked.clear()
    queue.model.seen.clear()
    gc.collect()
    assert [reference() for reference in kept] == [None] * 3


def test_methods_are_bound_and_called_as_before_and_put_back(spans: CapturedSpans) -> None:
    replaced = [vars(Doubling)["predict"], vars(Queue)["answer"], vars(Together)["__init__"]]
    bound = Doubling().predict
    # A server that looks for the method's object through what wraps it finds it.
    assert not hasattr(bound, "__wrapped__")
    assert list(inspect.signature(bound).parameters) == ["payload"]
    inferspan.uninstrument("gathering_server")
    put_back = [vars(Doubling)["predict"], vars(Queue)["answer"], vars(Together)["__init__"]]
    assert [one for one in put_back if one in replaced or hasattr(one, "__wrapped__")] == []
    assert ask(Queue(Doubling(), 1), Payload([1.0])) == [[2.0]]
    assert list(spans) == []
