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
from inferspan.attaching import attach, detach
from inferspan.awaitables import drivable, driver, end_when_done, is_future
from inferspan.containment import errors
from inferspan.spans import SpanScope
from inferspan.steps import Later

Start = Callable[[Arguments, Keywords, int], SpanScope]
"""Starts the span of a call, given its arguments and 1 if binding took the first parameter."""

Wrapper = Callable[[Callable[..., Any], object, Arguments, dict[str, Any]], Any]
"""What `wrapt` calls: the function, what it is bound to, and the call's arguments."""

_BEGIN: Final = "begin a span"
_COMPLETE: Final = frozenset(
    map(id, (NoneType, bool, int, float, str, bytes, list, tuple, dict, ndarray))
)
"""Types of most answers, none of which is still to run. By id: a user's type may refuse to hash."""


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


def wrapper_of(shape: CallShape, start: Start, binds: bool) -> Wrapper:
    """Make what `wrapt` calls in place of a function.

    Args:
        shape: what calling the function gives.
        start: begins the span; if it raises, the function runs without one.
        binds: whether binding takes the first parameter of the signature.
    """

    def value_wrapper(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        scope = None
        try:
            scope = start(args, kwargs, 1 if binds and instance is not None else 0)
        except BaseException as error:
            errors.contain(_BEGIN, error)
        if scope is None:
            return wrapped(*args, **kwargs)
        return run_under(scope, wrapped, args, kwargs)

    def later_wrapper(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        bound = 1 if binds and instance is not None else 0
        return _run_later(start, wrapped, args, kwargs, bound)

    return value_wrapper if shape is CallShape.VALUE else later_wrapper


def run_under(
    scope: SpanScope, function: Callable[..., Any], args: Arguments, kwargs: dict[str, Any]
) -> Any:
    """Run a call under its span, which has begun, and end that by what the call gives.

    Args:
        scope: the span.
        function: what is called, with these arguments.
        args: by position.
        kwargs: by name.

    Returns:
        What the call returns; raises what it raises.
    """
    token = None
    # Attached and detached within: an interrupt between the steps leaves nothing current.
    try:
        # As `scope.attach()` and `scope.detach()`, without their frames.
        try:
            token = attach(scope.context)
        except BaseException as error:
            held, token = token, None
            scope.unsettled(held, error)
        # Passing no keywords on would copy the empty dictionary.
        returned = function(*args, **kwargs) if kwargs else function(*args)
        try:
            if token is not None:
                detach(token)
                token = None
        except BaseException as error:
            held, token = token, None
            scope.unsettled(held, error)
    except BaseException as error:
        scope.token = token
        scope.detach()
        scope.fail(error)
        raise
    if id(type(returned)) in _COMPLETE:
        scope.succeed(returned)
        return returned
    return _end(scope, returned)


def caller_of(shape: CallShape, start: Start, function: Callable[..., Any]) -> Callable[..., Any]:
    """Make what a call of an unbound function calls in its place: what `wrapper_of` makes does the
    same, at three times the cost of being called.

    Args:
        shape: what calling the function gives.
        start: begins the span; if it raises, the function runs without one.
        function: the user's.
    """

    def value_caller(*args: Any, **kwargs: Any) -> Any:
        scope = None
        try:
            scope = start(args, kwargs, 0)
        except BaseException as error:
            errors.contain(_BEGIN, error)
        if scope is None:
            return function(*args, **kwargs)
        token = None
        # As `run_under`, without its frame.
        try:
            try:
                token = attach(scope.context)
            except BaseException as error:
                held, token = token, None
                scope.unsettled(held, error)
            returned = function(*args, **kwargs) if kwargs else function(*args)
            try:
                if token is not None:
                    detach(token)
                    token = None
            except BaseException as error:
                held, token = token, None
                scope.unsettled(held, error)
        except BaseException as error:
            scope.token = token
            scope.detach()
            scope.fail(error)
            raise
        if (kind := type(returned)) is dict or id(kind) in _COMPLETE:
            scope.succeed(returned)
            return returned
        return _end(scope, returned)

    def later_caller(*args: Any, **kwargs: Any) -> Any:
        return _run_later(start, function, args, kwargs, 0)

    return value_caller if shape is CallShape.VALUE else later_caller


def _run_later(
    start: Start,
    function: Callable[..., Any],
    arguments: Arguments,
    keywords: dict[str, Any],
    bound: int,
) -> Any:
    """Call what gives a coroutine or generator; its span begins when its body begins to run."""
    later = Later(lambda: _begin(start, arguments, keywords, bound))
    # A call with wrong arguments fails here and now, as it does without us.
    body = function(*arguments, **keywords)
    if drivable(body):
        return driver(later, body)
    # It said that it gives a coroutine or a generator, and gave something else.
    scope = _begin(start, arguments, keywords, bound)
    return body if scope is None else _end(scope, body)


def _begin(start: Start, arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope | None:
    try:
        return start(arguments, keywords, bound)
    except BaseException as error:
        errors.contain(_BEGIN, error)
    return None


def _end(scope: SpanScope, returned: Any) -> Any:
    """End the span of a call that returned, unless what it returned is still to run."""
    if id(type(returned)) not in _COMPLETE:
        if drivable(returned):
            return driver(Later(lambda: scope, scope), returned)
        if is_future(returned):
            end_when_done(scope, returned)
            return returned
    scope.succeed(returned)
    return returned
