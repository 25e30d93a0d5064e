"""A model's call inside of a prediction: a stage, whose span says what the model made."""

from __future__ import annotations

from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan import served, spans
from inferspan.attributes import text
from inferspan.current import Running
from inferspan.decorators import StageScope, state_of
from inferspan.sampling import SPAN_KEY
from inferspan.spans import begun

WITHIN_KEY: Final = otel_context.create_key("inferspan-within")
"""Where a context keeps the prediction and, of its stages, the innermost's model."""


class ModelStage(StageScope):
    """A model's call inside of a prediction, with what it answered.

    Args:
        name: what the model is called in the one that is running.
        running: the prediction.
        known: what is known of the model.
        context: what is current.
    """

    def __init__(self, name: str, running: Running, known: served.Served, context: Context) -> None:
        # As `StageScope` and `SpanScope`, without their frames.
        self._name = name
        self._call = running
        self._parent = context
        self.attributes = {}
        self.start_ns = start_ns = spans.now_ns()
        self.span = span = begun(text(f"{name} {running.plan.model}"), context, start_ns)
        self.recording = recording = span.is_recording()
        within = (running, known)
        self.context = Context({**context, SPAN_KEY: span, WITHIN_KEY: within})
        if recording and context.get(SPAN_KEY) is not getattr(running, "span", None):
            self._name_owner(running)

    def returned(self, value: object) -> None:
        """Say on the span how the state looks that the model made; an event would cost more."""
        if self._call is not None:
            self.attributes.update(state_of(self._call, self._name, value))
