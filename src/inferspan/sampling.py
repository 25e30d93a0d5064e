"""Which predictions get a full span: by ratio, by their parent, or because of how they ended.

Figures never depend on it: a prediction without a full span leaves a slim record (`records.py`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import (
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.util.types import Attributes

from inferspan.containment import errors
from inferspan.identity import RandomIds

LEARNT_FROM: Final = 4_096
"""Latest calls of a model from which it is learnt what is slow and what is unsure."""
LEARNT_FROM_MIN: Final = 200
"""Calls of a model before which nothing counts as slow or unsure."""
KEPT_PER_SECOND_MAX: Final = 100
"""Spans a second that are built though the sampler left them out; more stay slim records."""

SPAN_KEY: Final = next(iter(set_span_in_context(INVALID_SPAN, Context())))
"""Where OpenTelemetry keeps the current span in a context: one copy of it then makes ours."""

_BEGIN: Final = "begin a span"
_FORCED: Final = otel_context.create_key("inferspan-sampled")
_LIMIT: Final = TraceIdRatioBased.TRACE_ID_LIMIT
_RANDOM: Final = TraceFlags(TraceFlags.RANDOM_TRACE_ID)
_NO_FLAGS: Final = TraceFlags(TraceFlags.DEFAULT)


class Allowance:
    """How many more spans may be kept within this second."""

    def __init__(self) -> None:
        self._second = 0
        self._taken = 0
        self.refused = 0
        """Calls that were worth a span, and got none because others had."""

    def take(self, now_ns: int) -> bool:
        """Whether one more may be at this time (Unix ns); it is counted."""
        second = now_ns // 1_000_000_000
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        if self._taken <= KEPT_PER_SECOND_MAX:
            return True
        self.refused += 1
        errors.warn_sometimes(
            "spans kept",
            f"inferspan: more than {KEPT_PER_SECOND_MAX} calls a second failed, were slow or "
            f"unsure; {self.refused:,} of them so far left slim records only. The figures hold "
            "them all the same.",
        )
        return False


class RatioSampler(Sampler):
    """Samples as the parent is; roots by ratio of their trace ids; and what was decided already.

    Args:
        ratio: 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._sampler = ParentBased(TraceIdRatioBased(ratio))
        self.ratio = ratio
        self.allowance = Allowance()

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about one span."""
        if parent_context and parent_context.get(_FORCED):
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
        return self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """Name it in OpenTelemetry's diagnostics."""
        return f"inferspan.RatioSampler({self.ratio})"


class SettableIds(RandomIds):
    """Random ids, but for one span those of a context that exists already."""

    def __init__(self) -> None:
        self._given = threading.local()

    @contextmanager
    def given(self, context: SpanContext) -> Iterator[None]:
        """Give the span that this thread starts inside the ids of `context`."""
        self._given.context = context
        try:
            yield
        finally:
            self._given.context = None

    # For spans that have none; not by `super()`, which costs more than drawing them.
    new_span_id = RandomIds.generate_span_id
    new_trace_id = RandomIds.generate_trace_id

    def generate_span_id(self) -> int:
        """64 bits, not zero."""
        given: SpanContext | None = getattr(self._given, "context", None)
        return self.new_span_id() if given is None else given.span_id

    def generate_trace_id(self) -> int:
        """128 bits, not zero."""
        given: SpanContext | None = getattr(self._given, "context", None)
        return self.new_trace_id() if given is None else given.trace_id


_ids: Final = SettableIds()


def forced(context: Context) -> Context:
    """The context in which a span is started that is sampled under our own provider."""
    return otel_context.set_value(_FORCED, True, context)


