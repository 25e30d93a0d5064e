"""The models that are served: what each knows of itself, and how each of its methods is recorded.

Known by identity and only as long as the model lives; what is known is asked for again after the
model was fitted, or something that it may be made of, or anything was instrumented since.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from types import MethodType
from typing import Any, Final

from opentelemetry.trace import SpanKind

from inferspan import semconv
from inferspan.arguments import Parameters
from inferspan.asking import asking, unless_postponed
from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.calling_back import calling_back
from inferspan.calls import CallShape, Start, Wrapper, wrapper_of
from inferspan.chunks import in_chunks
from inferspan.containment import Contained, errors
from inferspan.declaration import Declaration
from inferspan.frozen import altered
from inferspan.integration import Asked, Description, Integration, Reading
from inferspan.output_columns import Misfit, class_of
from inferspan.request_headers import in_request_of
from inferspan.sent_headers import sending_along
from inferspan.usual_calls import starter

_DEPTH_MAX: Final = 8
"""Searches within searches whose parts are looked for."""
_MODULES_MAX: Final = 1_024
"""Modules that models are called from and that are remembered."""
_HELD_MAX: Final = 256
"""What a model holds that is looked at, and so of each list that it holds."""
_PARTS_MAX: Final = 256
"""Models called within a model whose names in it are remembered."""
_SEVERAL: Final = (list, tuple, dict)
_LOOK: Final = Contained("look what a model is made of")
_NAME: Final = Contained("name a model")
_DESCRIBE: Final = Contained("describe a model")


@dataclass(frozen=True, slots=True, eq=False)
class Instrumented:
    """A library in force."""

    integration: Integration
    declaration: Declaration
    name: Callable[[Any], object] | None
    """A model → what it is called."""
    version: Callable[[Any], object] | None
    classes: tuple[type, ...]
    """The integration's, once the library is imported."""
    is_internal: Callable[[object], bool] = field(init=False)
    """The name of a module → whether it is the library's own, or of those that it builds on."""

    def __post_init__(self) -> None:
        known = _Modules(self.integration.internal)
        object.__setattr__(self, "is_internal", known.__getitem__)


class _Modules(dict[object, bool]):
    """The name of a module → whether it belongs to a package of these. Calls come from few."""

    def __init__(self, packages: frozenset[str]) -> None:
        super().__init__()
        self._packages = packages

    def __missing__(self, name: object) -> bool:
        belongs = isinstance(name, str) and name.partition(".")[0] in self._packages
        if len(self) < _MODULES_MAX:
            self[name] = belongs
        return belongs


class _State:
    def __init__(self) -> None:
        self.in_force: dict[str, Instrumented] = {}
        """Library → how it is instrumented; replaced as a whole, never changed."""
        self.epoch = object()
        """Another one after everything that may change what is known of models."""
        self.models: dict[int, Served] = {}


state: Final = _State()


def changed() -> None:
    """Ask every model anew at its next call: something was instrumented otherwise."""
    state.epoch = object()


def fitted(model: object, *, alone: bool) -> None:
    """Ask a model that was fitted anew at its next call.

    Args:
        model: which.
        alone: whether others, that may be made of it, are left: whoever fits them says so.
    """
    own = state.models.get(id(model))
    for known in (own,) if alone else tuple(state.models.copy().values()):
        if known is not None and (known.made_of_others or known.model() is model):
            known.forget()


def responsible(kind: type) -> Instrumented | None:
    """The library that a class comes from; of several, the one that builds on the others."""
    best: Instrumented | None = None
    for instrumented in state.in_force.values():
        own = [known for known in instrumented.classes if issubclass(kind, known)]
        if own and (best is None or any(issubclass(known, best.classes) for known in own)):
            best = instrumented
    return best


Recorded = tuple[Start | None, Wrapper | None]
"""How calls of one method of a model become predictions, in one of two ways: what begins the span
of a call that takes no more than a span around it, or what runs a call that takes more."""


