"""`wrap`: a model object whose own predicting methods run under spans."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar, cast

import numpy as np
import wrapt

from inferspan.arguments import Arguments, Parameters, SourceName
from inferspan.attaching import current
from inferspan.calls import CallShape, wrapper_of
from inferspan.current import CURRENT_KEY
from inferspan.declaration import Declaration, Names, options_known
from inferspan.frozen import altered
from inferspan.output_columns import Misfit, OutputRule, class_of
from inferspan.plans import PredictionPlan
from inferspan.predictions import PredictionCall
from inferspan.proxies import AttributeProxy
from inferspan.redaction import Redaction
from inferspan.usual_calls import starter

Model = TypeVar("Model")

OPERATION_OF: Final = {
    "predict": "predict",
    "predict_proba": "predict_proba",
    "decision_function": "predict",
    "transform": "transform",
    "__call__": "predict",
}
"""Traced method → operation."""


class TracedMethod(AttributeProxy):
    """A method of a traced model; pickles as the attribute of that model."""

    def __init__(self, owner: TracedModel, name: str, method: Callable[..., Any]) -> None:
        super().__init__(owner, name, method, owner._self_method(name, method).call)


class _FluentMethod(AttributeProxy):
    """A method that, where it answers its model, answers the traced one."""

    def __init__(self, owner: TracedModel, name: str, method: Callable[..., Any]) -> None:
        def call(
            wrapped: Callable[..., Any], instance: object, args: Arguments, kwargs: dict[str, Any]
        ) -> Any:
            returned = wrapped(*args, **kwargs)
            return owner if returned is owner.__wrapped__ else returned

        super().__init__(owner, name, method, call)


class TracedModel(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A model whose predicting methods are traced; everything else is the model's own.

    `isinstance`, attributes and `repr` are the model's. Pickles, copies and scikit-learn's clones
    of it are traced models again, around a pickle, copy or clone of the inner one.
    """

    def __init__(self, model: object, declaration: Declaration) -> None:
        super().__init__(model)
        self._self_declaration = declaration
        self._self_methods: dict[str, _Method] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__wrapped__, name)
        if name in OPERATION_OF and callable(found):
            return TracedMethod.of(self, name, found)
        # Functions that an instance holds as data are not its methods.
        if inspect.isroutine(found) and name not in getattr(self.__wrapped__, "__dict__", ()):
            return _FluentMethod.of(self, name, found)
        return found

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __enter__(self) -> Any:
        entered = self.__wrapped__.__enter__()
        return self if entered is self.__wrapped__ else entered

    async def __aenter__(self) -> Any:
        entered = await self.__wrapped__.__aenter__()
        return self if entered is self.__wrapped__ else entered

    def _self_method(self, name: str, found: Callable[..., Any]) -> _Method:
        method = self._self_methods.get(name)
        if method is None:
            method = _Method(self.__wrapped__, name, found, self._self_declaration)
            self._self_methods[name] = method
        return method

    def __reduce_ex__(self, protocol: object) -> Any:
        return _traced_model, (self.__wrapped__, self._self_declaration)

    def __reduce__(self) -> Any:
        return _traced_model, (self.__wrapped__, self._self_declaration)

    def __copy__(self) -> Any:
        return _traced_model(copy.copy(self.__wrapped__), self._self_declaration)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _traced_model(copy.deepcopy(self.__wrapped__, memo), self._self_declaration)

    def __sklearn_clone__(self) -> Any:
        # The function, not the method: objects with get_params need no __sklearn_clone__.
        from sklearn.base import clone

        return _traced_model(clone(self.__wrapped__), self._self_declaration)


class TracedCallableModel(TracedModel):
    """A traced model that can be called itself."""

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the model."""
        method = self._self_method("__call__", self.__wrapped__)
        return method.call(self.__wrapped__, None, args, kwargs)


class _Method:
    """How one method of one model is traced."""

    def __init__(
        self, model: object, name: str, found: Callable[..., Any], declaration: Declaration
    ) -> None:
        self._model = model
        declared = altered(declaration, operation=OPERATION_OF[name])
        if name == "decision_function" and declared.output is None:
            declared = altered(declared, output=self._decided)
        self._rule = declared.rule()
        self._found: tuple[object, OutputRule] = None, self._rule
        """The `classes_` that the model was seen to have last, and the rule with them."""
        self._plan: PredictionPlan = declared.plan(
            Parameters(found),
            default_model=type(model).__name__,
            owner=model,
            live_rule=None if declaration.classes else self._live_rule,
        )
        self._traced = wrapper_of(CallShape.of(found), starter(self._plan), False)

    def call(
        self,
        wrapped: Callable[..., Any],
        instance: object,
        args: Arguments,
        kwargs: dict[str, Any],
    ) -> Any:
        """Call the method; inside another call of the same model it is part of that one."""
        context = current()
        running = context.get(CURRENT_KEY) if context else None
        # As `current_call`, without its frames.
        if (
            isinstance(running, PredictionCall)
            and not running.ended
            and running.plan.owner is self._model
        ):
            return wrapped(*args, **kwargs)
        return self._traced(wrapped, instance, args, kwargs)

    def _live_rule(self) -> OutputRule:
        """The declared rule with the classes that the fitted model knows now."""
        known = getattr(self._model, "classes_", None)
        seen, rule = self._found
        if known is not seen:
            classes = _as_texts(known)
            rule = altered(self._rule, classes=classes, floats_are_classes=bool(classes))
            self._found = known, rule
        return rule

    def _decided(self, scores: object) -> list[str]:
        """scikit-learn's rule for two classes: above zero is the second. It has no other."""
        classes = self._rule.classes or self._live_rule().classes
        if len(classes) != 2 or not isinstance(scores, np.ndarray) or scores.ndim != 1:
            raise Misfit("decision_function of other than two known classes says no class")
        return [classes[int(positive)] for positive in scores > 0]


