"""Async generators: whatever is done to one has the outcome that it has without us."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.comparing import complaints_of, outcome_of

Script = list[str]


async def scripted(script: Script, seen: list[object]) -> AsyncGenerator[object, object]:
    """A body that does what the script says, and notes what is done to it."""
    for index, order in enumerate(script):
        try:
            await asyncio.sleep(0)
            if order == "return":
                return
            if order == "raise":
                raise LookupError(index)
            if order == "stop":
                raise StopAsyncIteration(index)
            seen.append((yield index))
        except BaseException as error:
            if "over" in seen:
                raise
            seen.append(type(error))
            if order == "fail":
                raise ValueError(index) from error
            if order == "leave":
                return
            if order == "await":
                await asyncio.sleep(0)
            if order not in ("ignore", "ignore twice"):
                raise
            if order == "ignore twice":
                seen.append((yield "still here"))


ORDERS = ["yield", "await", "ignore", "ignore twice", "fail", "leave", "return", "raise", "stop"]
ACTS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "next": anext,
    "send None": lambda made: made.asend(None),
    "send": lambda made: made.asend("sent"),
    "throw": lambda made: made.athrow(KeyError("thrown")),
    "throw class": lambda made: made.athrow(KeyError),
    "throw stop": lambda made: made.athrow(StopAsyncIteration("stop")),
    "throw exit": lambda made: made.athrow(GeneratorExit("exit")),
    "close": lambda made: made.aclose(),
}


async def outcome(awaitable: Awaitable[object]) -> tuple[str, object]:
    try:
        return "returned", await awaitable
    except BaseException as error:
        return type(error).__name__, str(error)


async def story(
    function: Callable[[Script, list[object]], Any], script: Script, acts: list[str]
) -> list[object]:
    seen: list[object] = []
    made = function(script, seen)
    told = [await outcome(ACTS[act](made)) for act in acts]
    # From here on it obeys, so that closing what is left complains of nothing.
    seen.append("over")
    told.append(await outcome(made.aclose()))
    return [told, seen]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    script=st.lists(st.sampled_from(ORDERS), max_size=5),
    acts=st.lists(st.sampled_from(list(ACTS)), max_size=8),
)
def test_whatever_is_done_to_it(
    trace: Wrap, adapter: Adapter, captured: Captured, script: Script, acts: list[str]
) -> None:
    before = len(captured())

    async def main() -> None:
        mine = await story(trace(scripted), script, acts)
        assert mine == await story(scripted, script, acts)
        assert adapter.current() is None

    asyncio.run(main())
    assert len(captured()) - before <= 1


async def count(n: int = 3) -> AsyncIterator[int]:
    for x in range(n):
        await asyncio.sleep(0)
        yield x


def test_it_is_an_async_generator(trace: Wrap, captured: Captured) -> None:
    mine, bare = trace(count)(), count()
    assert inspect.isasyncgen(mine)
    assert (mine.__name__, mine.__qualname__) == (bare.__name__, bare.__qualname__)
    assert aiter(mine) is mine


def test_a_function_that_hands_out_an_async_generator(trace: Wrap, captured: Captured) -> None:
    async def main() -> list[int]:
        return [x async for x in trace(lambda: count())()]

    assert asyncio.run(main()) == [0, 1, 2]
    assert len(captured()) == 1


def test_the_consumer_never_sees_the_span(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    inside: list[int | None] = []

    async def tokens() -> AsyncIterator[int]:
        for token in range(3):
            with adapter.child():
                inside.append(adapter.current())
                await asyncio.sleep(0)
                yield token
                inside.append(adapter.current())

    async def main() -> None:
        async for _ in trace(tokens)():
            assert adapter.current() is None
        assert adapter.current() is None

    asyncio.run(main())
    *children, span = captured()
    assert [child.parent for child in children] == [span.id] * 3
    assert inside == [child.id for child in children for _ in range(2)]


def test_a_step_that_waits_does_not_lend_its_span(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    """Driven by hand, as an event loop does it: between two sends, the span is not current."""

    async def tokens() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1

    made = trace(tokens)()
    step = anext(made)
    step.send(None)
    assert adapter.current() is None
    assert outcome_of(step.send, None) == ("stopped", 1)
    assert outcome_of(made.aclose().send, None) == ("stopped", None)
    assert len(captured()) == 1


async def turns() -> None:
    """Let the event loop close what the garbage collector gave it."""
    for _ in range(10):
        await asyncio.sleep(0)


async def leave_by_break(made: AsyncGenerator[int, None]) -> None:
    async for _ in made:
        break
    del made
    await turns()


async def leave_by_close(made: AsyncGenerator[int, None]) -> None:
    await anext(made)
    await made.aclose()


async def leave_by_aclosing(made: AsyncGenerator[int, None]) -> None:
    async with contextlib.aclosing(made):
        await anext(made)


async def leave_in_another_task(made: AsyncGenerator[int, None]) -> None:
    await anext(made)
    await asyncio.create_task(made.aclose())  # type: ignore[arg-type]


async def leave_open(made: AsyncGenerator[int, None]) -> None:
    """Until the event loop ends, which closes it."""
    OPEN.append(made)
    await anext(made)


async def leave_in_a_cycle(made: AsyncGenerator[int, None]) -> None:
    await anext(made)
    cycle = [made]
    cycle.append(cycle)
    del made, cycle
    gc.collect()
    await turns()


OPEN: list[object] = []
"""What a module of the user's holds on to."""