class Served:
    """What is known of one model object; without holding it."""

    __slots__ = (
        "__weakref__",
        "_description",
        "_parts",
        "_told",
        "_turn",
        "by",
        "epoch",
        "made_of_others",
        "model",
        "recorded",
    )

    def __init__(self, model: object, forget: Callable[[Any], None]) -> None:
        self.model = weakref.ref(model, forget)
        self.by: Instrumented | None = None
        """Who describes it; None where it is not traced."""
        self.epoch: object = None
        """As of when it was asked."""
        self.made_of_others = True
        """Whether what it knows of itself may be another model's."""
        self._turn: object = None
        """Who is asking, unless it was fitted since."""
        self._description: Description | None = None
        self._told: tuple[str | None, str | None] = (None, None)
        """The name and the version that the user's functions give it."""
        self.recorded: dict[str, Recorded | None] = {}
        """Method → how its calls become predictions, as far as it was called."""
        self._parts: dict[Served, str | None] = {}
        """A model called within → what it is called there; None = it is no part."""

    def forget(self) -> None:
        """Have the model asked at its next call, also where it is being asked just now."""
        self._turn = self.epoch = None

    def refresh(self, model: object) -> None:
        """Ask the model what it is by now, where that may have changed."""
        epoch = state.epoch
        if self.epoch is epoch:
            return
        turn = self._turn = object()
        by = responsible(type(model))
        described = None
        told: tuple[str | None, str | None] = (None, None)
        if by is not None:
            with _DESCRIBE:
                described = by.integration.describe(model)
            described = described or Description(name=type(model).__name__)
            told = (_told(by.name, model), _told(by.version, model))
        if (by, described, told) != (self.by, self._description, self._told):
            # Otherwise what was learnt of the calls, such as from where on one is slow, is kept.
            self.recorded = {}
        self._parts = {}
        self.by, self._description, self._told = by, described, told
        self.made_of_others = _is_made_of_others(by, model)
        self.epoch = epoch if self._turn is turn else None

    @property
    def name(self) -> str:
        """What the model calls itself."""
        return "" if self._description is None else self._description.name

    def how_recorded(
        self, model: object, method: str, function: Callable[..., Any]
    ) -> Recorded | None:
        """How calls of a method become predictions; None where they are none."""
        try:
            return self.recorded[method]
        except KeyError:
            made = self._how_recorded(model, method, function)
            self.recorded[method] = made
            return made

    def part_name(self, part: object, its: Served) -> str | None:
        """What a model within this one is called; None where it is no part of it.

        Names are those at the first call of the part after this model was fitted.

        Args:
            part: the model.
            its: what is known of it.
        """
        try:
            return self._parts[its]
        except KeyError:
            whole = self.model()
            if whole is None or self.by is None:
                return None
            name = _part_name(self.by.integration, whole, part, _DEPTH_MAX)
            if len(self._parts) < _PARTS_MAX:
                self._parts[its] = name
            return name

    def _how_recorded(
        self, model: object, method: str, function: Callable[..., Any]
    ) -> Recorded | None:
        by, described = self.by, self._description
        if by is None or described is None or method not in by.integration.methods:
            return None
        reading = by.integration.read(described, method)
        if reading is None:
            return None
        # What follows must not hold the model.
        parameters = Parameters(MethodType(function, model), columns=described.columns)
        shape = CallShape.of(function)

        def start_of(asked: Asked | None) -> Start | None:
            return self._start(by, described, asked, method, reading, parameters)

        def asked_of(asked: Asked) -> Wrapper | None:
            start = start_of(asked)
            return None if start is None else _wrapper(start, reading, shape, described.name)

        if reading.asked is not None:
            return None, asking(reading.asked, asked_of)
        start = start_of(None)
        if start is None:
            return None
        if shape is CallShape.VALUE and not reading.takes_more:
            return start, None
        return None, _wrapper(start, reading, shape, described.name)

    def _start(
        self,
        by: Instrumented,
        described: Description,
        asked: Asked | None,
        method: str,
        reading: Reading,
        parameters: Parameters,
    ) -> Start | None:
        told = self._told
        if asked is not None:
            own = by.declaration
            told = (told[0] or own.model or asked.name, told[1] or own.version or asked.version)
        try:
            declared = _declared(by, described, told, method, reading)
            plan = declared.plan(parameters, default_model=described.name, owner=self)
        except ValueError as error:
            errors.warn_once(
                f"{described.name}.{method}",
                f"inferspan: {method} of {described.name} is not traced: {error}",
            )
            return None
        kind = SpanKind.INTERNAL if asked is None else SpanKind.CLIENT
        rule = altered(plan.rule, floats_are_classes=reading.floats_are_classes)
        plan = altered(plan, rule=rule, answer=reading.answer, inputs=reading.inputs, kind=kind)
        start = starter(plan)
        # What calls back, or is told its inputs otherwise, has no rows to cut.
        whole = reading.called_back is not None or reading.inputs is not None
        return start if whole else starter(plan, in_chunks(start))


