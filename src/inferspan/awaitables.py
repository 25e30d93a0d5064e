"""Coroutines under a span, and spans of calls that hand out what is still to come.

A coroutine, a generator or an async generator that a call hands out is exchanged for a driver that
behaves the same. A future is left as it is: its span ends when it is done.
"""

from __future__ import annotations

import concurrent.futures
import inspect
import sys
from collections.abc import Generator
from types import AsyncGeneratorType, CoroutineType, GeneratorType, coroutine
from typing import Any, Final

from inferspan.containment import Contained
from inferspan.spans import SpanScope
from inferspan.steps import Later, attached
from inferspan.streams import drive_async_generator, drive_generator

_FINISH: Final = Contained("end the span of a future")


async def drive_coroutine(later: Later) -> Any:
    """Await a coroutine under a span that starts with its first step."""
    scope, body = later.start()
    if scope is None:
        return await body
    try:
        returned = await attached(scope, body)
    except BaseException as error:
        scope.fail(error)
        raise
    scope.succeed(returned)
    return returned


@coroutine
def drive_awaitable_generator(later: Later) -> Generator[Any, Any, Any]:
    """The same for what a function of `types.coroutine` gives: a generator, and awaitable."""
    return (yield from drive_coroutine(later))


def drivable(value: object) -> bool:
    """Whether it is what `driver` has a driver for. Looks at nothing but its type."""
    kind = type(value)
    return kind is CoroutineType or kind is GeneratorType or kind is AsyncGeneratorType


def driver(later: Later, body: Any) -> Any:
    """What is handed out in place of a coroutine, a generator or an async generator.

    Args:
        later: how the span begins.
        body: what runs then; the driver is of its kind, and has its names.
    """
    later.body = body
    kind = type(body)
    driven: Any
    if kind is CoroutineType:
        driven = drive_coroutine(later)
    elif kind is AsyncGeneratorType:
        driven = drive_async_generator(later)
    elif body.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        driven = drive_awaitable_generator(later)
    else:
        driven = drive_generator(later)
    driven.__name__ = body.__name__
    driven.__qualname__ = body.__qualname__
    return driven


def is_future(value: object) -> bool:
    """Whether it is a future of asyncio (a task too) or of `concurrent.futures`, or of a subclass.

    Looks at nothing but its type: the value is the user's.
    """
    kind = type(value)
    if issubclass(kind, concurrent.futures.Future):
        return True
    # Whoever has such a future has imported asyncio; importing inferspan does not.
    asyncio = sys.modules.get("asyncio")
    return asyncio is not None and issubclass(kind, asyncio.Future)


def end_when_done(scope: SpanScope, future: Any) -> None:
    """End the span when the future is done, by what it then holds."""
    finish = _Finish(scope)
    with _FINISH:
        if future.done():
            finish(future)
        else:
            future.add_done_callback(finish)


class _Finish:
    """Ends a span when its future is done, or is forgotten."""

    __slots__ = ("_scope",)

    def __init__(self, scope: SpanScope) -> None:
        self._scope: SpanScope | None = scope

    def __call__(self, future: Any) -> None:
        scope, self._scope = self._scope, None
        if scope is None:
            return
        with _FINISH:
            # Not `exception()`, which would take it as retrieved: asyncio could no longer tell the
            # user of an error that nobody looked at.
            error = _cancelled(future) if future.cancelled() else future._exception
            if error is None:
                scope.succeed(future.result())
            else:
                scope.fail(error)

    def __del__(self) -> None:
        scope = self._scope
        if scope is not None:
            with _FINISH:
                scope.end()


def _cancelled(future: object) -> BaseException:
    if isinstance(future, concurrent.futures.Future):
        return concurrent.futures.CancelledError()
    return sys.modules["asyncio"].CancelledError()  # type: ignore[no-any-return]
