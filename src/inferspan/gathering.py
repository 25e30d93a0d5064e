"""Requests that a server gathers: each is a prediction while it waits, and their call is a batch.

They wait in one task and are answered in another, whose context is that of whichever request came
first. So a call is known to be theirs by what the server itself hands from the one to the other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial, wraps
from inspect import signature
from types import FunctionType, MethodType
from typing import Any, Final, Generic, TypeVar

from opentelemetry.context import Context

from inferspan import attaching, patching, propagation, served, traced_methods
from inferspan.arguments import Arguments, Keywords, first_given
from inferspan.batching import BatchScope, Request
from inferspan.calls import run_under
from inferspan.containment import Contained, errors
from inferspan.current import current_prediction
from inferspan.integration import Gathering
from inferspan.model_stages import WITHIN_KEY
from inferspan.nesting import TracedCall

V = TypeVar("V")

_DECIDE: Final = "decide what a call of a server is"
_WAIT: Final = Contained("refer to a request that waits")
_GATHER: Final = Contained("find out which requests are together")
_SEND: Final = Contained("send a batch's trace along")


class _OfObjects(Generic[V]):
    """What is known of objects that need not hash; of each as long as it lives."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[weakref.ref[Any], V]] = {}

    def put(self, owner: object, value: V) -> None:
        """Keep what is known of an object.

        Raises:
            TypeError: it takes no weak references.
        """
        place, found = id(owner), self._found

        def forget(reference: object) -> None:
            held = found.get(place)
            if held is not None and held[0] is reference:
                del found[place]

        found[place] = (weakref.ref(owner, forget), value)

    def get(self, owner: object) -> V | None:
        """What is known of an object; None where nothing is."""
        held = self._found.get(id(owner))
        return held[1] if held is not None and held[0]() is owner else None

    def take(self, owner: object) -> V | None:
        """As `get`, once."""
        value = self.get(owner)
        if value is not None:
            self._found.pop(id(owner), None)
        return value


_waiting: Final = _OfObjects[Request]()
"""Requests → the predictions that wait for their answers."""
_together: Final = _OfObjects[tuple[object, ...]]()
"""What a model will be called with → the requests in it."""


def cover(library: str, how: Gathering) -> None:
    """Follow the requests of a server from where they wait to the call that answers them."""
    patching.cover(_name(library, "queues"), how.queues(), {how.waits: partial(_queue, how)})
    patching.cover(_name(library, "batches"), how.batches(), {"__init__": partial(_batch, how)})


def restore(library: str) -> None:
    """Follow them no more."""
    for replaced in ("queues", "batches"):
        patching.restore(_name(library, replaced))


def _name(library: str, replaced: str) -> str:
    return f"{library}, {replaced}"


def answering(how: Gathering) -> Callable[[str, object], Any]:
    """As `traced_methods.traced`, for models that are called for several requests at a time."""

    def made(name: str, entry: object) -> Any:
        replaced = traced_methods.traced(name, entry)
        if replaced is None or not isinstance(entry, FunctionType):
            return replaced
        function, alone = entry, replaced

        @wraps(function)
        def traced_call(*args: Any, **kwargs: Any) -> Any:
            scope = None
            try:
                scope = _scope(how, args, kwargs)
            except BaseException as error:
                errors.contain(_DECIDE, error)
            if scope is None:
                return alone(*args, **kwargs)
            return run_under(scope, function, args, kwargs)

        # Servers look through `__wrapped__` for the method that is bound: this one is.
        del traced_call.__wrapped__
        traced_call.__signature__ = signature(function)  # type: ignore[attr-defined]
        return traced_call

    return made


def _scope(how: Gathering, args: Arguments, kwargs: Keywords) -> BatchScope | None:
    """The batch that a call is for; None: it is for one request, or for none."""
    model, *rest = args
    given = first_given(tuple(rest), kwargs)
    requests = _together.take(given)
    if requests is None:
        return None
    known = served.known(model)
    if known.by is None:
        return None
    scope = BatchScope([_waiting.get(request) for request in requests], None)
    # The model's own calls of its other methods are part of this one.
    scope.context = Context({**scope.context, WITHIN_KEY: (scope, known)})
    token = attaching.attach(scope.context)
    try:
        with _SEND:
            how.send(given, propagation.inject())
    finally:
        attaching.detach(token)
    return scope


def _queue(how: Gathering, entry: object) -> Callable[..., Any] | None:
    """What stands in the place of the method in which requests wait."""
    if not isinstance(entry, FunctionType):
        return None
    function = entry
    calls: weakref.WeakKeyDictionary[type, TracedCall] = weakref.WeakKeyDictionary()

    def call_of(model: Any) -> TracedCall:
        found = calls.get(type(model))
        if found is None:
            found = calls[type(model)] = TracedCall(how.method, _named_as(function, model, how))
        return found

    async def wait(queue: Any, *args: Any, **kwargs: Any) -> Any:
        with _WAIT:
            _waiting.put(first_given(args, kwargs), current_prediction())
        return await function(queue, *args, **kwargs)

    @wraps(function)
    def waiting_call(*args: Any, **kwargs: Any) -> Any:
        way = None
        try:
            model = how.model(args[0])
            way = call_of(model).way((model, *args[1:]), kwargs)
        except BaseException as error:
            errors.contain(_DECIDE, error)
        if not callable(way):
            return function(*args, **kwargs)
        return way(MethodType(wait, args[0]), args[0], args[1:], kwargs)

    return waiting_call


def _named_as(function: Callable[..., Any], model: Any, how: Gathering) -> Callable[..., Any]:
    """A method that waits, whose arguments have the names that they have in the model's own."""

    async def waits(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    waits.__signature__ = signature(getattr(type(model), how.called))  # type: ignore[attr-defined]
    return waits


def _batch(how: Gathering, entry: object) -> Callable[..., Any] | None:
    """What stands in the place of `__init__` of what is together."""
    if not isinstance(entry, FunctionType):
        return None
    function = entry

    @wraps(function)
    def __init__(batch: Any, /, *args: Any, **kwargs: Any) -> None:
        function(batch, *args, **kwargs)
        with _GATHER:
            given, requests = how.together(batch)
            _together.put(given, tuple(requests))

    return __init__
