"""The trace and the current prediction → headers, and back: over queues, HTTP, threads, processes.

The trace and the baggage travel as OpenTelemetry's configured propagators write them. The current
prediction, or the batch of several, travels in a header of its own, `inferspan-prediction`: not in
the baggage, which every instrumented client sends on to whomever it calls.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextvars import ContextVar, Token
from itertools import islice
from types import TracebackType
from typing import Any, Final, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload
from urllib.parse import quote, unquote

from opentelemetry import context as otel_context
from opentelemetry import propagate
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from inferspan.attributes import NAME_LENGTH_MAX, text
from inferspan.containment import Contained, errors
from inferspan.current import current_prediction, made_current, running
from inferspan.references import PredictionRef

PREDICTION_HEADER: Final = "inferspan-prediction"
"""Holds `PredictionRef.to_token()` of the current prediction; in a batch the model instead."""
_BATCH: Final = "batch:"
"""Before the model of a batch, which is percent-encoded; no token has a colon."""
HEADERS_MAX: Final = 1024
"""Headers of a carrier that are looked at."""
VALUE_LENGTH_MAX: Final = 8192
"""Bytes or characters of one header; longer ones are passed over."""

_INJECT: Final = Contained("inject a context")
_EXTRACT: Final = Contained("extract a context")
_ATTACH: Final = Contained("attach a context")

Pairs = list[tuple[Any, Any]]
Headers = MutableMapping[str, Any] | Pairs
"""What is written into: a mapping of names to texts, or Kafka's list of (name, bytes)."""
Carrier = Mapping[Any, Any] | Iterable[tuple[Any, Any]]
"""What is read from; names and values are texts or bytes."""

H = TypeVar("H", bound=Headers)
P = ParamSpec("P")
T = TypeVar("T")


@overload
def inject(carrier: None = None, prediction: PredictionRef | None = None) -> dict[str, str]: ...
@overload
def inject(carrier: H, prediction: PredictionRef | None = None) -> H: ...
def inject(carrier: Any = None, prediction: PredictionRef | None = None) -> Any:
    """Write the current trace, baggage and prediction into a message's headers.

    Ids travel as they are sent to the collector: with `INFERSPAN_ID_KEY` set, the header holds the
    HMAC of the prediction's id and not the id. Without it, the id can be read by whoever can read
    the message.

    Args:
        carrier: a mapping, whose values become texts, or a list of pairs as Kafka's clients have
            them, which get bytes; changed in place. None = a new dict.
        prediction: taken earlier, for code that runs outside of its call; the receiver goes on
            where that prediction was. None = the current one, where there is one.

    Returns:
        The carrier. Nothing is raised: a carrier that cannot be written to stays as it is, which is
        counted and logged.
    """
    headers: dict[str, str] = {}
    with _INJECT:
        context = otel_context.get_current()
        if prediction is None:
            prediction = current_prediction()
        elif not _in_trace(context, prediction.span_context) and prediction.span_context.is_valid:
            context = set_span_in_context(NonRecordingSpan(prediction.span_context), context)
        if prediction is not None:
            headers[PREDICTION_HEADER] = prediction.to_token()
        elif (around := running()) is not None:
            headers[PREDICTION_HEADER] = _BATCH + quote(around.plan.model, safe="")
        propagate.inject(headers, context)
    if carrier is None:
        return headers
    with _INJECT:
        if isinstance(carrier, list):
            _write_pairs(carrier, headers)
        else:
            for name, value in headers.items():
                carrier[name] = value
    return carrier


