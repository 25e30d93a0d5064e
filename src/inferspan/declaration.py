"""What a decorator or `wrap` was told about a model, checked once."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, ParamSpec, Self, TypeVar

from inferspan import exporters, semconv, settings
from inferspan.arguments import Computed, Parameters, Source, SourceName
from inferspan.attributes import CLASS_LENGTH_MAX, NAME_LENGTH_MAX, Attributes, name_fault, text
from inferspan.containment import errors
from inferspan.features import FEATURES_MAX
from inferspan.frozen import frozen
from inferspan.output_columns import Misfit, OutputRule, class_of
from inferspan.plans import PredictionPlan
from inferspan.redaction import Redaction, Redactor
from inferspan.settings import checked_choice, checked_ratio

GEN_AI_OPERATION: Final = "generate_content"
"""Of OpenTelemetry's names for what is generated, the one that does not say how it is asked for."""

P = ParamSpec("P")
R = TypeVar("R")
Names = Iterable[str] | Mapping[str, SourceName] | Callable[..., object]
"""Names of arguments or columns; or what each is called → its name; or a callable → a mapping."""


@frozen
class Declaration:
    """The options of `predict` and `wrap`, checked as far as no signature is needed."""

    model: str | None = None
    version: str | None = None
    """Text; an integer that was given is written as one."""
    task: str | None = None
    operation: str = "predict"
    positive: str | None = None
    classes: tuple[str, ...] = ()
    threshold: float | None = None
    variant: str | None = None
    framework: str | None = None
    artifact_hash: str | None = None
    """Of what was loaded; nobody declares it."""
    prediction_id: SourceName | None = None
    slices: Names | None = None
    features: Names | None = None
    output: Callable[[Any], object] | None = None
    capture: str | None = None
    redactor: Redactor | None = None
    sample_ratio: float | None = None

    @classmethod
    def of(
        cls,
        *,
        task: str | None = None,
        operation: str = "predict",
        positive: object = None,
        classes: Iterable[object] | None = None,
        threshold: float | None = None,
        capture: str | None = None,
        output: Callable[[Any], object] | None = None,
        redact: Redaction | None = None,
        sample_ratio: float | None = None,
        **others: Any,
    ) -> Self:
        """Check the options.

        Raises:
            ValueError: a value breaks its rule; says which, and what to do.
        """
        # Settings of the environment that break a rule shall say so here, at the start.
        settings.current()
        exporters.load()
        if task is not None:
            checked_choice("task", task, semconv.TASKS)
        checked_choice("operation", operation, semconv.OPERATIONS)
        if capture is not None:
            checked_choice("capture", capture, semconv.CAPTURE_POLICIES)
        model = others.get("model")
        if model is not None and not isinstance(model, str):
            raise ValueError(f"model={model!r:.80}: must be a text such as 'fraud'")
        for name in ("model", "version", "variant", "framework"):
            others[name] = _checked_name(name, others.get(name))
        if output is not None and not callable(output):
            raise ValueError(f"output={output!r:.80}: must be a callable of what is returned")
        _check_threshold(threshold, task)
        known = _checked_classes(classes)
        positive_text = None if positive is None else _checked_class("positive", positive)
        if positive_text is not None and known and positive_text not in known:
            raise ValueError(f"positive={positive!r:.80}: must be one of classes={list(known)}")
        if task == semconv.BINARY and known and len(known) != 2:
            raise ValueError(
                f"classes={list(known)}: {task} has 2 classes, not {len(known)}; name both, or "
                f"declare task={semconv.MULTICLASS!r}"
            )
        return cls(
            task=task,
            operation=operation,
            positive=positive_text,
            classes=known,
            threshold=None if threshold is None else float(threshold),
            capture=capture,
            output=output,
            redactor=Redactor.of(redact),
            sample_ratio=None
            if sample_ratio is None
            else checked_ratio("sample_ratio", sample_ratio),
            **others,
        )

    def plan(
        self,
        parameters: Parameters,
        *,
        default_model: str,
        owner: object = None,
        live_rule: Callable[[], OutputRule] | None = None,
    ) -> PredictionPlan:
        """Resolve the declaration against a function's signature.

        Raises:
            ValueError: the signature lacks a name that was declared.
        """
        model = self.model or text(default_model, NAME_LENGTH_MAX)
        slices, more_slices = _named_sources(parameters, "slices", self.slices)
        features, more_features = _named_sources(parameters, "features", self.features)
        _check_slices([key for key, _ in slices])
        if len(features) > FEATURES_MAX:
            raise ValueError(f"features: {len(features)} names, at most {FEATURES_MAX}; name fewer")
        source = self.prediction_id
        self._say_what_is_missing(model)
        return PredictionPlan(
            span_name=f"{self.operation} {model}",
            model=model,
            version=self.version,
            constants=self._constants(model),
            rule=self.rule(),
            capture=self.capture,
            sample_ratio=self.sample_ratio,
            prediction_id=None if source is None else parameters.source("prediction_id", source),
            slices=slices,
            more_slices=more_slices,
            features=features,
            more_features=more_features,
            output=self.output,
            redact=self.redactor,
            argument_names=parameters.names(),
            owner=owner,
            live_rule=live_rule,
        )

    def rule(self) -> OutputRule:
        """What is declared about outputs."""
        return OutputRule(self.task, self.operation, self.positive, self.classes, self.threshold)

    def _constants(self, model: str) -> Attributes:
        known = {
            semconv.OPERATION_NAME: self.operation,
            semconv.MODEL_NAME: model,
            semconv.MODEL_VERSION: self.version,
            semconv.MODEL_VARIANT: self.variant,
            semconv.MODEL_FRAMEWORK: self.framework,
            semconv.MODEL_ARTIFACT_HASH: self.artifact_hash,
            semconv.TASK_TYPE: self.task,
            semconv.OUTPUT_POSITIVE_CLASS: self.positive,
            semconv.OUTPUT_THRESHOLD: self.threshold,
        }
        if self.task == semconv.GENERATION:
            known[semconv.GEN_AI_OPERATION_NAME] = GEN_AI_OPERATION
            known[semconv.GEN_AI_REQUEST_MODEL] = model
        return {name: value for name, value in known.items() if value is not None}

    def _say_what_is_missing(self, model: str) -> None:
        if self.task is None and not self.rule().untyped:
            errors.warn_once(
                f"no task {model}",
                f"inferspan: {model} declares no task, so only equality or numeric error is "
                "computed of it; declare task='binary_classification', 'regression', …",
            )


