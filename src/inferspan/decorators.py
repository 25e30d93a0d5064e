"""Function call → wrapper: `predict`, `stage` and `snapshot`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partialmethod
from types import TracebackType
from typing import Any, Final, TypeVar, overload

from opentelemetry.trace import Span, get_current_span

from inferspan import attaching, semconv
from inferspan.arguments import Arguments, Keywords, Parameters, SourceName
from inferspan.attributes import Attributes, text
from inferspan.containment import Contained
from inferspan.current import Running, running
from inferspan.declaration import Declaration, Names, refuse_unknown
from inferspan.predictions import PredictionCall
from inferspan.redaction import PLACEHOLDER, Redaction
from inferspan.sampling import SPAN_KEY
from inferspan.spans import SpanScope
from inferspan.tensors import statistics, tensor
from inferspan.usual_calls import starter

# Quoted: these two take parameters for type checkers only.
F = TypeVar("F", bound="Callable[..., Any] | classmethod[Any, ..., Any] | staticmethod[..., Any]")

PREDICT_OPTIONS: Final = (
    "model",
    "version",
    "task",
    "operation",
    "positive",
    "classes",
    "threshold",
    "variant",
    "framework",
    "prediction_id",
    "slices",
    "features",
    "output",
    "capture",
    "redact",
    "sample_ratio",
)
"""Names of the options of `predict`."""
_STATE_TENSOR: Final = "inferspan.state."
_SNAPSHOT: Final = Contained("take a snapshot")
_STAGE: Final = Contained("begin a stage")


@overload
def predict(function: F, /) -> F: ...


@overload
def predict(
    *,
    model: str | None = None,
    version: str | int | None = None,
    task: str | None = None,
    operation: str = "predict",
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
) -> Callable[[F], F]: ...


def predict(function: Any = None, /, **options: Any) -> Any:
    """Make every call of a function a prediction: a span with identity, inputs and typed output.

    Works bare (`@predict`) and with arguments, on functions, coroutine functions, generators,
    async generators, methods, class and static methods, callable objects and partials. The
    function behaves as before: same signature, results, exceptions and pickles.

    Args:
        function: the function, where used bare; its name is then the model's.
        **options:
            model: the model's name; absent = the function's.
            version: of the model; an integer is written as text.
            task: `binary_classification`, `multiclass_classification`, `multilabel_classification`,
                `regression`, `ranking`, `forecasting`, `detection`, `embedding` or `generation`.
            operation: `predict`, `predict_proba`, `embed`, `rank`, `detect`, `forecast`,
                `transform` or `generate`.
            positive: the positive class of a binary task. A score is P(positive).
            classes: the classes, in the order of the columns of probabilities.
            threshold: the score from which the positive class is answered.
            variant: how the call was routed: `canary`, `shadow`.
            framework: what the model is made with: `sklearn`.
            prediction_id: name of the argument (or column, `frame.column`) that identifies the
                prediction, or a callable of the call's arguments. Absent = a new UUIDv7.
            slices: up to 8 names by which quality is broken down.
            features: names of inputs that may be recorded: an explicit allow-list.
            output: maps an unusual return value to a class, a number, `{"label", "score",
                "value", "probabilities"}` or `(label, score)`.
            capture: `shapes`, `values` or `none`; absent = what `configure()` or
                `INFERSPAN_CAPTURE` say at the time of the call. Declared slices and typed outputs
                are recorded under every policy.
            redact: patterns of names (`["*card*"]`) whose values are replaced, or a hook
                (name, value) → what may be recorded. Of inputs, outputs shown to people, slices
                and features; the typed output stays.
            sample_ratio: share of calls that get a full span, 0 to 1, of those without a parent and
                those under a sampled one; absent = as the provider's sampler says. The others
                leave slim records: figures stay exact.

    Raises:
        ValueError: an unknown task, operation or policy, or a name that the signature lacks.
        TypeError: an unknown option, or what is decorated is not callable, or is a class.
    """
    refuse_unknown("predict()", options, PREDICT_OPTIONS)
    declaration = Declaration.of(**options)
    if function is not None:
        return _traced(function, declaration)

    def decorate(decorated: F) -> F:
        return _traced(decorated, declaration)  # type: ignore[no-any-return]

    return decorate


def _traced(function: Any, declaration: Declaration) -> Any:
    function = _as_in_its_class("predict", function)
    if isinstance(function, type) or not (
        callable(function) or isinstance(function, (classmethod, staticmethod))
    ):
        raise TypeError(
            f"predict() got {function!r:.80}: must be a function or another callable; write "
            "@inferspan.predict(model=…) above a function, or inferspan.wrap(object, model=…)"
        )
    parameters = Parameters(function)
    plan = declaration.plan(parameters, default_model=_name_of(function))
    return _proxy(function, starter(plan), parameters.binds, (_traced, declaration))


def _as_in_its_class(decorator: str, function: Any) -> Any:
    """What a class makes of a function by itself, which it does only where it is plain."""
    if isinstance(function, partialmethod):
        raise TypeError(
            f"{decorator}() got {function!r:.80}: a partialmethod is no callable; decorate the "
            f"method that it calls, partialmethod(inferspan.{decorator}(…)(method), …)"
        )
    implicit = getattr(function, "__name__", "") in ("__init_subclass__", "__class_getitem__")
    return classmethod(function) if implicit and inspect.isfunction(function) else function


def _name_of(function: Any) -> str:
    inner = getattr(function, "func", function)  # of a partial
    return getattr(inner, "__name__", None) or type(inner).__name__


class StageScope(SpanScope):
    """One intermediate step of a prediction.

    Args:
        name: what the step is called.
        call: the prediction; None outside of one.
    """

    def __init__(self, name: str, call: Running | None) -> None:
        self._name = name
        self._call = call
        super().__init__(name if call is None else text(f"{name} {call.plan.model}"))
        if call is not None and self.recording:
            self._name_owner(call)

    def _name_owner(self, call: Running) -> None:
        """Say which prediction's step it is, where its parent does not."""
        parent = self._parent.get(SPAN_KEY)
        if isinstance(call, PredictionCall):
            if parent is call.span:
                return
            owner = call.span.get_span_context()
        else:
            reference = call.reference()
            if reference is None:
                return
            owner = reference.span_context
        above = parent.get_span_context() if isinstance(parent, Span) else None
        own = self.span.get_span_context()
        if owner.trace_id == own.trace_id and (above is None or above.span_id != owner.span_id):
            self.attributes[semconv.PREDICTION_SPAN_ID] = f"{owner.span_id:016x}"

    def records_messages(self) -> bool:
        """As the prediction it is a step of."""
        return self._call is not None and self._call.records_messages()

    def complete(self, attributes: Attributes) -> None:
        """Add the stage's name."""
        attributes[semconv.STAGE_NAME] = self._name

    def release(self) -> None:
        """Let go of the prediction, too."""
        super().release()
        self._call = None


