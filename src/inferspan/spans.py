"""The only place where a span starts, fails and ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_tracer_provider,
)

from inferspan import attaching, semconv
from inferspan.attributes import TEXT_LENGTH_MAX, Attributes, text, type_name
from inferspan.containment import Contained, errors
from inferspan.providers import state, tracing
from inferspan.sampling import SPAN_KEY

_FAIL: Final = Contained("record a failure")
_ATTACH: Final = "attach a span"
CAPTURE: Final = "capture what was returned"
END: Final = "end a span"

NO_CONTEXT: Final = Context()
now_ns: Callable[[], int] = time.time_ns
"""Unix time of spans, in ns. Look it up in this module at each use: tests replace it."""


def replace_clock(clock: Callable[[], int] | None) -> None:
    """Take span times (Unix ns) from `clock`; None: from the system again. For tests."""
    global now_ns
    now_ns = clock or time.time_ns


def begun(name: str, context: Context, start_ns: int) -> Span:
    """Begin a span that the sampler decides about as about any other.

    Args:
        name: the span's name.
        context: holds the parent.
        start_ns: Unix ns.

    Raises:
        Exception: what the tracer raises.
    """
    provider, tracer, usual, _ = state.tracing
    if not usual or provider is not (state.predictions or get_tracer_provider()):
        _, tracer, usual, _ = tracing()
    if usual:  # by position: matching names costs as much as a frame
        kind = SpanKind.INTERNAL
        return tracer.start_span(name, context, kind, None, None, start_ns, False, False)
    return tracer.start_span(
        name,
        context,
        start_time=start_ns,
        record_exception=False,
        set_status_on_exception=False,
    )


class SpanScope:
    """One span from its start to its end; attached while the user's code runs.

    Attributes are collected here and written in one go when the span ends. What OpenTelemetry or a
    user's processor raises ends here, reported by place; only what comes from outside passes,
    such as a KeyboardInterrupt, after the span has ended.

    Args:
        name: the span's name.

    Raises:
        Exception: what the tracer raises; the caller goes on without a span.
    """

    # Class attributes are what most calls never change: setting them costs as much as the rest.
    ended = False
    generates = False
    """Whether it is the task `generation`, whose streams have names of their own."""
    token: Token[Context] | None = None
    """What attaching gave, while the span is current."""

    def __init__(self, name: str) -> None:
        self._parent = context = attaching.current()
        self.start_ns = now_ns()
        self.span: Span = begun(name, context, self.start_ns)
        self.recording = self.span.is_recording()
        self.attributes: Attributes = {}
        self.context = Context({**context, SPAN_KEY: self.span})

    def complete(self, attributes: Attributes) -> None:
        """Add what must survive; OpenTelemetry evicts the oldest attributes of a span."""

    def records_messages(self) -> bool:
        """Whether an exception's message may go on the span; it may quote the input."""
        return False

    def returned(self, value: object) -> None:
        """Take from the returned value what belongs on the span."""

    def attach(self) -> None:
        """Make the span current."""
        try:
            self.token = attaching.attach(self.context)
        except BaseException as error:
            self.unsettled(self.token, error)

    def detach(self) -> None:
        """Make current again what was so before `attach`."""
        token = self.token
        if token is not None:
            try:
                attaching.detach(token)
                self.token = None
            except BaseException as error:
                self.token = None
                self.unsettled(token, error)

    def unsettled(self, token: Token[Context] | None, error: BaseException) -> None:
        """Make current what was so before `attach`, where attaching or detaching went wrong.

        Args:
            token: what attaching gave, where it came so far.
            error: is reported, or raised again where it comes from outside.
        """
        # Interrupted on the way, it may be done or not.
        if attaching.current() is self.context:
            if token is None:
                otel_context.attach(self._parent)
            else:
                otel_context.detach(token)
        errors.contain(_ATTACH, error)

    def pause(self) -> None:
        """Detach between two steps of a generator; `attach` goes on where its body was."""
        self.context = attaching.current()
        self.detach()

    def succeed(self, value: object) -> None:
        """End the span of a call that returned `value`."""
        try:
            if self.recording:
                self.returned(value)
        except BaseException as error:
            errors.contain(CAPTURE, error)
        finally:
            self._finish()

    def fail(self, error: BaseException) -> None:
        """End the span of a call that raised `error`, which is left as it is."""
        try:
            if self.recording:
                with _FAIL:
                    self.failed(error)
        finally:
            self._finish()

    def leave(self, error: BaseException | None) -> None:
        """End the span of a block, by what it raised."""
        self.detach()
        if error is None:
            self.succeed(None)
        else:
            self.fail(error)

    def failed(self, error: BaseException) -> None:
        """Say on the span that the call raised."""
        self.attributes[semconv.ERROR_TYPE] = type_name(type(error))
        self.span.set_status(StatusCode.ERROR, self._message(error))

    def end(self) -> None:
        """End the span of a call that neither returned nor raised: its consumer left."""
        self._finish()

    def release(self) -> None:
        """Let go of everything large: a task that outlives the call keeps its context, and us."""
        self.attributes = {}
        self.context = self._parent = NO_CONTEXT

    def _message(self, error: BaseException) -> str | None:
        if not self.records_messages():
            return None
        with _FAIL:
            return text(str(error), TEXT_LENGTH_MAX)
        return None

    def _finish(self) -> None:
        self._write_and_end(now_ns())

    def _write_and_end(self, end_ns: int) -> None:
        self.ended = True
        try:
            if self.recording:
                attributes = self.attributes
                self.complete(attributes)
                if len(attributes) == 1:  # of most stages: at half the cost
                    self.span.set_attribute(*attributes.popitem())
                else:
                    self.span.set_attributes(attributes)
        except BaseException as error:
            errors.contain(END, error)
        finally:
            try:
                # A clock that was set back meanwhile makes no span of less than nothing.
                self.span.end(end_ns if end_ns >= self.start_ns else self.start_ns)
            except BaseException as error:
                errors.contain(END, error)
            finally:
                self.release()


def own_context(context: SpanContext, caller: object) -> SpanContext:
    """A call's own span context; a provider that does nothing hands out the caller's."""
    held = caller.get_span_context() if isinstance(caller, Span) else None
    return INVALID_SPAN_CONTEXT if held == context else context


def emit_record(
    tracer: Tracer,
    name: str,
    attributes: Attributes,
    links: Sequence[SpanContext] = (),
    times_ns: tuple[int, int] | None = None,
) -> None:
    """Emit a span that only carries a record: the root of its own trace.

    Args:
        tracer: whose provider sends it.
        name: the span's name.
        attributes: the record.
        links: spans it is about.
        times_ns: its start and end, Unix ns; absent = now.
    """
    start_ns, end_ns = times_ns or (now := now_ns(), now)
    span = tracer.start_span(
        text(name),
        context=Context(),
        attributes=attributes,
        links=[Link(linked) for linked in links],
        start_time=start_ns,
    )
    span.end(end_ns)
