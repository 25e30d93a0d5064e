"""Async generators under timeouts, cancel scopes and cancelled consumers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import anyio
import pytest

from sdk.conformance.adapter import Captured, Wrap


async def stops_asyncio_timeout() -> AsyncIterator[str]:
    yield "before"
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        yield "timed out"


async def spans_a_timeout_over_items() -> AsyncIterator[str]:
    async with asyncio.timeout(60) as timeout:
        yield "before"
        timeout.reschedule(0)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "cancelled"
            raise


async def stops_anyio_scope() -> AsyncIterator[str]:
    with anyio.move_on_after(0) as scope:
        yield "before"
        await anyio.sleep_forever()
    yield f"cancelled {scope.cancelled_caught}"


async def says_its_task() -> AsyncIterator[str]:
    for _ in range(2):
        task = asyncio.current_task()
        assert task is not None
        yield f"{task.get_name()} of {len(asyncio.all_tasks())}"


@pytest.mark.parametrize(
    "body",
    [stops_asyncio_timeout, spans_a_timeout_over_items, stops_anyio_scope, says_its_task],
    ids=lambda f: f.__name__,
)
def test_timeouts_scopes_and_tasks_are_as_without_us(
    trace: Wrap, captured: Captured, body: Callable[[], AsyncIterator[str]]
) -> None:
    async def main(function: Callable[[], AsyncIterator[str]]) -> list[str]:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("main")
        items: list[str] = []
        try:
            async for item in function():
                items.append(item)
        except TimeoutError:
            items.append("timeout")
        return items

    assert asyncio.run(main(trace(body))) == asyncio.run(main(body))


def test_cancelling_the_consumer_reaches_the_body(trace: Wrap, captured: Captured) -> None:
    caught: list[BaseException] = []

    async def tokens() -> AsyncIterator[int]:
        try:
            yield 1
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async def consume() -> None:
        async for _ in trace(tokens)():
            pass

    async def main() -> None:
        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert caught[0].args == ("enough",)
    assert caught[0].__context__ is None
    assert captured()[0].failed