class stage:  # used as a function: `with stage("features"):`, `@stage("features")`
    """An intermediate step of a prediction: a span of its own, `{stage} {model}`.

    A context manager for one block, and a decorator for functions of every kind.

    Args:
        name: what the step is called: `features`.

    Raises:
        ValueError: the name is empty or no text.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ValueError(f"stage({name!r:.80}): must be a text; write stage('features')")
        self._name = text(name, 128)
        self._open: list[StageScope | None] = []

    def __enter__(self) -> None:
        scope: StageScope | None = None
        try:
            with _STAGE:
                scope = StageScope(self._name, running())
                scope.attach()
            self._open.append(scope)
        except BaseException as interrupt:
            self._break_off(scope, interrupt)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope: StageScope | None = None
        try:
            scope = self._innermost()
            self._open.remove(scope)
            if scope is not None:
                scope.leave(error)
        except BaseException as interrupt:
            self._break_off(scope, interrupt)
            raise

    def _break_off(self, scope: StageScope | None, interrupt: BaseException) -> None:
        """End a block whose begin or end a signal handler interrupted: the one that is current."""
        context = attaching.current()
        for opened in (scope, *self._open):
            if opened is not None and (opened is scope or opened.context is context):
                if opened in self._open:
                    self._open.remove(opened)
                opened.detach()
                if not opened.ended:
                    opened.fail(interrupt)
                return

    def _innermost(self) -> StageScope | None:
        """The block that ends here: tasks and threads may have others of this object open."""
        opened = tuple(self._open)
        # By its context, for where nobody traces all have one span; by its span where the block
        # made another context current, and left it so.
        context, span = attaching.current(), get_current_span()
        for scope in reversed(opened):
            if scope is not None and scope.context is context:
                return scope
        for scope in reversed(opened):
            if scope is not None and scope.span is span:
                return scope
        return opened[-1]

    def __call__(self, function: F) -> F:
        """Make every call of a function such a step."""
        return _staged(function, self._name)  # type: ignore[no-any-return]


def _staged(function: Any, name: str) -> Any:
    function = _as_in_its_class("stage", function)

    def start(arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope:
        return StageScope(name, running())

    return _proxy(function, start, False, (_staged, name))


def snapshot(name: str, value: object) -> None:
    """Record an intermediate state of the current prediction as an event on its span.

    Size, shape and element type under every policy but `none`; for numbers also count, NaN count,
    mean, standard deviation, least and greatest. Under `values`, arrays of more than 64 elements
    go along packed, where they fit. Where `redact` names the state, only its name is recorded.
    Outside of a prediction, and where its span is not sampled, nothing is done.

    Args:
        name: what the state is called: `embedding`.
        value: an array, a list of numbers, a data frame, a number; of others only the type.
    """
    with _SNAPSHOT:
        call = running()
        if call is not None and (found := snapshot_of(call, name, value)) is not None:
            get_current_span().add_event(semconv.EVENT_SNAPSHOT, found)


def snapshot_of(call: Running, name: str, value: object) -> Attributes | None:
    """What the event says of an intermediate state of a prediction; None where there is none."""
    if not call.recording or call.policy == "none":
        return None
    name = text(str(name), 128)
    return {semconv.STATE_NAME: name, **state_of(call, name, value)}


def state_of(call: Running, name: str, value: object) -> Attributes:
    """What is recorded of an intermediate state of a prediction beside its name."""
    if not call.recording or (policy := call.policy) == "none":
        return {}
    redactor = call.plan.redactor
    if redactor is not None:
        value = redactor.apply(name, value)
        if value is PLACEHOLDER:
            return {}
    found = statistics(value, redacted=redactor is not None)
    if policy == "values":
        found.update(tensor(_STATE_TENSOR, name, value, semconv.CONTENT_BYTES_MAX // 4))
    return found


def _proxy(function: Any, start: Any, binds: bool, reduced: tuple[Any, ...]) -> Any:
    # Here, because `wrapt` loads asyncio, which importing inferspan need not wait for.
    from inferspan.proxies import TracedFunction

    return TracedFunction(function, start, binds, reduced)
