"""A model's call inside of a prediction: a stage, whose span says what the model made."""

from __future__ import annotations

from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan import served, spans
from inferspan.attributes import text
from inferspan.containment import errors
from inferspan.current import Running, Within
from inferspan.decorators import StageScope, state_of
from inferspan.sampling import SPAN_KEY
from inferspan.semconv import STAGE_NAME
from inferspan.spans import CAPTURE, END, NO_CONTEXT, begun

WITHIN_KEY: Final = otel_context.create_key("inferspan-within")
"""Where a context keeps the prediction and, of its stages, the innermost's model."""


class ModelStage(StageScope):
    """A model's call inside of a prediction, with what it answered. `begin` makes it."""

    # An `__init__` costs a frame from C, three times one of Python.
    __init__ = object.__init__

    def succeed(self, value: object) -> None:
        """End the span, which says how the state looks that the model made: an event would cost
        more.
        """
        end_ns = spans.now_ns()
        attributes = self.attributes
        try:
            if self.recording and self._call is not None:
                attributes.update(state_of(self._call, self._name, value))
        except BaseException as error:
            try:
                errors.contain(CAPTURE, error)
            finally:
                self._write_and_end(end_ns)
            return
        # As `SpanScope._write_and_end`, without its frames.
        self.ended = True
        try:
            if self.recording:
                attributes[STAGE_NAME] = self._name
                self.span.set_attributes(attributes)
        except BaseException as error:
            errors.contain(END, error)
        finally:
            try:
                self.span.end(end_ns if end_ns >= self.start_ns else self.start_ns)
            except BaseException as error:
                errors.contain(END, error)
            finally:
                self.attributes = {}
                self.context = self._parent = NO_CONTEXT
                self._call = None

    def release(self) -> None:
        """As `StageScope.release`, in one frame."""
        self.attributes = {}
        self.context = self._parent = NO_CONTEXT
        self._call = None


def begin(name: str, running: Running, known: served.Served, context: Context) -> ModelStage:
    """Begin the span of a model's call.

    Args:
        name: what the model is called in the one that is running.
        running: the prediction.
        known: what is known of the model.
        context: what is current.
    """
    # As `StageScope` and `SpanScope`, without their frames.
    stage: ModelStage = ModelStage()
    stage._name = name
    stage._call = running
    stage._parent = context
    stage.attributes = {}
    stage.start_ns = start_ns = spans.now_ns()
    called = f"{name} {running.plan.model}"
    stage.span = span = begun(called if called.isascii() else text(called), context, start_ns)
    stage.recording = recording = span.is_recording()
    stage.context = within = Within({**context, SPAN_KEY: span, WITHIN_KEY: (running, known)})
    within.call, within.owner = running, known
    if recording and context.get(SPAN_KEY) is not getattr(running, "span", None):
        stage._name_owner(running)
    return stage
