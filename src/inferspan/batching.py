"""Gathered requests → one batch span, linked to all of them; each request says where it stood."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    Span,
    SpanContext,
    get_current_span,
    set_span_in_context,
)

from inferspan import semconv, settings, spans
from inferspan.attributes import Attributes, text, type_name
from inferspan.containment import Contained, errors
from inferspan.current import entered, made_current
from inferspan.predictions import PredictionCall
from inferspan.providers import prediction_tracer
from inferspan.redaction import Redactor
from inferspan.references import PredictionRef
from inferspan.sampling import forced
from inferspan.spans import SpanScope

LINKS_MAX: Final = 128
"""Links of one span: OpenTelemetry's default limit."""
LINKED_MAX: Final = 128 * LINKS_MAX
"""Requests of one batch that are linked; more only count in its size, and are warned of."""

_STAGE: Final = "batch"
_MORE_LINKS: Final = "batch links"
# From the one that lets the least out.
_POLICIES: Final = ("none", "shapes", "values")

_BEGIN: Final = Contained("begin a batch")
_TELL: Final = Contained("tell a request of its batch")
_LINKS: Final = Contained("link a batch to its requests")

Request = PredictionRef | None


class batch:  # used as a function: `with batch(references):`
    """Answer many requests with one call of the model: a span of its own, `batch {model}`.

    For servers that gather requests: `with inferspan.batch(references, model="fraud"):` around the
    call of the model, in whichever task or thread makes it. The batch's span has a link to every
    request, and is no child of any of them. Each request that still runs in this process gets the
    batch's span id and size, its own position, and how long it waited: from the moment its
    reference was taken to the beginning of the block. Where a request is in several batches, its
    span tells of the last.

    Stages and snapshots in the block are the batch's; `current_prediction()` is None there.

    Args:
        requests: what `current_prediction()` answered inside each request, in the batch's order.
            None stands for a request that is not traced. References from other processes, and of
            requests that were cancelled while they waited, are linked only.
        model: the model's name; absent = that of the first request that has one.

    Raises:
        TypeError: `requests` is not iterable.
        ValueError: the model's name is empty or no text.
    """

    def __init__(self, requests: Iterable[Request], *, model: str | None = None) -> None:
        if not isinstance(requests, Iterable):
            raise TypeError(
                f"batch({requests!r:.80}): must be an iterable of what current_prediction() "
                "answered; write batch([reference, …])"
            )
        if model is not None and (not isinstance(model, str) or not model):
            raise ValueError(
                f"batch(model={model!r:.80}): must be a text; leave it out, or name it"
            )
        self._requests = tuple(requests)
        self._model = model
        self._open: list[BatchScope | None] = []

    def __enter__(self) -> None:
        scope: BatchScope | None = None
        with _BEGIN:
            scope = BatchScope(self._requests, self._model)
            scope.attach()
        self._open.append(scope)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        scope = self._open.pop()
        if scope is not None:
            scope.leave(error)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What was declared of the requests, as far as it concerns what runs in their batch."""

    model: str
    redactor: Redactor | None
    policy: str


class BatchScope(SpanScope):
    """The span of one batch."""

    def __init__(self, requests: Sequence[Request], model: str | None) -> None:
        references = [_checked(request) for request in requests]
        calls = [_call_of(reference) for reference in references]
        if model is None:
            model = next((r.model for r in references if r is not None), "")
        self.plan = _plan(model, references)
        self._size = len(references)
        self.start_ns = spans.now_ns()
        self._parent = current = otel_context.get_current()
        linked = _linked(references)
        self.span: Span = prediction_tracer().start_span(
            text(f"{_STAGE} {model}".rstrip()),
            _parent(current, references, calls),
            attributes={semconv.BATCH_SIZE: self._size, semconv.STAGE_NAME: _STAGE},
            links=[Link(context) for context in linked[:LINKS_MAX]],
            start_time=self.start_ns,
            record_exception=False,
            set_status_on_exception=False,
        )
        self.recording = self.span.is_recording()
        self.attributes: Attributes = {}
        self.context = made_current(self, set_span_in_context(self.span, current))
        if self.recording:
            with _LINKS:
                self._link_more(linked)
        with _TELL:
            self._tell(references, calls)

    @property
    def policy(self) -> str:
        """The capture policy: what every request in it allows."""
        return self.plan.policy

    def records_messages(self) -> bool:
        """As every request in it does."""
        keyed = settings.current().id_key is not None
        return self.policy == "values" and not keyed and self.plan.redactor is None

    def reference(self) -> None:
        """A batch is not one prediction."""
        return None

    def _tell(self, references: Sequence[Request], calls: Sequence[PredictionCall | None]) -> None:
        told: set[int] = set()
        # A span that the sampler left out has an id, but nobody will find it.
        span_id = f"{self.span.get_span_context().span_id:016x}" if self.recording else None
        for position, (reference, call) in enumerate(zip(references, calls, strict=True)):
            if call is None or reference is None or reference.taken is None or id(call) in told:
                continue
            told.add(id(call))
            waited_ns = max(0, self.start_ns - reference.taken.time_unix_nano)
            said: Attributes = {
                semconv.BATCH_SIZE: self._size,
                semconv.BATCH_POSITION: position,
                semconv.BATCH_QUEUE_DURATION: waited_ns / 1e9,
            }
            if span_id is not None:
                said[semconv.BATCH_SPAN_ID] = span_id
            call.note(said)

    def _link_more(self, linked: Sequence[SpanContext]) -> None:
        """Spread the links that do not fit on the batch's span over children of it."""
        room, rest = LINKS_MAX, linked[LINKS_MAX:]
        if getattr(self.span, "dropped_links", 0):
            # The user's provider has a lower limit, and keeps the last of too many.
            kept = {_key(link.context) for link in getattr(self.span, "links", ())}
            room, rest = len(kept), [context for context in linked if _key(context) not in kept]
        if room == 0:
            return
        parent = set_span_in_context(self.span, Context())
        for links in _chunks(rest, room):
            span = prediction_tracer().start_span(
                text(f"{_MORE_LINKS} {self.plan.model}".rstrip()),
                parent,
                links=[Link(context) for context in links],
                attributes={semconv.STAGE_NAME: _MORE_LINKS},
                start_time=self.start_ns,
            )
            span.end(self.start_ns)


