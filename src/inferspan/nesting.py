"""What a call of an instrumented model is: a prediction, a stage of one, or nothing of its own.

A prediction is what somebody outside of the library asks for. What the library asks of itself is
part of that, and what it asks of itself with nobody waiting for an answer (while it fits, validates
or searches) is none. Inside another prediction a different model is a stage of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import update_wrapper, wraps
from inspect import signature
from types import FrameType, FunctionType, MethodType
from typing import Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan import attaching, semconv, served, spans
from inferspan.arguments import Arguments, Keywords
from inferspan.calls import CallShape, Wrapper, wrapper_of
from inferspan.containment import Contained, errors
from inferspan.current import CURRENT_KEY, Running
from inferspan.decorators import StageScope, snapshot_of
from inferspan.integration import Composed
from inferspan.predictions import PredictionCall
from inferspan.served import state
from inferspan.spans import SpanScope

_QUIET: Final = otel_context.create_key("inferspan-quiet")
"""Set in a context in which nothing is a prediction."""
_WITHIN: Final = otel_context.create_key("inferspan-within")
"""Where a context keeps the prediction and, of its stages, the innermost's model."""
_SUPPRESSED: Final = otel_context._SUPPRESS_INSTRUMENTATION_KEY
_DECIDE: Final = "decide what a call is"
_HUSH: Final = Contained("leave what is quiet")


class _Call:
    """What a replaced method refers to. In another process, where a class was sent by value, it
    is nothing: there nobody instrumented it.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self._places: dict[str, int] | None = None
        """Where the arguments that have names stand, once it was asked."""

    def wrapper(
        self, model: object, frame: FrameType, args: Arguments, kwargs: Keywords
    ) -> Wrapper | None:
        """How a call that comes from `frame` runs; None: as it would without us."""
        context = attaching.current()
        if not state.in_force or (context and _is_quiet(context)):
            return None
        known = state.models.get(id(model))
        # As `served.known`, without its frames.
        if known is None or known.model() is not model or known.epoch is not state.epoch:
            known = served.known(model)
        by = known.by
        if by is None:
            return None
        plain = by.integration.plain
        if plain and self._asks_else(plain, args, kwargs):
            return None
        internal = by.is_internal(frame.f_globals.get("__name__"))
        running = cast("Running | None", context.get(CURRENT_KEY)) if context else None
        if running is None or running.ended:
            if internal:
                # What a validation calls may call other models, and these are none either.
                return _quietly
            try:
                return known.wrappers[self.name]
            except KeyError:
                return known.wrapper(model, self.name, self.function)
        owner = _owner_of(running, context)
        if owner is known or owner is model or not running.recording:
            return None
        name = _stage_name(owner, model)
        if name is None and not internal:
            name = known.name
        if not name or not _admitted(running):
            return None
        return _as_stage(name, running, known, self.function)

    def wrapper_of_whole(
        self, model: object, frame: FrameType, args: Arguments, kwargs: Keywords, how: Composed
    ) -> Wrapper | None:
        """As `wrapper`, for a model that may be a part of one that is running."""
        context = attaching.current()
        running = cast("Running | None", context.get(CURRENT_KEY)) if context else None
        if running is None or running.ended:
            if not state.in_force or (context and _is_quiet(context)):
                return None
            if how.learns(model) or _is_body(frame, how):
                return _quietly
            return self.wrapper(model, frame, args, kwargs)
        if not running.recording or _is_composed(_owner_of(running, context)):
            return None
        is_model = served.known(model).wrapper(model, self.name, self.function) is not None
        return self.wrapper(model, frame, args, kwargs) if is_model else None

    def _asks_else(self, plain: Mapping[str, object], args: Arguments, kwargs: Keywords) -> bool:
        if len(args) > 1:
            places = self._places
            if places is None:
                # To bind a signature takes 12 to 16 µs of these libraries.
                parameters = list(signature(self.function).parameters.values())[1:]
                places = self._places = {
                    one.name: at
                    for at, one in enumerate(parameters)
                    if one.kind is one.POSITIONAL_OR_KEYWORD
                }
            for name, value in plain.items():
                at = places.get(name, len(args))
                if at < len(args) and args[at] != value:
                    return True
        return any(kwargs.get(name, value) != value for name, value in plain.items())

    def __reduce__(self) -> Any:
        return _Nothing, ()


class _Nothing:
    """Takes a call for nothing of ours."""

    def wrapper(
        self, model: object, frame: FrameType, args: Arguments, kwargs: Keywords
    ) -> Wrapper | None:
        """As it would be without us."""
        return None


def _owner_of(running: Running, context: Context) -> object:
    """The model that is running, or what is known of it; None where there is only a function."""
    within = context.get(_WITHIN)
    if isinstance(within, tuple) and within[0] is running:
        return within[1]
    return getattr(running.plan, "owner", None)


def _is_body(frame: FrameType, how: Composed) -> bool:
    """Whether a frame is one of a model that calls its parts."""
    code = frame.f_code
    if code.co_name != how.body or not code.co_argcount:
        return False
    return served.responsible(type(frame.f_locals.get(code.co_varnames[0]))) is not None


def _is_composed(owner: object) -> bool:
    by = owner.by if isinstance(owner, served.Served) else served.responsible(type(owner))
    return by is not None and by.integration.composed is not None


def _stage_name(owner: object, model: object) -> str | None:
    """What a model is called within the one that is running; None where it is no part of it."""
    if owner is None:
        return None
    whole = owner if isinstance(owner, served.Served) else served.known(owner)
    return whole.part_name(model)


def _admitted(running: Running) -> bool:
    return not isinstance(running, PredictionCall) or running.admit_stage()


class _ModelStage(StageScope):
    """A model's call inside of a prediction, with what it answered."""

    def __init__(self, name: str, running: Running, known: served.Served) -> None:
        super().__init__(name)
        self._running: Running | None = running
        self.context = Context({**self.context, _WITHIN: (running, known)})

    def returned(self, value: object) -> None:
        """Say how the state looks that the model made."""
        if self._running is None:
            return
        found = snapshot_of(self._running, self._name, value)
        if found is not None:
            self.span.add_event(semconv.EVENT_SNAPSHOT, found, spans.now_ns())

    def release(self) -> None:
        """Let go of the prediction, too."""
        super().release()
        self._running = None