def _as_texts(known: Any) -> tuple[str, ...]:
    """What a model has as its `classes_`, as texts; none where it has none."""
    # Arrays, series and indexes have `tolist`.
    listed = known.tolist() if hasattr(type(known), "tolist") else known
    try:
        return tuple(class_of(one) for one in (() if listed is None else listed))
    except Misfit:
        # Several outputs have a list of classes each, which is no list of classes.
        return ()


@options_known
def wrap(
    obj: Model,
    /,
    *,
    model: str | None = None,
    version: str | int | None = None,
    task: str | None = None,
    positive: object = None,
    classes: Iterable[object] | None = None,
    threshold: float | None = None,
    variant: str | None = None,
    framework: str | None = None,
    prediction_id: SourceName | None = None,
    slices: Names | None = None,
    features: Names | None = None,
    output: Callable[[Any], object] | None = None,
    capture: str | None = None,
    redact: Redaction | None = None,
    sample_ratio: float | None = None,
) -> Model:
    """Trace the predicting methods of a model object.

    `predict`, `predict_proba`, `decision_function`, `transform` and calls of the object become
    predictions. The object is not changed; use the result in its place. Methods that answer the
    object (`fit`, `eval`), pickles, copies and scikit-learn's clones are traced, too.

    Args:
        obj: the model: a scikit-learn estimator or pipeline, or anything with such methods. One
            that is traced already is declared anew.
        model: the model's name; absent = the name of its class.
        version: of the model; an integer is written as text.
        task: this and the options below are as in `inferspan.predict`.
        positive: the positive class of a binary task.
        classes: in the order of the columns of probabilities; absent = the object's `classes_`.
        threshold: the score from which the positive class is answered.
        variant: how the call was routed.
        framework: absent = the package that the object's class comes from.
        prediction_id: name of the methods' argument, or of a column of its data frame.
        slices: up to 8 names by which quality is broken down.
        features: names of inputs that may be recorded.
        output: maps an unusual return value.
        capture: `shapes`, `values` or `none`.
        redact: patterns of names, a mapping of them, or a hook.
        sample_ratio: share of calls that get a full span.

    Raises:
        ValueError: an option breaks its rule.
        TypeError: an unknown option, or no object with one of these methods: a class, a function.
    """
    if isinstance(obj, TracedModel):
        obj = obj.__wrapped__
    _check_model(obj)
    declaration = Declaration.of(
        model=model,
        version=version,
        task=task,
        positive=positive,
        classes=classes,
        threshold=threshold,
        variant=variant,
        framework=framework or _framework(obj),
        prediction_id=prediction_id,
        slices=slices,
        features=features,
        output=output,
        capture=capture,
        redact=redact,
        sample_ratio=sample_ratio,
    )
    return cast("Model", _traced_model(obj, declaration))


def _check_model(obj: object) -> None:
    if isinstance(obj, type):
        raise TypeError(
            f"wrap() got the class {obj.__name__}: must be an object; write wrap({obj.__name__}(…))"
        )
    if inspect.isroutine(obj) or not any(
        callable(getattr(obj, name, None)) for name in OPERATION_OF
    ):
        raise TypeError(
            f"wrap() got a {type(obj).__name__}: must have one of {', '.join(OPERATION_OF)}; for a "
            "function use @inferspan.predict"
        )


def _traced_model(obj: object, declaration: Declaration) -> TracedModel:
    kind = TracedCallableModel if callable(obj) else TracedModel
    traced = kind(obj, declaration)
    # Names that a signature lacks shall be said now, not at the first call.
    for name in OPERATION_OF:
        found = obj if name == "__call__" else getattr(obj, name, None)
        if callable(found):
            traced._self_method(name, found)
    return traced


def _framework(obj: object) -> str | None:
    package = type(obj).__module__.partition(".")[0]
    return None if package in ("__main__", "builtins") else package
