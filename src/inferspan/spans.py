"""The only place where a span starts, fails and ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    StatusCode,
    Tracer,
    set_span_in_context,
)

from inferspan import semconv
from inferspan.attributes import TEXT_LENGTH_MAX, Attributes, text, type_name
from inferspan.containment import Contained
from inferspan.providers import prediction_tracer

_ATTACH: Final = Contained("attach a span")
_CAPTURE: Final = Contained("capture what was returned")
_FAIL: Final = Contained("record a failure")
_END: Final = Contained("end a span")

_NO_CONTEXT: Final = Context()

_clock: Callable[[], int] | None = None


def replace_clock(clock: Callable[[], int] | None) -> None:
    """Take span times (Unix ns) from `clock`; None: from OpenTelemetry again. For tests."""
    global _clock
    _clock = clock


class SpanScope:
    """One span from its start to its end; attached while the user's code runs.

    Attributes are collected here and written in one go when the span ends, `identity` last:
    OpenTelemetry evicts the oldest attributes of a span that has too many.

    Args:
        name: the span's name.

    Raises:
        Exception: what the tracer raises; the caller goes on without a span.
    """

    def __init__(self, name: str) -> None:
        self.span: Span = prediction_tracer().start_span(
            name,
            start_time=_clock() if _clock else None,
            record_exception=False,
            set_status_on_exception=False,
        )
        self.recording = self.span.is_recording()
        self.ended = False
        self.attributes: Attributes = {}
        self._context = self.context_of(otel_context.get_current())
        self._token: Token[Context] | None = None

    def context_of(self, context: Context) -> Context:
        """The context in which the user's code runs."""
        return set_span_in_context(self.span, context)

    def identity(self) -> Attributes:
        """Attributes that must survive; written last."""
        return {}

    def records_messages(self) -> bool:
        """Whether an exception's message may go on the span; it may quote the input."""
        return False

    def returned(self, value: object) -> None:
        """Take from the returned value what belongs on the span."""

    def attach(self) -> None:
        """Make the span current."""
        with _ATTACH:
            self._token = otel_context.attach(self._context)

    def detach(self) -> None:
        """Make current again what was so before `attach`."""
        token, self._token = self._token, None
        if token is not None:
            with _ATTACH:
                otel_context.detach(token)

    def pause(self) -> None:
        """Detach between two steps of a generator; `attach` goes on where its body was."""
        with _ATTACH:
            self._context = otel_context.get_current()
        self.detach()

    def abandon_context(self) -> None:
        """Detach in a frame that is being closed, perhaps from another task's context."""
        if self._token is not None and otel_context.get_current() is self._context:
            self.detach()
        self._token = None

    def succeed(self, value: object) -> None:
        """End the span of a call that returned `value`."""
        if self.recording:
            with _CAPTURE:
                self.returned(value)
        self._end()

    def fail(self, error: BaseException) -> None:
        """End the span of a call that raised `error`, which is left as it is."""
        if self.recording:
            with _FAIL:
                self.attributes[semconv.ERROR_TYPE] = type_name(type(error))
                self.span.set_status(StatusCode.ERROR, self._message(error))
        self._end()

    def end(self) -> None:
        """End the span of a call that neither returned nor raised: its consumer left."""
        self._end()

    def release(self) -> None:
        """Let go of everything large: a task that outlives the call keeps its context, and us."""
        self.attributes = {}
        self._context = _NO_CONTEXT

    def _message(self, error: BaseException) -> str | None:
        if not self.records_messages():
            return None
        with _FAIL:
            return text(str(error), TEXT_LENGTH_MAX)
        return None

    def _end(self) -> None:
        self.ended = True
        if self.recording:
            with _END:
                self.attributes.update(self.identity())
                self.span.set_attributes(self.attributes)
        with _END:
            self.span.end(_clock() if _clock else None)
        self.release()


def emit_record(
    tracer: Tracer, name: str, attributes: Attributes, links: Sequence[SpanContext]
) -> None:
    """Emit a span that only carries a record: the root of its own trace, without duration."""
    now = _clock() if _clock else time.time_ns()
    span = tracer.start_span(
        text(name),
        context=Context(),
        attributes=attributes,
        links=[Link(linked) for linked in links],
        start_time=now,
    )
    span.end(now)
