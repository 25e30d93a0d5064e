"""Coroutines, and functions that hand out what is still to be awaited."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import coroutine
from typing import Any

import anyio
import pytest
import wrapt

from sdk.conformance.adapter import Adapter, Captured, Wrap
from sdk.conformance.comparing import caught_from, complaints_of, outcome_of


async def answers(x: int = 1) -> int:
    await asyncio.sleep(0)
    return x


@coroutine
def asks(x: int) -> Generator[Any, Any, int]:
    """Yields to whoever drives it, as the innermost of all awaitables does."""
    given = yield x
    return given or x  # type: ignore[no-any-return]


def hands_out(x: int = 1) -> Coroutine[Any, Any, int]:
    return answers(x)


async def asked(x: int) -> int:
    return await asks(x)


AWAITED = [answers, hands_out, lambda x=1: answers(x)]


@pytest.mark.parametrize("function", AWAITED, ids=["async", "hands out", "lambda"])
def test_an_answer_is_awaited(
    trace: Wrap, captured: Captured, function: Callable[[int], Awaitable[int]]
) -> None:
    async def main() -> list[int]:
        return await asyncio.gather(*(trace(function)(x) for x in range(5)))

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    spans = captured()
    assert len(spans) == 5
    assert {span.parent for span in spans} == {None}


@pytest.mark.parametrize("function", [answers, hands_out], ids=lambda f: f.__name__)
def test_what_is_handed_out_is_a_coroutine(
    trace: Wrap, captured: Captured, function: Callable[[], Coroutine[Any, Any, int]]
) -> None:
    mine, bare = trace(function)(), function()
    assert inspect.iscoroutine(mine)
    assert inspect.isawaitable(mine)
    assert inspect.getcoroutinestate(mine) == inspect.CORO_CREATED
    assert (mine.__name__, mine.__qualname__) == (bare.__name__, bare.__qualname__)
    for each in (mine, bare):
        each.close()
    assert inspect.getcoroutinestate(mine) == inspect.CORO_CLOSED
    assert outcome_of(mine.send, None) == outcome_of(bare.send, None)


def leave(made: Any) -> None:
    del made


def close(made: Any) -> None:
    made.close()


def throw(made: Any) -> None:
    with contextlib.suppress(KeyError):
        made.throw(KeyError("k"))


def cancel(made: Any) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(made)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


@pytest.mark.parametrize("end", [leave, close, throw, cancel], ids=lambda f: f.__name__)
@pytest.mark.parametrize("function", [answers, hands_out], ids=lambda f: f.__name__)
def test_what_is_never_begun_is_complained_of_as_without_us(
    trace: Wrap,
    captured: Captured,
    function: Callable[[], Any],
    end: Callable[[Any], None],
) -> None:
    traced = trace(function)
    expected = complaints_of(lambda: end(function()))
    assert complaints_of(lambda: end(traced())) == expected
    assert (expected != []) is (end is leave)
    # A function that ran and handed something out has a span, and it has ended.
    assert len(captured()) == (function is hands_out)


def test_what_is_forgotten_in_a_cycle_is_complained_of_once(
    trace: Wrap, captured: Captured
) -> None:
    def forget(function: Callable[[], Any]) -> None:
        cycle: list[Any] = [function()]
        cycle.append(cycle)

    expected = complaints_of(lambda: forget(answers))
    assert complaints_of(lambda: forget(trace(answers))) == expected
    assert len(expected) == 1


def test_the_span_covers_what_is_awaited(trace: Wrap, adapter: Adapter, captured: Captured) -> None:
    async def work() -> int:
        with adapter.child():
            await asyncio.sleep(0)
        return 1

    assert asyncio.run(trace(lambda: work())()) == 1
    child, span = captured()
    assert child.parent == span.id
    assert span.end_ns >= child.end_ns


def test_a_function_of_types_coroutine_stays_awaitable(trace: Wrap, captured: Captured) -> None:
    traced = trace(asks)
    made = traced(3)
    assert inspect.isawaitable(made)
    assert inspect.isgenerator(made)
    assert made.__name__ == "asks"
    assert next(made) == 3
    assert outcome_of(made.send, 4) == ("stopped", 4)

    async def main(f: Callable[[int], Awaitable[int]]) -> int:
        return await f(5)

    driven = main(traced)
    assert driven.send(None) == 5
    assert outcome_of(driven.send, None) == ("stopped", 5)
    assert complaints_of(lambda: traced(3).close()) == []
    assert complaints_of(lambda: leave(traced(3))) == []
    assert len(captured()) == 2


def test_whoever_drives_a_coroutine_never_sees_its_span(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    seen: list[int | None] = []

    async def twice() -> None:
        seen.append(adapter.current())
        with adapter.child():
            await asks(1)
            seen.append(adapter.current())
            await asks(2)
        seen.append(adapter.current())

    made = trace(twice)()
    assert made.send(None) == 1
    assert adapter.current() is None
    assert contextvars.copy_context().run(made.send, None) == 2
    assert adapter.current() is None
    assert outcome_of(made.send, None) == ("stopped", None)
    child, span = captured()
    assert seen == [span.id, child.id, span.id]


def test_tasks_that_share_a_context_do_not_share_a_span(
    trace: Wrap, adapter: Adapter, captured: Captured
) -> None:
    async def works(order: int) -> None:
        for _ in range(order):
            with adapter.child():
                await asyncio.sleep(0)

    async def main() -> None:
        shared = contextvars.copy_context()
        made = [
            asyncio.get_running_loop().create_task(trace(works)(order), context=shared)
            for order in (1, 3, 2)
        ]
        await asyncio.gather(*made)
        assert shared.run(adapter.current) is None

    asyncio.run(main())
    spans = [span for span in captured() if span.parent is None]
    children = [span.parent for span in captured() if span.parent is not None]
    assert sorted(children.count(span.id) for span in spans) == [1, 2, 3]


@pytest.mark.parametrize("elsewhere", [True, False], ids=["elsewhere", "here"])
def test_a_coroutine_is_closed_early(
    trace: Wrap, adapter: Adapter, captured: Captured, elsewhere: bool
) -> None:
    closed: list[str] = []

    async def waits() -> None:
        try:
            await asks(1)
        finally:
            closed.append("closed")

    made = trace(waits)()
    run = contextvars.copy_context().run if elsewhere else lambda call, *args: call(*args)
    run(made.send, None)
    made.close()
    assert adapter.current() is None
    assert closed == ["closed"]
    (span,) = captured()
    assert span.failed


def test_cancelling_reaches_the_body_with_its_message(trace: Wrap, captured: Captured) -> None:
    caught: list[BaseException] = []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            caught.append(error)
            raise

    async def main() -> None:
        task = asyncio.create_task(trace(waits)())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as stopped:
            await task
        assert stopped.value.args == ("enough",)

    asyncio.run(main())
    assert caught[0].args == ("enough",)
    assert caught[0].__context__ is None
    (span,) = captured()
    assert span.failed


def test_an_error_thrown_in_has_the_traceback_it_has_without_us(
    trace: Wrap, captured: Captured
) -> None:
    async def waits() -> None:
        await asks(1)

    def lines(made: Coroutine[Any, Any, None]) -> list[int]:
        made.send(None)
        error = caught_from(made.throw, ValueError("v"))
        found, traceback = [], error.__traceback__
        while traceback is not None:
            found.append(traceback.tb_lineno)
            traceback = traceback.tb_next
        return found

    bare = lines(waits())
    assert lines(trace(waits)())[-2:] == bare[-2:]


async def stops_asyncio_timeout() -> str:
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timed out"
    return "went on"


async def stops_anyio_scope() -> str:
    with anyio.move_on_after(0) as scope:
        await anyio.sleep_forever()
    return f"cancelled {scope.cancelled_caught}"


async def fails_in_a_group() -> str:
    async def fail() -> None:
        raise ValueError("v")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.Event().wait()
    except ExceptionGroup as failed:
        return repr(failed)
    return "went on"


async def says_its_task() -> str:
    task = asyncio.current_task()
    assert task is not None
    return f"{task.get_name()} of {len(asyncio.all_tasks())}"


@pytest.mark.parametrize(
    "body",
    [stops_asyncio_timeout, stops_anyio_scope, fails_in_a_group, says_its_task],
    ids=lambda f: f.__name__,
)
def test_timeouts_scopes_groups_and_tasks_are_as_without_us(
    trace: Wrap, captured: Captured, body: Callable[[], Coroutine[Any, Any, str]]
) -> None:
    async def main(function: Callable[[], Coroutine[Any, Any, str]]) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("main")
        return await function()

    assert asyncio.run(main(trace(body))) == asyncio.run(main(body))
    assert not captured()[0].failed


def test_context_variables_of_the_body_reach_its_task(trace: Wrap, captured: Captured) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    async def sets() -> None:
        variable.set("before")
        await asyncio.sleep(0)
        variable.set(variable.get() + " after")

    async def main() -> str:
        await trace(sets)()
        return variable.get()

    assert asyncio.run(main()) == "before after"


def test_a_coroutine_function_that_another_decorator_runs(trace: Wrap, captured: Captured) -> None:
    """By its flags it gives a coroutine; what it gives is an answer."""

    @wrapt.decorator
    def run_now(wrapped: Any, instance: object, args: Any, kwargs: Any) -> Any:
        return asyncio.run(wrapped(*args, **kwargs))

    assert trace(run_now(answers))(7) == 7
    assert len(captured()) == 1


def test_recursion_reaches_a_quarter_of_the_depth(decorate: Wrap, captured: Captured) -> None:
    """Between two coroutines of the user's stand two frames of ours and a call from C."""

    @decorate
    async def descend(n: int) -> int:
        return n if n == 0 else await descend(n - 1)

    depth = (sys.getrecursionlimit() - len(inspect.stack()) - 80) // 4
    assert asyncio.run(descend(depth)) == 0
