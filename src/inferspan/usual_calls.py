"""Most calls: recorded by a span, nothing declared, an answer of a usual type; in few frames.

A frame costs as much as an attribute. What is said here a second time is what `PredictionCall` says
in parts; where a call turns out not to be usual, those parts take over.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from numpy import ndarray
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import get_tracer_provider

from inferspan import capture, semconv, settings, spans
from inferspan.arguments import Arguments, Keywords
from inferspan.attaching import current
from inferspan.attributes import (
    Attributes,
    Extent,
    array_extent,
    array_extents,
    extent_of,
    row_count,
)
from inferspan.containment import errors, from_outside
from inferspan.current import CURRENT_KEY, Within
from inferspan.identity import new_record_id
from inferspan.output_columns import ROWS_MAX
from inferspan.output_usual import USUAL, read_mapping
from inferspan.outputs import Output
from inferspan.plain_json import plain_answer, plain_vector
from inferspan.plans import UNREAD, PredictionPlan
from inferspan.predictions import FLAGS, INPUT, SAMPLED, PredictionCall
from inferspan.providers import state
from inferspan.sampling import SPAN_KEY, unbegun
from inferspan.served_requests import REQUEST_KEY
from inferspan.spans import CAPTURE, END, NO_CONTEXT, SpanScope
from inferspan.unsampled_calls import begin_sampled_by_us

if TYPE_CHECKING:
    from inferspan.calls import Start

_OF_LANGUAGE: Final = frozenset((semconv.GENERATION, semconv.EMBEDDING))
"""Tasks of calls that others may have a span of, too."""
_LISTS_MAX: Final = 1_024
_LISTS: Final = tuple((str(length), "list") for length in range(_LISTS_MAX))
"""Length → shape and type of a list."""
_SHAPE, _DTYPE = semconv.INPUT_SHAPE, semconv.INPUT_DTYPE
_CLASS, _SCORE = semconv.OUTPUT_CLASS, semconv.OUTPUT_SCORE
_NUMBER: Final = semconv.OUTPUT_VALUE
_NAMES, _PROBABILITIES = semconv.OUTPUT_CLASSES, semconv.OUTPUT_PROBABILITIES
_INPUT, _OUTPUT = semconv.INPUT_VALUE, semconv.OUTPUT_VALUE_JSON
_ID: Final = semconv.PREDICTION_ID


class UsualCall(PredictionCall):
    """One call of a model whose span is recorded and sampled. `starter` makes it."""

    recording = True
    _extent: Extent | None = None
    """Shape and type of the input, until somebody asks for the attributes."""
    _shown: str | None = None
    """The input for people, likewise."""
    _gathered: Attributes | None = None
    # `starter` sets what there is: an `__init__` costs a frame from C, three times one of Python.
    __init__ = object.__init__

    @property
    def attributes(self) -> Attributes:
        """Attributes so far; a usual call never asks."""
        if self._gathered is None:
            extent = self._extent
            self._gathered = {} if extent is None else {_SHAPE: extent[0], _DTYPE: extent[1]}
            if self._shown is not None:
                self._gathered[_INPUT] = self._shown
                self._gathered.update(capture.INPUT_SHOWN)
        return self._gathered

    @attributes.setter
    def attributes(self, gathered: Attributes) -> None:
        self._gathered = gathered

    def succeed(self, value: Any) -> None:
        """As `PredictionCall.succeed`, in one frame for a usual answer."""
        found = shown = None
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
            reader = read_mapping if kind is dict else USUAL.get(kind)
            if reader is not None and (kind is not ndarray or self._input_rows in (None, 1)):
                found = reader(value, rule)
            if found is not None and self._policy == "values":
                if self._shown is not None and type(value) is dict:
                    shown = plain_answer(value, found[0], found[1], semconv.JSON_BYTES_MAX)
                if shown is None:
                    capture.show_output(value, plan.redact, self.attributes, self.dropped)
        except BaseException as error:
            self._end_without(error)
            return
        if found is None:
            super().succeed(value)
            return
        end_ns = spans.now_ns()
        label, score, number, row = found
        if (
            (label is None and (number is None or not plan.rule.numeric))
            or self._gathered is not None
            or self._noted is not None
            or self._dropped
        ):
            self._write_in_parts(Output.usual(found, rule.classes), shown, end_ns)
            return
        self.ended = True
        try:
            if row is None:
                attributes = {**plan.templates[self._policy]}
            else:
                attributes = {**plan.templates_of_probabilities[self._policy]}
                attributes[_NAMES], attributes[_PROBABILITIES] = rule.classes_text, row
            if self._extent is None:
                del attributes[_SHAPE], attributes[_DTYPE]
            else:
                attributes[_SHAPE], attributes[_DTYPE] = self._extent
            if label is not None:
                attributes[_CLASS] = label
                if score is None:
                    del attributes[_SCORE]
                else:
                    attributes[_SCORE] = score
            elif number is not None:
                attributes[_NUMBER] = number
            if shown is not None:
                attributes[_INPUT], attributes[_OUTPUT] = self._shown or "", shown
            attributes[_ID] = self._id or new_record_id(end_ns)
            self.span.set_attributes(attributes)
        except BaseException as error:
            errors.contain(END, error)
        finally:
            try:
                self.span.end(end_ns if end_ns >= self.start_ns else self.start_ns)
            except BaseException as error:
                errors.contain(END, error)
            finally:
                self._gathered = self._call = None
                self.context = NO_CONTEXT

    def returned(self, value: object) -> None:
        """Read the answer, which `succeed` has mapped."""
        self.read(value)

    def _take(self, arguments: Arguments, keywords: Keywords) -> None:
        """Say how large what the model is given is, by a mapping; of most it holds one value."""
        inputs = self.plan.inputs
        if inputs is None or self._policy == "none":
            return
        given = inputs(arguments, keywords)
        if len(given) != 1 or self._policy != "shapes":
            self._capture_given(((), given, 0))
            return
        value: Any
        (value,) = given.values()
        if type(value) is ndarray:
            shape = value.shape
            self._extent = array_extents.get((shape, value.dtype)) or array_extent(value)
            self._input_rows = shape[0] if len(shape) >= 2 else None
        else:
            self._extent, self._input_rows = extent_of(value), row_count(value)

    def _show_input(self, arguments: Arguments, keywords: Keywords, bound: int) -> None:
        plan = self.plan
        given, names = arguments[0], plan.argument_names
        if type(given) is list and plan.redact is None and bound < len(names):
            self._shown = plain_vector(names[bound], given, semconv.JSON_BYTES_MAX)
        if self._shown is None:
            call = (arguments, keywords, bound)
            capture.show_input(call, names, plan.redact, self.attributes, self.dropped)

    def _write_in_parts(self, output: Output, shown: str | None, end_ns: int) -> None:
        if shown is not None:
            self.attributes.update({_OUTPUT: shown, **capture.OUTPUT_SHOWN})
        self._output = output
        self._write_and_end(end_ns)

    def _end_without(self, error: BaseException) -> None:
        """End the span where reading the answer went wrong."""
        try:
            errors.contain(CAPTURE, error)
        finally:
            self._finish()


def starter(plan: PredictionPlan, cut: Start | None = None) -> Start:
    """Make what begins the calls of a function.

    Args:
        plan: how they are recorded.
        cut: begins those that may have more rows than a span holds; absent = none are looked at.
    """
    if plan.rule.task in _OF_LANGUAGE:
        from inferspan.generations import LanguageCall  # most processes have none

        return cut or partial(LanguageCall, plan)
    if plan.declares or plan.sample_ratio is not None:
        return cut or partial(PredictionCall, plan)
    return _usual_starter(plan, cut)


def _usual_starter(plan: PredictionPlan, cut: Start | None) -> Start:
    name, kind, owner, inputs = plan.span_name, plan.kind, plan.owner, plan.inputs

    def start(arguments: Arguments, keywords: Keywords, bound: int) -> SpanScope:
        given: Any = arguments[0] if arguments else None
        shape = given.shape if type(given) is ndarray else None
        if cut is not None and (not shape or shape[0] > ROWS_MAX):
            return cut(arguments, keywords, bound)
        told = settings.latest
        provider, tracer, usual, ours = state.tracing
        parent = current()
        if (
            not (usual or ours)
            or told is None
            or not told.usual
            or REQUEST_KEY in parent  # which has an id for it, and wants to know it
            or provider is not (state.predictions or get_tracer_provider())
        ):
            return PredictionCall(plan, arguments, keywords, bound)
        start_ns = spans.now_ns()
        if ours:
            called = (arguments, keywords, bound)
            return begin_sampled_by_us(plan, told, called, tracer, parent, start_ns)
        try:
            # By position: matching names costs as much as a frame. No attributes and links yet; an
            # exception is ours to record.
            span = tracer.start_span(name, parent, kind, None, None, start_ns, False, False)
        except BaseException as error:
            span = unbegun(parent, error)
        # Of OpenTelemetry's SDK, which has no others that record.
        own = span.get_span_context() if isinstance(span, ReadableSpan) else None
        if own is None or not own[FLAGS] & SAMPLED:
            return PredictionCall(plan, arguments, keywords, bound, (parent, start_ns, span))
        call: UsualCall = UsualCall()
        # Read in each call: found on the class, they would cost twice as much.
        call.ended = False
        call._id = call._gathered = call._noted = call._dropped = None
        call._call = None if plan.answer is None else (arguments, keywords, bound)
        call.plan, call._settings = plan, told
        call._policy = policy = plan.capture or told.capture
        call._parent, call.start_ns, call.span = parent, start_ns, span
        if parent:
            call.context = context = Within({**parent, SPAN_KEY: span, CURRENT_KEY: call})
        else:
            call.context = context = Within({SPAN_KEY: span, CURRENT_KEY: call})
        context.call, context.owner = call, owner
        try:
            if inputs is not None:
                call._take(arguments, keywords)
            elif policy != "none" and len(arguments) == 1 and not keywords:
                if type(given) is list and len(given) < _LISTS_MAX:
                    call._extent = _LISTS[len(given)]
                elif shape is not None:
                    extent = array_extents.get((shape, given.dtype))
                    call._extent = extent or array_extent(given)
                    if len(shape) >= 2:
                        call._input_rows = shape[0]
                elif (extent := extent_of(given)) is not None:
                    call._extent, call._input_rows = extent, row_count(given)
                if policy == "values":
                    call._show_input(arguments, keywords, bound)
            else:
                call._capture(plan, (arguments, keywords, bound))
        except BaseException as error:
            if from_outside(error):
                call.fail(error)
            errors.contain(INPUT, error)
        return call

    return start
