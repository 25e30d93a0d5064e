"""Streams whose consumer leaves before their end: closed, cancelled, or a block that was left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Generator, Iterator

import pytest
from opentelemetry.trace import StatusCode

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

predict = inferspan.predict(model="m", operation="generate")


def stays(spans: CapturedSpans) -> Generator[int, None, str]:
    try:
        yield 1
    except GeneratorExit:
        yield 2
    return "fraud"


def leaves(spans: CapturedSpans) -> Generator[int, None, str]:
    with contextlib.suppress(GeneratorExit):
        yield 1
    return "fraud"


def test_a_body_that_stays_is_completed_and_one_that_leaves_gave_no_answer(
    spans: CapturedSpans,
) -> None:
    traced = inferspan.predict(model="m", task="binary_classification")
    staying = traced(stays)(spans)
    assert [next(staying), staying.throw(GeneratorExit())] == [1, 2]
    assert list(staying) == []
    leaving = traced(leaves)(spans)
    next(leaving)
    leaving.close()
    stayed, left = [dict(span.attributes or {}) for span in spans]
    assert (stayed[semconv.STREAM_COMPLETED], stayed[semconv.OUTPUT_CLASS]) == (True, "fraud")
    assert left[semconv.STREAM_COMPLETED] is False
    assert semconv.OUTPUT_CLASS not in left


def test_an_exit_that_nobody_asked_for_is_an_error(spans: CapturedSpans) -> None:
    @predict
    def tokens() -> Iterator[int]:
        yield 1
        raise GeneratorExit

    with pytest.raises(GeneratorExit):
        list(tokens())
    assert spans[0].status.status_code is StatusCode.ERROR


def test_a_block_that_is_cancelled_leaves_its_context_manager(spans: CapturedSpans) -> None:
    caught: list[BaseException] = []

    async def model() -> AsyncIterator[str]:
        try:
            yield "loaded"
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async def outcome(function: Callable[[], AsyncIterator[str]]) -> tuple[object, ...]:
        async def block() -> None:
            async with contextlib.asynccontextmanager(function)():
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
        return (*raised.value.args, caught[-1].args, caught[-1].__context__, task.cancelled())

    assert asyncio.run(outcome(predict(model))) == asyncio.run(outcome(model))
    assert len(caught) == 2
    assert spans[0].status.status_code is not StatusCode.ERROR
    assert (spans[0].attributes or {})[semconv.STREAM_COMPLETED] is False