def _as_stage(
    name: str, running: Running, known: served.Served, function: Callable[..., Any]
) -> Wrapper:
    def start(arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope:
        return _ModelStage(name, running, known)

    return wrapper_of(CallShape.of(function), start, False)


def _is_quiet(context: Context) -> bool:
    return bool(context.get(_QUIET) or context.get(_SUPPRESSED))


def _quietly(
    wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
) -> Any:
    token = None
    with _HUSH:
        token = attaching.attach(otel_context.set_value(_QUIET, True))
    try:
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            with _HUSH:
                attaching.detach(token)


def traced(name: str, entry: object) -> Any:
    """What stands in a class in the place of a method whose calls are traced.

    Args:
        name: what the method is called.
        entry: the function, or the descriptor that makes one.

    Returns:
        A function, or a descriptor; None where the entry is neither.
    """
    if isinstance(entry, FunctionType):
        return _traced_function(name, entry)
    kind = type(entry)
    makes_methods = hasattr(kind, "__get__") and not hasattr(kind, "__set__")
    if makes_methods and not isinstance(entry, (staticmethod, classmethod)):
        return _TracedDescriptor(name, entry)
    return None


def _traced_function(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    call = _Call(name, function)

    @wraps(function)
    def traced_call(model: Any, /, *args: Any, **kwargs: Any) -> Any:
        wrapper = None
        try:
            wrapper = call.wrapper(model, sys._getframe(1), args, kwargs)
        except BaseException as error:
            errors.contain(_DECIDE, error)
        if wrapper is None:
            return function(model, *args, **kwargs)
        return wrapper(MethodType(function, model), model, args, kwargs)

    return traced_call


def composed(how: Composed) -> Callable[[str, object], Any]:
    """As `traced`, for a library whose models are made of models."""
    compiling = how.compiling()

    def traced_part(name: str, entry: object) -> Any:
        return _composed_function(name, entry, how, compiling) if callable(entry) else None

    return traced_part


def _composed_function(
    name: str, function: Callable[..., Any], how: Composed, compiling: Callable[[], bool]
) -> Callable[..., Any]:
    call = _Call(name, function)

    @wraps(function)
    def traced_call(model: Any, /, *args: Any, **kwargs: Any) -> Any:
        if compiling():
            return function(model, *args, **kwargs)
        wrapper = None
        try:
            wrapper = call.wrapper_of_whole(model, sys._getframe(1), args, kwargs, how)
        except BaseException as error:
            errors.contain(_DECIDE, error)
        if wrapper is None:
            return function(model, *args, **kwargs)
        return wrapper(MethodType(function, model), model, args, kwargs)

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
        if function is not found.__func__:
            made = _traced_function(self._name, found.__func__)
            self._made = (found.__func__, made)
        return MethodType(made, instance)


def quiet(entry: object) -> Any:
    """What stands in the place of a method in which nothing is a prediction; None: leave it."""
    if not isinstance(entry, FunctionType):
        return None
    function = entry

    @wraps(function)
    def quiet_call(model: Any, /, *args: Any, **kwargs: Any) -> Any:
        within = _is_quiet(attaching.current())
        try:
            if within:
                return function(model, *args, **kwargs)
            return _quietly(function, None, (model, *args), kwargs)
        finally:
            # What was known of the model, its classes for one, may be otherwise now.
            served.fitted(model, alone=within)

    return quiet_call
