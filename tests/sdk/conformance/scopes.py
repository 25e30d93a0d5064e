"""Async generators with timeouts, scopes and task groups of anyio inside, and who reads them.

Only anyio is used, so that the same run on asyncio and on trio. Each reader says what it saw.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import anyio
import anyio.lowlevel

Body = Callable[[], AsyncGenerator[str, None]]
Reader = Callable[[Any], Awaitable[list[str]]]


async def scope_within_a_step() -> AsyncGenerator[str, None]:
    with anyio.move_on_after(0) as scope:
        await anyio.sleep_forever()
    yield f"cancelled {scope.cancelled_caught}"
    await anyio.lowlevel.checkpoint()
    yield "and on"


async def scope_over_items() -> AsyncGenerator[str, None]:
    with anyio.move_on_after(0) as scope:
        yield "before"
        await anyio.sleep_forever()
    yield f"cancelled {scope.cancelled_caught}"


async def deadline_that_fails() -> AsyncGenerator[str, None]:
    yield "before"
    with anyio.fail_after(0):
        await anyio.sleep_forever()


async def group_of_tasks() -> AsyncGenerator[str, None]:
    sending, receiving = anyio.create_memory_object_stream[str](4)

    async def work(name: str) -> None:
        await anyio.lowlevel.checkpoint()
        await sending.send(name)

    async with anyio.create_task_group() as group:
        for name in ("first", "second"):
            group.start_soon(work, name)
        async with sending, receiving:
            found = sorted([await receiving.receive(), await receiving.receive()])
        for name in found:
            yield name


async def group_that_fails() -> AsyncGenerator[str, None]:
    async def fail() -> None:
        raise ValueError("of a task")

    yield "before"
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            await anyio.sleep_forever()
    except* ValueError as failed:
        found = [str(error) for error in failed.exceptions]
    yield f"failed {found}"


async def shielded_end() -> AsyncGenerator[str, None]:
    try:
        yield "before"
        await anyio.lowlevel.checkpoint()
        yield "after"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
            ENDED.append("shielded")


async def waits_for_ever() -> AsyncGenerator[str, None]:
    try:
        yield "before"
        await anyio.sleep_forever()
    finally:
        ENDED.append("ended")


async def work_in_a_thread() -> AsyncGenerator[str, None]:
    for number in range(2):
        yield await anyio.to_thread.run_sync(str, number)


ENDED: list[str] = []


async def _read(stream: AsyncGenerator[str, None], items: list[str]) -> None:
    async for item in stream:
        items.append(item)


async def to_the_end(stream: AsyncGenerator[str, None]) -> list[str]:
    items: list[str] = []
    try:
        await _read(stream, items)
    except TimeoutError:
        items.append("timeout")
    return items


async def without_any_time(stream: AsyncGenerator[str, None]) -> list[str]:
    items: list[str] = []
    with anyio.move_on_after(0) as scope:
        await _read(stream, items)
    await stream.aclose()
    return [*items, f"cancelled {scope.cancelled_caught}"]


async def one_item_and_close(stream: AsyncGenerator[str, None]) -> list[str]:
    items = [await anext(stream)]
    await stream.aclose()
    return items


async def closed_by_another_task(stream: AsyncGenerator[str, None]) -> list[str]:
    """With a scope open, anyio refuses this; so it does with us."""
    items = [await anext(stream)]

    async def close() -> None:
        try:
            await stream.aclose()
        except RuntimeError as error:
            items.append(str(error).partition(".")[0])

    async with anyio.create_task_group() as group:
        group.start_soon(close)
    return items


async def cancelled_from_outside(stream: AsyncGenerator[str, None]) -> list[str]:
    items: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(_read, stream, items)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    await stream.aclose()
    return items


READERS: tuple[Reader, ...] = (
    to_the_end,
    without_any_time,
    one_item_and_close,
    closed_by_another_task,
    cancelled_from_outside,
)
BODIES: tuple[Body, ...] = (
    scope_within_a_step,
    scope_over_items,
    deadline_that_fails,
    group_of_tasks,
    group_that_fails,
    shielded_end,
    waits_for_ever,
    work_in_a_thread,
)
_ENDLESS_OR_LUCK: Final = {
    (to_the_end, waits_for_ever),
    (cancelled_from_outside, work_in_a_thread),
}
CASES: Final = [
    (read, body) for read in READERS for body in BODIES if (read, body) not in _ENDLESS_OR_LUCK
]


async def _story(read: Reader, stream: AsyncGenerator[str, None]) -> list[str]:
    ENDED.clear()
    try:
        return [*await read(stream), *ENDED]
    except BaseExceptionGroup as failed:
        return [f"group of {[type(error).__name__ for error in failed.exceptions]}", *ENDED]
    except anyio.get_cancelled_exc_class() as error:  # whose message holds addresses
        return [type(error).__name__, *ENDED]
    except Exception as error:
        return [f"{type(error).__name__}: {error}", *ENDED]


def told(read: Reader, stream: Callable[[], Any], backend: str) -> list[str]:
    """What a reader saw of a stream, on an event loop of its own."""
    return anyio.run(_started, read, stream, backend=backend)


async def _started(read: Reader, stream: Callable[[], Any]) -> list[str]:
    return await _story(read, stream())