def _checked(request: object) -> Request:
    if request is None or isinstance(request, PredictionRef):
        return request
    errors.warn_once(
        "batch of something else",
        f"inferspan: batch() was given an object of type {type_name(type(request))}, which counts "
        "as a request that is not traced; give what current_prediction() answered in the request",
    )
    return None


def _call_of(reference: Request) -> PredictionCall | None:
    call: PredictionCall | None = None
    if reference is not None and reference.taken is not None:
        call = reference.taken.call()
    return call


def _plan(model: str, references: Sequence[Request]) -> BatchPlan:
    """Let out of the batch what every request in it lets out.

    Of one that came from another process it is not known what it declared: it lets nothing out.
    """
    allowed = set[str]()
    # By identity: a hook may be an object that has no hash.
    redactors: dict[int, Redactor] = {}
    for reference in references:
        if reference is None:
            allowed.add(settings.current().capture)
        elif reference.taken is None:
            allowed.add("none")
        else:
            allowed.add(reference.taken.policy)
            if (redactor := reference.taken.redactor) is not None:
                redactors[id(redactor)] = redactor
    policy = min(allowed or {settings.current().capture}, key=_POLICIES.index)
    if len(redactors) <= 1:
        return BatchPlan(model, next(iter(redactors.values()), None), policy)

    def redact(name: str, value: object) -> object:
        for redactor in redactors.values():
            value = redactor.apply(name, value)
        return value

    return BatchPlan(model, Redactor(hook=redact), policy)


def _key(context: SpanContext) -> tuple[int, int]:
    return context.trace_id, context.span_id


def _linked(references: Sequence[Request]) -> list[SpanContext]:
    """The spans of the requests, each once, in the batch's order."""
    found = {
        _key(reference.span_context): reference.span_context
        for reference in references
        if reference is not None and reference.span_context.is_valid
    }
    if len(found) > LINKED_MAX:
        errors.warn_sometimes(
            "batch too large",
            f"inferspan: a batch of {len(found):,} requests is linked to {LINKED_MAX:,} of them, "
            "which is the limit; gather fewer",
        )
    return list(found.values())[:LINKED_MAX]


def _parent(
    current: Context, references: Sequence[Request], calls: Sequence[PredictionCall | None]
) -> Context:
    """The context that the batch's span begins in.

    A task or thread that gathers has often been started by the first request it served, and so it
    has that request's context for ever. A batch belongs to all its requests alike: it has a parent
    only where that is a span that runs, that is none of them, and whose trace is not the trace of
    just some of them. Under our own provider it is sampled where any of its requests is.
    """
    span = get_current_span(current)
    own = span.get_span_context()
    innermost = entered()
    in_trace = sum(r is not None and r.span_context.trace_id == own.trace_id for r in references)
    sampled = any(r is not None and r.span_context.trace_flags.sampled for r in references)
    if (
        (innermost is not None and (innermost.ended or any(c is innermost for c in calls)))
        or getattr(span, "end_time", None) is not None
        or 0 < in_trace < len(references)
        # Its own parent would be missing from the trace that it is found in.
        or (sampled and not own.trace_flags.sampled)
    ):
        current = set_span_in_context(INVALID_SPAN, current)
    return forced(current) if sampled else current


def _chunks(contexts: Sequence[SpanContext], size: int) -> Iterator[Sequence[SpanContext]]:
    for start in range(0, len(contexts), size):
        yield contexts[start : start + size]
