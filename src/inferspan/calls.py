"""How a call of each shape runs under a span: function, coroutine, generator, async generator.

The user's code runs as it would without us. Its exceptions are re-raised as they are, and no code
of ours that could raise runs between them and the caller uncontained.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable
from functools import partial
from types import NoneType
from typing import Any, Final

from numpy import ndarray

from inferspan.arguments import Arguments, Keywords
from inferspan.awaitables import drivable, driver, end_when_done, is_future
from inferspan.containment import Contained
from inferspan.spans import SpanScope
from inferspan.steps import Later

Start = Callable[[Arguments, Keywords, int], SpanScope]
"""Starts the span of a call, given its arguments and 1 if binding took the first parameter."""

_BEGIN: Final = Contained("begin a span")
_COMPLETE: Final = frozenset({NoneType, bool, int, float, str, bytes, list, tuple, dict, ndarray})
"""Types of most answers, none of which is still to run."""


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
    if drivable(body):
        return driver(Later(body, lambda: _begin(start, arguments, keywords, bound)), body)
    # It said that it gives a coroutine or a generator, and gave something else.
    scope = _begin(start, arguments, keywords, bound)
    return body if scope is None else _end(scope, body)


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
    return _end(scope, returned)


def _end(scope: SpanScope, returned: Any) -> Any:
    """End the span of a call that returned, unless what it returned is still to run."""
    if type(returned) not in _COMPLETE:
        if drivable(returned):
            return driver(Later(returned, lambda: scope, scope), returned)
        if is_future(returned):
            end_when_done(scope, returned)
            return returned
    scope.succeed(returned)
    return returned
