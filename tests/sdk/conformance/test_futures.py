"""Futures that a function hands out: the same object, and a span until it is done."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable

import pytest

from sdk.conformance.adapter import Adapter, Captured, Wrap


async def done_with(future: asyncio.Future[int], how: str) -> None:
    if how == "result":
        future.set_result(1)
    elif how == "error":
        future.set_exception(ValueError("v"))
    else:
        future.cancel()


@pytest.mark.parametrize("how", ["result", "error", "cancel"])
def test_a_future_is_handed_out_as_it_is(trace: Wrap, captured: Captured, how: str) -> None:
    async def main() -> None:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        assert trace(lambda: future)() is future
        await asyncio.sleep(0)
        assert captured() == []
        await done_with(future, how)
        await asyncio.wait([future])
        assert len(captured()) == 1
        assert future.cancelled() or future.exception() or future.result() == 1

    asyncio.run(main())
    assert captured()[0].failed is (how != "result")


def test_a_task_is_handed_out_as_it_is(trace: Wrap, adapter: Adapter, captured: Captured) -> None:
    async def works() -> int:
        with adapter.child():
            await asyncio.sleep(0)
        return 1

    async def main() -> int:
        tasks: list[asyncio.Task[int]] = []

        def begins() -> asyncio.Task[int]:
            tasks.append(asyncio.get_running_loop().create_task(works()))
            return tasks[0]

        assert trace(begins)() is tasks[0]
        return await tasks[0]

    assert asyncio.run(main()) == 1
    child, span = captured()
    assert child.parent == span.id
    assert span.end_ns >= child.end_ns


def test_a_future_that_is_done_already(trace: Wrap, captured: Captured) -> None:
    async def main() -> None:
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        done.set_result(1)
        assert trace(lambda: done)() is done
        assert len(captured()) == 1

    asyncio.run(main())


def test_a_future_of_a_thread(trace: Wrap, captured: Captured) -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    assert trace(lambda: future)() is future
    assert captured() == []
    future.set_result(1)
    assert len(captured()) == 1
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert trace(lambda: pool.submit(int, "3"))().result() == 3
    assert len(captured()) == 2


def test_a_future_that_is_forgotten_ends_its_span(trace: Wrap, captured: Captured) -> None:
    trace(lambda: concurrent.futures.Future())()
    assert len(captured()) == 1


def test_an_error_that_nobody_looked_at_is_still_told(trace: Wrap, captured: Captured) -> None:
    """Asyncio tells of errors of futures that were never retrieved; to look is to retrieve."""

    def told(function: Callable[[], asyncio.Future[int]]) -> list[str]:
        async def main() -> list[str]:
            found: list[str] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: found.append(context["message"]))
            future = function()
            future.set_exception(ValueError("v"))
            await asyncio.sleep(0)
            del future
            await asyncio.sleep(0)
            return found

        return asyncio.run(main())

    def makes() -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()

    expected = told(makes)
    assert told(trace(makes)) == expected == ["Future exception was never retrieved"]
    assert captured()[0].failed
