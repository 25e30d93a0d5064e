"""How a call of each shape runs under a span: function, coroutine, generator, async generator.

The user's code runs as it would without us. Its exceptions are re-raised as they are, and no code
of ours that could raise runs between them and the caller uncontained.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any, Final

from inferspan.arguments import Arguments, Keywords
from inferspan.containment import Contained
from inferspan.spans import SpanScope
from inferspan.streams import drive_async_generator, drive_generator

Start = Callable[[Arguments, Keywords, int], SpanScope]
"""Starts the span of a call, given its arguments and 1 if binding took the first parameter."""

_BEGIN: Final = Contained("begin a span")


class CallShape(enum.Enum):
    """What calling a function gives."""

    VALUE = "value"
    COROUTINE = "coroutine"
    GENERATOR = "generator"
    ASYNC_GENERATOR = "async generator"

    @classmethod
    def of(cls, function: object) -> CallShape:
        """Find a function's shape, through partials, methods and callable objects."""
        while isinstance(function, (partial, classmethod, staticmethod)):
            function = function.func if isinstance(function, partial) else function.__func__
        for candidate in (function, getattr(type(function), "__call__", None)):  # noqa: B004
            if inspect.iscoroutinefunction(candidate):
                return cls.COROUTINE
            if inspect.isasyncgenfunction(candidate):
                return cls.ASYNC_GENERATOR
            if inspect.isgeneratorfunction(candidate):
                return cls.GENERATOR
        return cls.VALUE


def run(
    shape: CallShape,
    start: Start,
    function: Callable[..., Any],
    arguments: Arguments,
    keywords: dict[str, Any],
    bound: int,
) -> Any:
    """Call a function under the span that `start` begins.

    Coroutines and generators begin their span when their body begins to run.

    Args:
        shape: what calling the function gives.
        start: begins the span; if it raises, the function runs without one.
        function: the user's.
        arguments: positional arguments.
        keywords: keyword arguments.
        bound: 1 if binding took the first parameter of the signature, else 0.

    Returns:
        What the function returned; for a coroutine or generator, one that behaves the same.
    """
    if shape is CallShape.VALUE:
        scope = _begin(start, arguments, keywords, bound)
        if scope is None:
            return function(*arguments, **keywords)
        return _run_value(scope, function, arguments, keywords)
    # A call with wrong arguments fails here and now, as it does without us.
    body = function(*arguments, **keywords)
    driver: Any

    def begin() -> SpanScope | None:
        return _begin(start, arguments, keywords, bound)

    if shape is CallShape.COROUTINE:
        driver = _drive_coroutine(begin, body)
    elif shape is CallShape.GENERATOR:
        driver = drive_generator(begin, body)
    else:
        driver = drive_async_generator(begin, body)
    driver.__name__ = getattr(body, "__name__", driver.__name__)
    driver.__qualname__ = getattr(body, "__qualname__", driver.__qualname__)
    return driver


def _begin(start: Start, arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope | None:
    with _BEGIN:
        return start(arguments, keywords, bound)
    return None


def _run_value(
    scope: SpanScope,
    function: Callable[..., Any],
    arguments: Arguments,
    keywords: dict[str, Any],
) -> Any:
    scope.attach()
    try:
        returned = function(*arguments, **keywords)
    except BaseException as error:
        scope.detach()
        scope.fail(error)
        raise
    scope.detach()
    if type(returned) is CoroutineType:
        # A plain function that hands out a coroutine: its work is still to come.
        return _drive_coroutine(lambda: scope, returned)
    scope.succeed(returned)
    return returned


async def _drive_coroutine(
    begin: Callable[[], SpanScope | None], body: Coroutine[Any, Any, Any]
) -> Any:
    scope = begin()
    if scope is None:
        return await body
    scope.attach()
    try:
        returned = await body
    except BaseException as error:
        if isinstance(error, GeneratorExit):
            scope.abandon_context()
        scope.detach()
        scope.fail(error)
        raise
    scope.detach()
    scope.succeed(returned)
    return returned
