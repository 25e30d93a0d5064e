"""Async generators under timeouts, cancel scopes and cancelled consumers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.scopes import CASES, Body, Reader, told


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


async def says_its_task() -> AsyncIterator[str]:
    for _ in range(2):
        task = asyncio.current_task()
        assert task is not None
        yield f"{task.get_name()} of {len(asyncio.all_tasks())}"


@pytest.mark.parametrize(
    "body",
    [stops_asyncio_timeout, spans_a_timeout_over_items, says_its_task],
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


@pytest.mark.parametrize(("read", "body"), CASES, ids=lambda f: f.__name__)
def test_scopes_and_groups_of_anyio_are_as_without_us(
    trace: Wrap, adapter: Adapter, captured: Captured, read: Reader, body: Body
) -> None:
    expected = told(read, body, "asyncio")
    assert told(read, trace(body), "asyncio") == expected
    assert adapter.current() is None
    assert len(captured()) == 1


async def waits_once() -> AsyncIterator[str]:
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
    yield "one"
    await asyncio.sleep(0)
    yield "two"


def test_each_step_may_run_in_a_task_of_its_own(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    """As `asyncio.wait_for(anext(stream), …)` runs it."""

    async def main(function: Callable[[], AsyncIterator[str]]) -> list[str]:
        stream = function()
        items = []
        while (item := await asyncio.wait_for(anext(stream, ""), 60)) != "":
            items.append(item)
            assert adapter.current() is None
        return items

    assert asyncio.run(main(trace(waits_once))) == ["one", "two"]
    assert len(captured()) == 1


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