class ExtractedContext(Context):
    """An OpenTelemetry context, and a context manager in whose block it is the current one."""

    def __enter__(self) -> None:
        token: Token[Context] | None = None
        with _ATTACH:
            token = otel_context.attach(self)
        _tokens.set((*_tokens.get(), (self, token)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Literal[False]:
        held = _tokens.get()
        own = next((at for at in reversed(range(len(held))) if held[at][0] is self), None)
        # Left in another context than it was entered in, it is not current here: a generator of a
        # web framework is closed by another thread or task.
        if own is not None:
            _tokens.set((*held[:own], *held[own + 1 :]))
            if (token := held[own][1]) is not None:
                with _ATTACH:
                    otel_context.detach(token)
        return False


# Of this task or thread, so that one extracted context may be shared.
_tokens: Final[ContextVar[tuple[tuple[ExtractedContext, Token[Context] | None], ...]]] = ContextVar(
    "inferspan-tokens", default=()
)


def extract(carrier: Carrier) -> ExtractedContext:
    """Read a message's headers, to go on where `inject` was called.

    In the block of `with extract(headers):`, new spans are children of the sender's, and
    `current_prediction()` is the sender's prediction: its `.label(...)` works, and stages are named
    after its model. Snapshots do nothing, because what the sender declared to be redacted is not
    known here. Of a sender in a batch, stages are the batch's, and there is no prediction.

    Names are read whatever their case; names and values may be bytes. What is missing stays as it
    is in the current context. Where the current span is in the sender's trace already, because an
    instrumentation of the queue or the web server went on with it, it stays the parent.

    Args:
        carrier: a mapping of headers, or an iterable of pairs.

    Returns:
        The context; `opentelemetry.context.attach` and `start_span(context=…)` take it too. Nothing
        is raised: headers that cannot be read count as absent, which is counted and logged.
    """
    current = otel_context.get_current()
    found = current
    with _EXTRACT:
        headers = dict(_readable(carrier))
        found = propagate.extract(headers, current, _LOWER_CASE)
        if _in_trace(current, get_current_span(found).get_span_context()):
            found = set_span_in_context(get_current_span(current), found)
        if token := headers.get(PREDICTION_HEADER):
            found = _with_prediction(token, found)
    return ExtractedContext(found)


def carry(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function run in the context of here and now, in another thread or process.

    `pool.submit(carry(function), x)` works for thread pools, where all context variables are taken
    along, and for process pools, where what is pickled is the function and what `inject` writes.
    The answer may be called any number of times, also at the same time. asyncio's tasks and
    `asyncio.to_thread` do as much by themselves; `loop.run_in_executor` does not.

    Args:
        function: not a coroutine function; for a process pool, one that pickles.
    """
    return CarriedFunction(function)


class CarriedFunction(Generic[P, T]):
    """A function with the context in which it runs."""

    __slots__ = ("_context", "_function", "_prediction")

    def __init__(self, function: Callable[P, T]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        # Now: when it is pickled, the call may be over.
        self._prediction = current_prediction()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function."""
        # A copy, because a context can be entered only once at a time.
        return self._context.copy().run(self._function, *args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        headers = self._context.copy().run(inject, None, self._prediction)
        return ArrivedFunction, (self._function, headers)


class ArrivedFunction(Generic[P, T]):
    """A function with the headers of the process that it came from."""

    __slots__ = ("_function", "_headers")

    def __init__(self, function: Callable[P, T], headers: dict[str, str]) -> None:
        self._function = function
        self._headers = headers

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the function."""
        with extract(self._headers):
            return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrivedFunction, (self._function, self._headers)


class CarriedBatch:
    """A batch that runs in another process."""

    ended = False
    recording = False
    policy = "none"
    redactor = None

    def __init__(self, model: str) -> None:
        self.model = model

    @property
    def plan(self) -> Self:
        """What is known of the declaration: the model's name."""
        return self

    def records_messages(self) -> bool:
        """Never: it is not known whether the declaration allows it."""
        return False

    def reference(self) -> PredictionRef | None:
        """A batch is not one prediction."""
        return None


class CarriedPrediction(CarriedBatch):
    """A prediction that runs in another process."""

    def __init__(self, reference: PredictionRef) -> None:
        super().__init__(reference.model)
        self._reference = reference

    def reference(self) -> PredictionRef:
        """What was carried over."""
        return self._reference


class _LowerCase(Getter[dict[str, str]]):
    def get(self, carrier: dict[str, str], key: str) -> list[str] | None:
        value = carrier.get(key.lower())
        return None if value is None else [value]

    def keys(self, carrier: dict[str, str]) -> list[str]:
        return list(carrier)


_LOWER_CASE: Final = _LowerCase()


def _readable(carrier: Carrier) -> Iterator[tuple[str, str]]:
    """Names in lower case, and values; of two headers of one name, the later counts."""
    items = getattr(carrier, "items", None)
    pairs = items() if callable(items) else carrier
    for pair in islice(cast("Iterable[Any]", pairs), HEADERS_MAX):
        if len(pair) == 2:
            name, value = (_text(part) for part in pair)
            if name is not None and value is not None:
                yield name.lower(), value
            elif name is not None and name.lower() == PREDICTION_HEADER:
                _pass_over(f"it is no text of at most {VALUE_LENGTH_MAX} characters")


def _text(part: object) -> str | None:
    if isinstance(part, list | tuple) and part:
        part = part[-1]
    if not isinstance(part, str | bytes | bytearray) or len(part) > VALUE_LENGTH_MAX:
        return None
    return part if isinstance(part, str) else bytes(part).decode("utf-8", "replace")


def _with_prediction(token: str, context: Context) -> Context:
    if token.startswith(_BATCH):
        model = text(unquote(token.removeprefix(_BATCH)), NAME_LENGTH_MAX)
        return made_current(CarriedBatch(model), context)
    try:
        reference = PredictionRef.from_token(token)
    except ValueError as error:
        _pass_over(str(error))
        return context
    return made_current(CarriedPrediction(reference), context)


def _pass_over(why: str) -> None:
    errors.warn_sometimes(
        "prediction header",
        f"inferspan: the header {PREDICTION_HEADER} of a message is passed over: {why}",
    )


def _write_pairs(carrier: Pairs, headers: dict[str, str]) -> None:
    in_bytes = any(isinstance(name, bytes) for name, _ in carrier)
    written: Pairs = [
        (name.encode() if in_bytes else name, value.encode()) for name, value in headers.items()
    ]
    carrier[:] = [pair for pair in carrier if (_text(pair[0]) or "").lower() not in headers]
    carrier.extend(written)


def _in_trace(context: Context, span: SpanContext) -> bool:
    return get_current_span(context).get_span_context().trace_id == span.trace_id