def start_prediction(
    tracer: Tracer,
    name: str,
    context: Context,
    start_ns: int,
    ratio: float | None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Span:
    """Start the span of a prediction.

    Where it is known that the span will not be sampled, only its ids are made: building a span to
    throw it away would cost several times as much as the slim record.

    Args:
        tracer: of the provider in use; its sampler decides.
        name: the span's name.
        context: holds the parent.
        start_ns: Unix ns.
        ratio: what share of its calls this model gets spans for, by trace id, of roots and of
            those under a sampled parent; None = as the provider says.
        kind: the span's.
    """
    sampler = getattr(tracer, "sampler", None)
    ours = type(sampler) is RatioSampler
    if ours or ratio is not None:
        caller: Span | None = context.get(SPAN_KEY)  # type: ignore[assignment]
        parent = None if caller is None else caller.get_span_context()
        if parent is not None and not parent.is_valid:
            parent = None
        if ours and parent is not None and not parent.trace_flags.sampled:
            return _unsampled(_generator_of(tracer), parent.trace_id, parent)
        if parent is None and ratio is None:
            ratio = sampler.ratio  # type: ignore[union-attr]
        if ratio is not None and ratio < 1.0:
            ids = _generator_of(tracer) if ours else _ids
            trace_id = ids.new_trace_id() if parent is None else parent.trace_id
            if trace_id & _LIMIT >= ratio * _LIMIT:
                return _unsampled(ids, trace_id, parent)
        if ours:
            context = forced(context)
    try:
        return tracer.start_span(
            name,
            context,
            kind,
            start_time=start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
    except BaseException as error:
        return unbegun(context, error)


def unbegun(context: Context, error: BaseException) -> Span:
    """What stands for a span that a sampler or processor of the user's broke as it began.

    The call leaves a slim record, as one that is not sampled.

    Args:
        context: holds the parent.
        error: is reported, or raised again where it comes from outside.
    """
    errors.contain(_BEGIN, error)
    caller: Span | None = context.get(SPAN_KEY)  # type: ignore[assignment]
    parent = None if caller is None else caller.get_span_context()
    if parent is None or not parent.is_valid:
        return _unsampled(_ids, _ids.new_trace_id(), None)
    return _unsampled(_ids, parent.trace_id, parent)


def _generator_of(tracer: Tracer) -> SettableIds:
    generator = getattr(tracer, "id_generator", None)
    return generator if isinstance(generator, SettableIds) else _ids


def _unsampled(ids: SettableIds, trace_id: int, parent: SpanContext | None) -> Span:
    """What stands for a span that is not sampled: its ids."""
    if parent is None:
        flags, state = _RANDOM if ids.is_trace_id_random() else _NO_FLAGS, None
    else:
        flags = TraceFlags(parent.trace_flags & ~TraceFlags.SAMPLED)
        state = parent.trace_state
    return NonRecordingSpan(SpanContext(trace_id, ids.new_span_id(), False, flags, state))


def start_late(
    tracer: Tracer,
    name: str,
    parent: Context,
    start_ns: int,
    now_ns: int,
    of: Span,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Span | None:
    """Start the span that a call was not given at its start.

    Args:
        tracer: of the provider in use.
        name: the span's name.
        parent: the context in which the call was made.
        start_ns: Unix ns of the call's start.
        now_ns: Unix ns.
        of: what stood for the span meanwhile; the span gets its ids.
        kind: the span's.

    Returns:
        None under a provider that is not ours, which may have reasons of its own, where
        `KEPT_PER_SECOND_MAX` are built already, and where a processor of the user's breaks it.
    """
    ids, sampler = getattr(tracer, "id_generator", None), getattr(tracer, "sampler", None)
    if not isinstance(ids, SettableIds) or not isinstance(sampler, RatioSampler):
        return None
    if not sampler.allowance.take(now_ns):
        return None
    try:
        with ids.given(of.get_span_context()):
            return tracer.start_span(
                name,
                forced(parent),
                kind,
                start_time=start_ns,
                record_exception=False,
                set_status_on_exception=False,
            )
    except BaseException as error:
        errors.contain(_BEGIN, error)
        return None


class Thresholds:
    """From where on a model's call counts as slow or unsure; learnt from its unsampled calls."""

    __slots__ = ("_confidences", "_durations", "_kept", "confidence", "slow_ns")

    def __init__(self) -> None:
        self.slow_ns: float = float("inf")
        """Duration that 99 % of the latest calls keep to."""
        self.confidence: float = 0.0
        """Confidence that 99 % of the latest calls reach."""
        self._durations: deque[int] = deque(maxlen=LEARNT_FROM)
        self._confidences: deque[float] = deque(maxlen=LEARNT_FROM)
        self._kept: deque[tuple[int, float | None]] = deque(maxlen=LEARNT_FROM)

    def keep(self, duration_ns: int, confidence: float | None) -> None:
        """Have the next `learn` take into account a call that got a span, and leaves no record.

        Without these, which are the slowest, each limit would be that of what the one before left,
        and fall for ever.
        """
        self._kept.append((duration_ns, confidence))

    def learn(self, durations: Iterable[int], confidences: Iterable[float]) -> None:
        """Take the latest calls into account: their durations, ns, and confidences, 0 to 1.

        The quantiles are those of the latest `LEARNT_FROM` calls, exact, interpolated linearly.
        """
        self._durations.extend(durations)
        self._confidences.extend(confidences)
        # As many as there are now: others may append meanwhile.
        for _ in range(len(self._kept)):
            duration_ns, confidence = self._kept.popleft()
            self._durations.append(duration_ns)
            if confidence is not None:
                self._confidences.append(confidence)
        if len(self._durations) >= LEARNT_FROM_MIN:
            self.slow_ns = _quantile(self._durations, 0.99)
        if len(self._confidences) >= LEARNT_FROM_MIN:
            self.confidence = _quantile(self._confidences, 0.01)


def _quantile(values: Iterable[float], share: float) -> float:
    """The quantile that `numpy.quantile` gives, which imports a module at its first call.

    A thread of ours that imports holds a lock that a child forked meanwhile waits for, for ever.
    """
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = ordered[int(place)]
    above = ordered[min(int(place) + 1, len(ordered) - 1)]
    return float(below + (above - below) * (place - int(place)))
