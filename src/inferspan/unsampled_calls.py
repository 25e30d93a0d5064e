"""Most calls that are not sampled: a slim record, nothing declared, a usual answer; in few frames.

As `usual_calls`, of which it is the other half: what is said here a second time is what
`PredictionCall` says in parts, and where a call turns out not to be usual, those parts take over.
"""

from __future__ import annotations

from typing import Any

from numpy import ndarray
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, Tracer

from inferspan import spans
from inferspan.capture import Call, input_rows
from inferspan.containment import errors, from_outside
from inferspan.current import CURRENT_KEY, Within
from inferspan.output_usual import USUAL
from inferspan.outputs import Output
from inferspan.plans import UNREAD, PredictionPlan
from inferspan.predictions import INPUT, NOTHING, RECORD, PredictionCall
from inferspan.records import buffer_in_force
from inferspan.sampling import SPAN_KEY, start_prediction
from inferspan.settings import Settings
from inferspan.spans import CAPTURE, NO_CONTEXT


class UnsampledCall(PredictionCall):
    """One call of a model that is not sampled. `begin_sampled_by_us` makes it."""

    recording = False
    # As of `UsualCall`: an `__init__` would cost a frame from C, three times one of Python.
    __init__ = object.__init__

    def succeed(self, value: Any) -> None:
        """As `PredictionCall.succeed`, in one frame for a usual answer."""
        found = None
        try:
            plan = self.plan
            rule = plan.rule
            if not plan.returns_as_is:
                if (value := self.mapped(value)) is UNREAD:
                    self._finish()
                    return
                if plan.live_rule is not None:
                    rule = self.rule()
            kind = type(value)
            if (reader := USUAL.get(kind)) is not None and (
                kind is not ndarray or self._input_rows in (None, 1)
            ):
                found = reader(value, rule)
        except BaseException as error:
            try:
                errors.contain(CAPTURE, error)
            finally:
                self._finish()
            return
        buffer = self._buffer
        if found is None or buffer is None:
            super().succeed(value)
            return
        end_ns = spans.now_ns()
        self._output = output = Output.usual(found, rule.classes)
        duration_ns = end_ns - self.start_ns
        if (
            duration_ns < 0
            or duration_ns > plan.thresholds.slow_ns
            or self._marked
            or "low_confidence" in self._settings.keep
        ):
            self._finish_at(end_ns)
            return
        self.ended = True
        try:
            context, caller = self._span_context, self._parent.get(SPAN_KEY)
            if caller is not None:
                context = spans.own_context(context, caller)
            # Probabilities take room, and may be left out.
            append = buffer.append if output.columnar else buffer.append_single
            append(
                (
                    plan,
                    context,
                    self._id,
                    None,
                    self.start_ns,
                    duration_ns,
                    None,
                    output,
                    NOTHING,
                    NOTHING,
                )
            )
        except BaseException as error:
            errors.contain(RECORD, error)
        finally:
            self.context = self._parent = NO_CONTEXT
            self._call = self._output = None

    def returned(self, value: object) -> None:
        """Read the answer, which `succeed` has mapped."""
        self.read(value)


def begin_sampled_by_us(
    plan: PredictionPlan,
    told: Settings,
    called: Call,
    tracer: Tracer,
    parent: Context,
    start_ns: int,
) -> PredictionCall:
    """Begin a call under a sampler of ours, and settings that are `usual`.

    Args:
        plan: declares nothing.
        told: the settings in force.
        called: the call's arguments.
        tracer: of the provider in use.
        parent: what is current.
        start_ns: Unix ns.
    """
    span = start_prediction(tracer, plan.span_name, parent, start_ns, None, plan.kind)
    if type(span) is not NonRecordingSpan:
        return PredictionCall(plan, *called, (parent, start_ns, span))
    call: UnsampledCall = UnsampledCall()
    call.plan = plan
    call._call = called
    call._settings = told
    call._policy = policy = plan.capture or told.capture
    call._parent = parent
    call.start_ns = start_ns
    call.span = span
    call.attributes = {}
    call.context = context = Within({**parent, SPAN_KEY: span, CURRENT_KEY: call})
    context.call, context.owner = call, plan.owner
    call._span_context = span.get_span_context()
    # Read at the end of each call: found on the class, they would cost twice as much.
    call._id = None
    call._marked = False
    call._input_rows = None
    call._buffer = buffer = buffer_in_force(told)
    if buffer is not None and policy != "none":
        try:
            # The output is read with them, and has to be the same for a slim record.
            call._input_rows = input_rows(called if plan.inputs is None else plan.given(called))
        except BaseException as error:
            if from_outside(error):
                call.fail(error)
            errors.contain(INPUT, error)
    return call
