"""What a call of an instrumented model is: a prediction, a stage of one, or nothing of its own.

A prediction is what somebody outside of the library asks for. What the library asks of itself is
part of that, and what it asks of itself with nobody waiting for an answer (while it fits, validates
or searches) is none. Inside another prediction a different model is a stage of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from inspect import signature
from types import FrameType
from typing import Any, Final, cast

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan import attaching, served
from inferspan.arguments import Arguments, Keywords
from inferspan.attaching import current
from inferspan.calls import CallShape, Wrapper, wrapper_of
from inferspan.containment import Contained
from inferspan.current import CURRENT_KEY, Running, Within
from inferspan.integration import Composed
from inferspan.model_stages import WITHIN_KEY, begin
from inferspan.predictions import PredictionCall
from inferspan.served import state
from inferspan.spans import SpanScope

_QUIET: Final = otel_context.create_key("inferspan-quiet")
"""Set in a context in which nothing is a prediction."""
_SUPPRESSED: Final = otel_context._SUPPRESS_INSTRUMENTATION_KEY
DECIDE: Final = "decide what a call is"
_CALLER: Final = 2
"""Frames between who calls a model and the method here that asks for it."""
HUSH: Final = Contained("leave what is quiet")

Way = SpanScope | Wrapper | None
"""How a call runs: under a span that has begun, as a wrapper has it, or as it would without us."""


class TracedCall:
    """What a replaced method refers to. In another process, where a class was sent by value, it
    is nothing: there nobody instrumented it.
    """

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        self.name = name
        self.function = function
        self._shape = CallShape.of(function)
        self._places: dict[str, int] | None = None
        """Where the arguments that have names stand, once it was asked."""

    def way(self, args: Arguments, kwargs: Keywords, caller: int = _CALLER) -> Way:
        """How a call runs.

        Args:
            args: by position, the model first.
            kwargs: by name.
            caller: frames between this one and who calls the model.
        """
        if not args:
            return None
        model = args[0]
        known = state.models.get(id(model))
        context = current()
        running: Any = None
        owner: Any = None
        if context:
            # Most calls here are a model's of its own methods, and are as they would be without us.
            if (
                type(context) is Within
                and context.owner is known is not None
                and not context.call.ended
            ):
                return None
            running = context.get(CURRENT_KEY)
            if running is not None and running.ended:
                running = None
            if running is not None:
                owner = _owner_of(running, context)
                if owner is model or (owner is known and owner is not None):
                    return None
            if context.get(_QUIET) or context.get(_SUPPRESSED):
                return None
        # As `served.known`, without its frames.
        if known is None or known.model() is not model or known.epoch is not state.epoch:
            if not state.in_force:
                return None
            known = served.known(model)
        by = known.by
        if by is None:
            return None
        internal = by.is_internal(sys._getframe(caller).f_globals.get("__name__"))
        if running is not None:
            if not running.recording:
                return None
            name = None
            if owner is not None:
                whole = owner if type(owner) is served.Served else served.known(owner)
                name = whole.part_name(model, known)
            if name is None and not internal:
                name = known.name
            return self._as_stage(name, running, known, args, kwargs, context) if name else None
        plain = by.integration.plain
        if plain and (kwargs or len(args) > 2) and self._asks_else(plain, args, kwargs):
            return None
        if internal:
            # What a validation calls may call other models, and these are none either.
            return quietly
        try:
            recorded = known.recorded[self.name]
        except KeyError:
            recorded = known.how_recorded(model, self.name, self.function)
        if recorded is None:
            return None
        start, wrapper = recorded
        return wrapper if start is None else start(args[1:], kwargs, 0)

    def way_of_whole(self, args: Arguments, kwargs: Keywords, how: Composed) -> Way:
        """As `way`, for a model that may be a part of one that is running."""
        if not args:
            return None
        model = args[0]
        context = current()
        running = cast("Running | None", context.get(CURRENT_KEY)) if context else None
        if running is None or running.ended:
            if not state.in_force or (context and is_quiet(context)):
                return None
            if how.learns(model) or _is_body(sys._getframe(_CALLER), how):
                return quietly
            return self.way(args, kwargs, _CALLER + 1)
        if not running.recording or _is_composed(_owner_of(running, context)):
            return None
        recorded = served.known(model).how_recorded(model, self.name, self.function)
        return None if recorded is None else self.way(args, kwargs, _CALLER + 1)

    def is_part(self, model: object, context: Context) -> bool:
        """Whether what runs makes a call nothing of its own; then `way` would answer None, too.

        For a method that is looked up: the caller's caller is who looks.
        """
        running: Any
        if type(context) is Within:
            running, owner = context.call, context.owner
        else:
            running = context.get(CURRENT_KEY)
            owner = None if running is None else _owner_of(running, context)
        if running is None or running.ended:
            return False
        if not running.recording:
            return True
        known = state.models.get(id(model))
        if owner is None or known is None:
            return False
        if owner is model or owner is known:
            return True
        if type(owner) is not served.Served or known.by is None or known.model() is not model:
            return False
        caller = sys._getframe(_CALLER).f_globals.get("__name__")
        asked_within = known.epoch is state.epoch and known.by.is_internal(caller)
        return asked_within and owner.part_name(model, known) is None

    def _as_stage(
        self,
        name: str,
        running: Running,
        known: served.Served,
        args: Arguments,
        kwargs: Keywords,
        context: Context,
    ) -> Way:
        plain = known.by.integration.plain if known.by is not None else {}
        if plain and (kwargs or len(args) > 2) and self._asks_else(plain, args, kwargs):
            return None
        if isinstance(running, PredictionCall) and not running.admit_stage():
            return None
        if self._shape is CallShape.VALUE:
            return begin(name, running, known, context)

        def start(arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope:
            return begin(name, running, known, current())

        return wrapper_of(self._shape, start, False)

    def _asks_else(self, plain: Mapping[str, object], args: Arguments, kwargs: Keywords) -> bool:
        for name, value in kwargs.items():
            if name in plain and value != plain[name]:
                return True
        if len(args) <= 2:  # the model, and what it is given
            return False
        places = self._places
        if places is None:
            # To bind a signature takes 12 to 16 µs of these libraries.
            parameters = enumerate(signature(self.function).parameters.values())
            places = self._places = {
                one.name: at for at, one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD
            }
        for name, value in plain.items():
            at = places.get(name, len(args))
            if at < len(args) and args[at] != value:
                return True
        return False

    def __reduce__(self) -> Any:
        return _Nothing, ()


class _Nothing:
    """Takes a call for nothing of ours."""

    def way(self, args: Arguments, kwargs: Keywords) -> Way:
        """As it would be without us."""
        return None

    def way_of_whole(self, args: Arguments, kwargs: Keywords, how: Composed) -> Way:
        """As it would be without us."""
        return None


def _owner_of(running: Running, context: Context) -> object:
    """The model that is running, or what is known of it; None where there is only a function."""
    within = context.get(WITHIN_KEY)
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


def is_quiet(context: Context) -> bool:
    """Whether nothing is a prediction in a context."""
    return bool(context.get(_QUIET) or context.get(_SUPPRESSED))


def quietly(
    wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
) -> Any:
    """Run a call, as a wrapper, in a context in which nothing is a prediction."""
    token = None
    with HUSH:
        token = attaching.attach(otel_context.set_value(_QUIET, True))
    try:
        return wrapped(*args, **kwargs)
    finally:
        if token is not None:
            with HUSH:
                attaching.detach(token)
