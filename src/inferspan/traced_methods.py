"""What stands in classes in the place of their methods: those that are traced, and quiet ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper, wraps
from inspect import CO_VARKEYWORDS
from types import FunctionType, MethodType
from typing import Any, Final, cast

from inferspan import attaching, served
from inferspan.attaching import current
from inferspan.calls import run_under
from inferspan.containment import Contained, errors
from inferspan.current import Within
from inferspan.integration import Composed
from inferspan.nesting import DECIDE, HUSH, TracedCall, is_quiet, quietly
from inferspan.patching import bound_anew
from inferspan.served import state
from inferspan.spans import SpanScope

_NAMED_MAX: Final = 4
"""Parameters of a method, the model among them, up to which there are few."""
_FORGET: Final = Contained("forget what a model was")


def traced(name: str, entry: object) -> Any:
    """What stands in a class in the place of a method whose calls are traced.

    Args:
        name: what the method is called.
        entry: the function, or the descriptor that makes one.

    Returns:
        A function, or a descriptor; None where the entry is neither.
    """
    if isinstance(entry, FunctionType):
        call = TracedCall(name, entry)
        made = _tracing(call, entry)
        return _PassedBy(call, entry, made) if _takes_many(entry) else made
    kind = type(entry)
    makes_methods = hasattr(kind, "__get__") and not hasattr(kind, "__set__")
    if makes_methods and not isinstance(entry, (staticmethod, classmethod)):
        return _TracedDescriptor(name, entry)
    return None


def _traced_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return _tracing(TracedCall(name, function), function)


def _tracing(call: TracedCall, function: Callable[..., Any]) -> Callable[..., Any]:

    @wraps(function)
    def traced_call(*args: Any, **kwargs: Any) -> Any:
        way = None
        try:
            way = call.way(args, kwargs)
        except BaseException as error:
            errors.contain(DECIDE, error)
        if way is None:
            return function(*args, **kwargs) if kwargs else function(*args)
        if isinstance(way, SpanScope):
            return run_under(way, function, args, kwargs)
        return way(MethodType(function, args[0]), args[0], args[1:], kwargs)

    return traced_call


def _takes_many(function: FunctionType) -> bool:
    """Whether passing a call's arguments on may cost more than looking whether that is needed."""
    code = function.__code__
    named = code.co_argcount + code.co_kwonlyargcount
    return bool(code.co_flags & CO_VARKEYWORDS) or named > _NAMED_MAX


class _PassedBy:
    """In the place of a function of many parameters, which may be called with all of them by name.

    A model whose methods call each other gets the function itself, where that is looked up within a
    call of its own: passing thirty keywords on costs a tenth of a span by hand. All others get a
    plain function, as they do where there are few parameters.
    """

    def __init__(self, call: TracedCall, function: FunctionType, made: Callable[..., Any]) -> None:
        update_wrapper(cast("Callable[..., Any]", self), made)
        self._call = call
        self._function = function
        self._made = made

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self._made
        try:
            context = current()
            if context and (
                # As `is_part`, without its frame.
                (
                    type(context) is Within
                    and context.owner is state.models.get(id(instance), self)
                    and not context.call.ended
                )
                or self._call.is_part(instance, context)
            ):
                return MethodType(self._function, instance)
        except BaseException as error:
            errors.contain(DECIDE, error)
        return MethodType(self._made, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the function: for who takes it out of its class."""
        return self._made(*args, **kwargs)

    def __reduce__(self) -> Any:
        return _itself, (self._made,)


def _itself(made: Callable[..., Any]) -> Callable[..., Any]:
    """What a class has in another process, where it was sent by value."""
    return made


def composed(how: Composed) -> Callable[[str, object], Any]:
    """As `traced`, for a library whose models are made of models."""
    compiling = how.compiling()

    def traced_part(name: str, entry: Any) -> Any:
        if not callable(entry):
            return None
        function = entry if isinstance(entry, FunctionType) else bound_anew(entry, entry)
        return _composed_function(name, function, how, compiling)

    return traced_part


def _composed_function(
    name: str, function: Callable[..., Any], how: Composed, compiling: Callable[[], bool]
) -> Callable[..., Any]:
    call = TracedCall(name, function)

    @wraps(function)
    def traced_call(*args: Any, **kwargs: Any) -> Any:
        if compiling():
            return function(*args, **kwargs)
        way = None
        try:
            way = call.way_of_whole(args, kwargs, how)
        except BaseException as error:
            errors.contain(DECIDE, error)
        if way is None:
            return function(*args, **kwargs)
        if isinstance(way, SpanScope):
            return run_under(way, function, args, kwargs)
        return way(MethodType(function, args[0]), args[0], args[1:], kwargs)

    return traced_call


class _TracedDescriptor:
    """In the place of a descriptor that makes methods, or says that there is none."""

    def __init__(self, name: str, original: Any) -> None:
        update_wrapper(cast("Callable[..., Any]", self), original)
        self._name = name
        self._original = original
        self._made: tuple[object, Any] = (None, None)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        found = self._original.__get__(instance, owner)
        if instance is None:
            return _traced_function(self._name, found) if callable(found) else found
        if not isinstance(found, MethodType) or found.__self__ is not instance:
            return found
        function, made = self._made
        if function is not (own := found.__func__):
            # A proxy of others says that it is a method, and answers the function that is below it.
            called = own if type(found) is MethodType else bound_anew(self._original, own)
            made = _traced_function(self._name, called)
            self._made = (own, made)
        return MethodType(made, instance)


def quiet(entry: object) -> Any:
    """What stands in the place of a method in which nothing is a prediction; None: leave it."""
    if not isinstance(entry, FunctionType):
        return None
    function = entry

    @wraps(function)
    def quiet_call(model: Any, /, *args: Any, **kwargs: Any) -> Any:
        within = False
        with HUSH:
            within = is_quiet(attaching.current())
        try:
            if within:
                return function(model, *args, **kwargs)
            return quietly(function, None, (model, *args), kwargs)
        finally:
            # What was known of the model, its classes for one, may be otherwise now.
            with _FORGET:
                served.fitted(model, alone=within)

    return quiet_call
