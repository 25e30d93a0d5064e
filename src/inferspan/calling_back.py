"""Calls that return before there is an answer, which a function is then called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from inferspan.arguments import Arguments
from inferspan.containment import Contained, errors
from inferspan.integration import CalledBack

if TYPE_CHECKING:
    from inferspan.calls import Start, Wrapper
    from inferspan.spans import SpanScope

_BEGIN: Final = "begin a span"
_ANSWERED: Final = Contained("end the span of a call that calls back")


def calling_back(start: Start, how: CalledBack) -> Wrapper:
    """Make what runs calls whose span ends once they call back.

    The function is called in whatever thread the library calls it, with what the library gives,
    after the span has ended; it is the user's again from then on. Where the call raises, or takes
    no function, it is over as it returns.

    Args:
        start: begins the span; if it raises, the call runs without one.
        how: where the function stands, and how what it is given is read.
    """

    def wrapper(
        wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
    ) -> Any:
        scope: SpanScope | None = None
        own: tuple[Arguments, dict[str, Any]] | None = None
        try:
            scope = start(args, kwargs, 0)
            own = _listening(scope, how, args, kwargs)
        except BaseException as error:
            errors.contain(_BEGIN, error)
        if scope is None:
            return wrapped(*args, **kwargs)
        given, keywords = (args, kwargs) if own is None else own
        try:
            scope.attach()
            returned = wrapped(*given, **keywords)
            scope.detach()
        except BaseException as error:
            scope.detach()
            if not scope.ended:
                scope.fail(error)
            raise
        if own is None:
            scope.succeed(returned)
        return returned

    return wrapper


def _listening(
    scope: SpanScope, how: CalledBack, args: Arguments, kwargs: dict[str, Any]
) -> tuple[Arguments, dict[str, Any]] | None:
    """The call's arguments with a function that ends the span first; None where there is none."""
    named = how.name in kwargs
    if not named and len(args) <= how.position:
        return None
    function = kwargs[how.name] if named else args[how.position]
    if not callable(function):
        return None

    def called_back(*answer: Any, **named_answer: Any) -> Any:
        if not scope.ended:
            with _ANSWERED:
                _end(scope, how, answer, named_answer)
        return function(*answer, **named_answer)

    if named:
        return args, {**kwargs, how.name: called_back}
    return (*args[: how.position], called_back, *args[how.position + 1 :]), kwargs


def _end(
    scope: SpanScope, how: CalledBack, answer: Arguments, named_answer: dict[str, Any]
) -> None:
    try:
        value, failure = how.answered(*answer, **named_answer)
    except Exception as error:
        scope.fail(error)
        raise
    if failure is None:
        scope.succeed(value)
    else:
        scope.fail(failure)