def _named_sources(
    parameters: Parameters,
    what: str,
    names: Names | None,
) -> tuple[tuple[tuple[str, Source], ...], Source | None]:
    """Resolve an option that names several values.

    Args:
        parameters: of the decorated function.
        what: the option, for errors.
        names: names; or a mapping from what each is called to its name or callable; or one
            callable whose answer is a mapping.

    Returns:
        Name and source of each value, and the source of a mapping of further ones.

    Raises:
        ValueError: the signature lacks a name, two values have one name, or the option is no list
            of texts.
    """
    if names is None:
        return (), None
    if callable(names):
        return (), Computed(names)
    if isinstance(names, str):
        raise ValueError(f"{what}={names!r}: must be a list of names; write {what}=[{names!r}]")
    if not isinstance(names, Iterable):
        raise ValueError(f"{what}={names!r:.80}: must be a list of names, a mapping or a callable")
    if isinstance(names, Mapping):
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{what}={names!r:.150}: must have texts as keys, {{'name': source}}")
        # A copy, and without half surrogate pairs, which no exporter can carry.
        called = [(text(name, NAME_LENGTH_MAX), source) for name, source in names.items()]
    else:
        called = [(_own_name(what, name), name) for name in names]
    seen: dict[str, object] = {}
    for name, source in called:
        if name in seen:
            raise ValueError(
                f"{what}: {seen[name]!r} and {source!r} are both called {name!r}; give each a name "
                f"of its own, {what}={{'one': {seen[name]!r}, 'other': {source!r}}}"
            )
        seen[name] = source
    return tuple((name, parameters.source(what, source)) for name, source in called), None


def _own_name(what: str, name: object) -> str:
    """A column is called by its own name: `order.country` is the slice `country`."""
    if not isinstance(name, str):
        raise ValueError(f"{what} holds {name!r:.80}: must hold names of arguments or columns")
    return text(name.rpartition(".")[2], NAME_LENGTH_MAX)


def refuse_unknown(what: str, given: Iterable[str], known: Collection[str]) -> None:
    """Check the names of options.

    Raises:
        TypeError: an unknown one; says which it may mean, and which there are.
    """
    for name in given:
        if name not in known:
            import difflib  # only for what is misspelt

            close = difflib.get_close_matches(name, known, 1)
            meant = f"; did you mean {close[0]!r}?" if close else "."
            raise TypeError(
                f"{what} has no option {name!r}{meant} Its options are {', '.join(known)}."
            )


def options_known(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function refuse keywords that it has not in the words of `refuse_unknown`."""
    parameters = inspect.signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        refuse_unknown(f"{function.__name__}()", kwargs, known)
        return function(*args, **kwargs)

    return checked


def _check_slices(keys: list[str]) -> None:
    if len(keys) > semconv.SLICE_KEYS_MAX:
        raise ValueError(
            f"slices={keys}: {len(keys)} keys, at most {semconv.SLICE_KEYS_MAX}; slice by fewer"
        )
    for key in keys:
        if not key or "." in key:
            raise ValueError(f"slices: the key {key!r} must be a name without a dot")


def _checked_name(what: str, value: object) -> str | None:
    if value is None:
        return None
    written = semconv.class_text(value)
    if not written:
        raise ValueError(
            f"{what}={value!r:.150}: must be a text of 1 to {NAME_LENGTH_MAX} characters"
        )
    if (fault := name_fault(written)) is not None:
        raise ValueError(f"{what}={value!r:.150} {fault}")
    return written


def _check_threshold(threshold: object, task: str | None) -> None:
    if threshold is None:
        return
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise ValueError(f"threshold={threshold!r:.80}: must be a number such as 0.5")
    if not math.isfinite(threshold) or (task == semconv.BINARY and not 0 <= threshold <= 1):
        raise ValueError(
            f"threshold={threshold!r:.80}: must be finite, and from 0 to 1 for a {semconv.BINARY}"
        )


def _checked_classes(classes: object) -> tuple[str, ...]:
    if classes is None:
        return ()
    if isinstance(classes, (str, bytes)) or not isinstance(classes, Iterable):
        raise ValueError(f"classes={classes!r:.80}: must be a list such as ['legit', 'fraud']")
    known = tuple(_checked_class("classes", one) for one in classes)
    if len(set(known)) != len(known):
        raise ValueError(f"classes={list(known)}: must name each class once")
    return known


def _checked_class(what: str, value: object) -> str:
    try:
        return class_of(value)
    except Misfit:
        raise ValueError(
            f"{what} holds {value!r:.80}: must be a string, boolean or number of at most "
            f"{CLASS_LENGTH_MAX:,} characters"
        ) from None