@pytest.mark.parametrize(
    "leave",
    [
        leave_by_break,
        leave_by_close,
        leave_by_aclosing,
        leave_in_another_task,
        leave_open,
        leave_in_a_cycle,
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("waits", [True, False], ids=["awaits in finally", "does not"])
def test_a_stream_that_is_left_is_closed_once_and_ends_its_span(
    trace: Wrap,
    adapter: Adapter,
    captured: Captured,
    caplog: pytest.LogCaptureFixture,
    leave: Callable[[Any], Coroutine[Any, Any, None]],
    waits: bool,
) -> None:
    closed: list[int | None] = []

    async def tokens() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
        finally:
            if waits:
                await asyncio.sleep(0)
            closed.append(adapter.current())

    async def main() -> None:
        await leave(trace(tokens)())
        assert adapter.current() is None

    assert complaints_of(lambda: asyncio.run(main())) == []
    OPEN.clear()
    (span,) = captured()
    assert closed == [span.id]
    assert not span.failed
    assert [told for told in caplog.records if told.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("waits", [0, 1, 2])
@pytest.mark.parametrize("turns_left", [0, 1])
def test_a_stream_that_is_left_as_its_loop_ends(
    trace: Wrap, captured: Captured, waits: int, turns_left: int
) -> None:
    """The loop closes it by a task that it cancels, and then closes it once more."""

    async def tokens(ended: list[type]) -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        except BaseException as error:
            ended.append(type(error))
            raise
        finally:
            for _ in range(waits):
                await asyncio.sleep(0)

    def run(function: Callable[[list[type]], AsyncIterator[int]]) -> list[type]:
        ended: list[type] = []

        async def main() -> None:
            async for _ in function(ended):
                break
            for _ in range(turns_left):
                await asyncio.sleep(0)

        asyncio.run(main())
        return ended

    assert run(trace(tokens)) == run(tokens)
    (span,) = captured()
    assert not span.failed


def test_a_stream_that_is_forgotten_after_its_loop(trace: Wrap, captured: Captured) -> None:
    def forgotten(function: Callable[[], AsyncIterator[int]]) -> list[str]:
        async def main(loop: asyncio.AbstractEventLoop) -> AsyncIterator[int]:
            made = function()
            await anext(made)
            return made

        def run() -> None:
            loop = asyncio.new_event_loop()
            made = loop.run_until_complete(main(loop))
            loop.close()
            del made

        return complaints_of(run)

    expected = [type(told) for told in forgotten(count)]
    assert [type(told) for told in forgotten(trace(count))] == expected


def test_an_abandoned_step_is_closed_in_any_context(
    trace: Wrap, adapter: Adapter, captured: Captured, caplog: pytest.LogCaptureFixture
) -> None:
    async def tokens() -> AsyncIterator[int]:
        await asyncio.sleep(0)
        yield 1

    def abandon(function: Callable[[], AsyncIterator[int]]) -> None:
        made = function()
        step = anext(made)
        contextvars.copy_context().run(step.send, None)  # type: ignore[attr-defined]
        del step, made
        gc.collect()

    assert complaints_of(lambda: abandon(trace(tokens))) == complaints_of(lambda: abandon(tokens))
    assert adapter.current() is None
    assert len(captured()) == 1
    assert [told for told in caplog.records if told.levelno >= logging.ERROR] == []


def test_one_that_is_never_begun_has_no_span(trace: Wrap, captured: Captured) -> None:
    async def main() -> None:
        await trace(count)().aclose()
        trace(count)()

    assert complaints_of(lambda: asyncio.run(main())) == []
    assert captured() == []


def test_thousands_of_streams_leave_no_garbage(trace: Wrap, captured: Captured) -> None:
    async def main(function: Callable[[], AsyncIterator[int]]) -> int:
        gc.collect()
        gc.disable()
        try:
            for _ in range(200):
                made: Any = function()
                await anext(made)
                with contextlib.suppress(KeyError):
                    await made.athrow(KeyError("k"))
                made = function()
                await anext(made)
                await made.aclose()
                assert [x async for x in function()] == [0, 1, 2]
            del made
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(main(trace(count))) <= asyncio.run(main(count))