def _wrapper(start: Start, reading: Reading, shape: CallShape, name: str) -> Wrapper:
    called_back = reading.called_back
    wrapper = wrapper_of(shape, start, False)
    if called_back is not None:
        wrapper = calling_back(start, called_back)
    if reading.sent is not None:
        wrapper = sending_along(wrapper, reading.sent, later=shape is CallShape.COROUTINE)
    if called_back is not None:
        return wrapper
    if reading.streamer is not None:
        from inferspan.streamers import streaming_to  # loads asyncio

        wrapper = streaming_to(wrapper, reading.streamer)
    if reading.postponed is not None:
        wrapper = unless_postponed(wrapper, reading.postponed, name)
    if reading.carried is not None:
        wrapper = in_request_of(wrapper, reading.carried, reading.returned)
    return wrapper


def _is_made_of_others(by: Instrumented | None, model: object) -> bool:
    """Whether a model has parts, or holds something that learns."""
    if by is None:
        return False
    with _LOOK:
        if any(True for _ in by.integration.parts(model)):
            return True
        holds = getattr(model, "__dict__", None)
        if type(holds) is not dict:
            return True
        for held in islice(holds.copy().values(), _HELD_MAX):
            several = held.values() if type(held) is dict else held
            items = islice(several, _HELD_MAX) if type(held) in _SEVERAL else (held,)
            if any(hasattr(type(item), "fit") for item in items):
                return True
        return False
    return True


def _part_name(integration: Integration, whole: object, part: object, depth: int) -> str | None:
    for name, found in integration.parts(whole):
        if found is part:
            return name
        if not name and depth:
            within = _part_name(integration, found, part, depth - 1)
            if within is not None:
                return within
    return None


def _declared(
    by: Instrumented,
    described: Description,
    told: tuple[str | None, str | None],
    method: str,
    reading: Reading,
) -> Declaration:
    """What was declared of all models of a library, and where nothing was, what this one knows."""
    declared = by.declaration
    classes = declared.classes or _as_texts(described.classes)
    task = reading.task or declared.task or described.task
    positive = declared.positive
    if positive is None and described.positive is not None and task == semconv.BINARY:
        positive = class_of(described.positive)
    return altered(
        declared,
        operation=reading.operation or by.integration.methods[method],
        model=told[0] or declared.model or described.name,
        version=told[1] or declared.version or described.version,
        artifact_hash=described.artifact_hash,
        framework=declared.framework or described.framework,
        task=task,
        classes=classes,
        positive=positive,
        threshold=described.threshold if declared.threshold is None else declared.threshold,
        output=declared.output or reading.output,
    )


def _told(ask: Callable[[Any], object] | None, model: object) -> str | None:
    """What the user's function says of a model."""
    if ask is None:
        return None
    with _NAME:
        said = ask(model)
        written = None if said is None else semconv.class_text(said)
        return text(written, NAME_LENGTH_MAX) if written else None
    return None


def _as_texts(classes: tuple[object, ...]) -> tuple[str, ...]:
    try:
        return tuple(class_of(known) for known in classes)
    except Misfit:
        return ()


def known(model: object) -> Served:
    """What is known of a model, as of now.

    Raises:
        TypeError: it takes no weak references.
    """
    key = id(model)
    found = state.models.get(key)
    if found is None or found.model() is not model:
        # Not the model, nor what is known of it, but its place: that may be another's by then.
        def forget(reference: object, models: dict[int, Served] = state.models) -> None:
            held = models.get(key)
            if held is not None and held.model is reference:
                del models[key]

        found = state.models[key] = Served(model, forget)
    found.refresh(model)
    return found
