"""What one call of a model leaves behind: a span with its content, or a slim record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode, TraceFlags

from inferspan import attaching, capture, semconv, settings, spans
from inferspan.arguments import Arguments, Keywords
from inferspan.attributes import TEXT_LENGTH_MAX, Attributes, text, type_name
from inferspan.containment import Contained, errors, from_outside
from inferspan.current import CURRENT_KEY, running
from inferspan.features import pack_features
from inferspan.identity import new_record_id
from inferspan.output_columns import OutputRule
from inferspan.outputs import Output, read_output
from inferspan.plans import UNREAD, PredictionPlan
from inferspan.providers import prediction_tracer
from inferspan.records import RecordBuffer, buffer_in_force
from inferspan.sampling import SPAN_KEY, start_late, start_prediction
from inferspan.served_requests import REQUEST_KEY, identify_in_request, link_to_requests
from inferspan.spans import CAPTURE, NO_CONTEXT, SpanScope

if TYPE_CHECKING:
    from inferspan.references import PredictionRef

STAGES_MAX: Final = 64
"""Stages of one prediction that are made of models' calls; an ensemble may have thousands."""
_DROPPED_MAX: Final = 32
"""Reasons on one span."""
_IDENTITY: Final = Contained("read the prediction id")
_ROWS: Final = Contained("write slices and features")
RECORD: Final = "leave a slim record"
INPUT: Final = "capture the input"
_BUILT_LATE: Final = "stages:the span was built at the call's end, without input, stages, snapshots"
SAMPLED: Final = TraceFlags.SAMPLED
FLAGS: Final = 3
"""Where a `SpanContext`, which is a tuple, has its flags: the property costs a frame."""
NOTHING: Final[dict[str, object]] = {}


Started = tuple[Context, int, Span]
"""What was current, when the call began (Unix ns), and its span."""


def _start(plan: PredictionPlan) -> Started:
    parent, start_ns = attaching.current(), spans.now_ns()
    tracer, name = prediction_tracer(), plan.span_name
    ratio, kind = plan.sample_ratio, plan.kind
    return parent, start_ns, start_prediction(tracer, name, parent, start_ns, ratio, kind)


class PredictionCall(SpanScope):
    """One call of a model."""

    # Defaults on the class, as in SpanScope: a call sets only what it has.
    _id: str | None = None
    _ids: list[Any] | None = None
    _output: Output | None = None
    _input_rows: int | None = None
    _slices = _features = NOTHING
    _error_type: str | None = None
    _marked = False
    _buffer: RecordBuffer | None = None
    _dropped: list[str] | None = None
    _noted: Attributes | None = None
    _rule: OutputRule | None = None
    _stages = 0

    def __init__(
        self,
        plan: PredictionPlan,
        arguments: Arguments,
        keywords: Keywords,
        bound: int,
        started: Started | None = None,
    ) -> None:
        self.plan = plan
        self._call: capture.Call | None = (call := (arguments, keywords, bound))
        self._settings = told = settings.current()
        self._policy = plan.capture or told.capture
        parent, start_ns, span = _start(plan) if started is None else started
        self._parent, self.start_ns = parent, start_ns
        self.span = span
        self.recording = recording = span.is_recording()
        self.attributes: Attributes = {}
        self.context = Context({**parent, SPAN_KEY: span, CURRENT_KEY: self})
        self._span_context = span_context = span.get_span_context()
        if REQUEST_KEY in parent:
            identify_in_request(self, parent)
        if not recording or told.records == "all" or not span_context[FLAGS] & SAMPLED:
            self._buffer = buffer_in_force(told)
        if recording or self._buffer is not None:
            try:
                self._capture(plan, call)
            except BaseException as error:
                if from_outside(error):
                    self.fail(error)
                errors.contain(INPUT, error)

    @property
    def generates(self) -> bool:  # type: ignore[override]
        """Whether the declared task is `generation`."""
        return self.plan.rule.task == semconv.GENERATION

    def records_messages(self) -> bool:
        """Messages quote inputs: they need the policy `values`, nothing to redact, no keyed ids."""
        keyed = self._settings.id_key is not None
        return self._policy == "values" and not keyed and self.plan.redactor is None

    @property
    def dropped(self) -> list[str]:
        """What is left out, and why."""
        if self._dropped is None:
            self._dropped = []
        return self._dropped

    @property
    def policy(self) -> str:
        """The capture policy of this call."""
        return self._policy

    @property
    def prediction_id(self) -> str:
        """The caller's id, else a new one; read at the first use: unsampled calls pay nothing."""
        if self._id is None:
            if self.plan.prediction_id is not None and self._call is not None:
                with _IDENTITY:
                    self._id, self._ids = capture.given_ids(
                        self.plan.prediction_id, self._call, self._drop
                    )
            self._id = self._id or new_record_id()
        return self._id

    def reference(self) -> PredictionRef:
        """What a caller keeps of this prediction."""
        from inferspan.references import reference_to  # loaded by `proxies`

        return reference_to(self, spans.now_ns())

    def note(self, attributes: Attributes) -> None:
        """Take what another thread knows of this call; the last note is written at its end."""
        # One assignment: what the call's own thread reads at its end never changes its size.
        self._noted = attributes

    def keep(self) -> None:
        """Have a full span built of this call though the sampler left it out."""
        self._marked = True

    def admit_stage(self) -> bool:
        """Whether one more model's call may be a stage; the first that may not is said."""
        self._stages += 1
        if self._stages == STAGES_MAX + 1:
            self._drop("stages", f"more than {STAGES_MAX} models' calls; the first have spans")
        return self._stages <= STAGES_MAX

    def succeed(self, value: object) -> None:
        """End the span of a call that returned `value`, and leave a slim record where due."""
        try:
            if self.recording or self._buffer is not None:
                self.returned(value)
        except BaseException as error:
            errors.contain(CAPTURE, error)
        finally:
            self._finish()

    def returned(self, value: object) -> None:
        """Read the typed output, and under `values` what a person wants to see of it."""
        if not self.plan.returns_as_is and (value := self.mapped(value)) is UNREAD:
            return
        self.read(value)

    def mapped(self, value: object) -> object:
        """What a call returned, as it is to be read; `UNREAD` where the mapping raised."""
        plan, call = self.plan, self._call
        try:
            if plan.output is None and plan.answer is not None and call is not None:
                return plan.answer(*call[:2], value)
            return value if plan.output is None else plan.output(value)
        except Exception as error:
            if from_outside(error):
                raise
            self._drop("output", capture.said_by("output=" if plan.output else None, error))
        return UNREAD

    def rule(self) -> OutputRule:
        """The rule by which the answer is read; found once, after the model has answered."""
        if self._rule is None:
            self._rule = self.plan.rule_now(self._drop)
        return self._rule

    def read(self, value: object) -> None:
        """Read the typed output of a mapped answer."""
        try:
            self._output = output = read_output(value, self.rule(), self._input_rows)
        except Exception as error:
            if from_outside(error):
                raise
            self._drop("output", f"reading it raised {type_name(type(error))}; give output=…")
            return
        if output.dropped is not None:
            self._drop("output", output.dropped)
        if self._policy == "values" and self.recording:
            capture.show_output(value, self.plan.redactor, self.attributes, self.dropped)

    def fail(self, error: BaseException) -> None:
        """End the span of a call that raised `error`, which is left as it is."""
        try:
            self._error_type = type_name(type(error))
        except BaseException as ours:
            errors.contain("record a failure", ours)
        super().fail(error)

    def complete(self, attributes: Attributes) -> None:
        """Add output, declared attributes, what depends on the rows, and at last the id."""
        plan, output, key = self.plan, self._output, self._settings.id_key
        # The property costs as much as a new id.
        prediction_id = self._id or (self.prediction_id if plan.declares else new_record_id())
        if output is not None:
            output.write_to(attributes)
        if (
            output is None
            or output.rows is not None
            or (plan.declares and (self._slices or self._features or self._ids is not None))
        ):
            self._complete_rows(attributes, key)
        if self._noted is not None:
            attributes.update(self._noted)
        attributes.update(plan.fixed_beside(attributes, self._policy))
        if self._dropped:
            more = len(self._dropped) - _DROPPED_MAX
            said = [f"more:{more} further reasons"] if more > 0 else []
            attributes[semconv.CAPTURE_DROPPED] = self._dropped[:_DROPPED_MAX] + said
        if plan.prediction_id is not None:
            link_to_requests(self._ids or [self._id], self.span, self._parent)
        if key is not None:
            prediction_id = semconv.prediction_id_text(prediction_id, key) or ""
        attributes[semconv.PREDICTION_ID] = prediction_id

    def release(self) -> None:
        """Let go of the user's arguments, and of everything large, as `SpanScope.release`."""
        self.attributes = {}
        self.context = self._parent = NO_CONTEXT
        self._call = self._output = None
        if self.plan.declares:
            self._ids = None
            self._slices = self._features = NOTHING

    # --- before the call: what the function may change while it runs ---

    def _capture(self, plan: PredictionPlan, call: capture.Call) -> None:
        if plan.declares:
            if plan.prediction_id is not None:
                _ = self.prediction_id
            if plan.slices or plan.more_slices:
                self._slices = capture.read_declared(
                    "slices", plan.slices, plan.more_slices, plan.redactor, call, self._drop
                )
            if self._policy != "none" and (plan.features or plan.more_features):
                self._features = capture.read_declared(
                    "features", plan.features, plan.more_features, plan.redactor, call, self._drop
                )
        if self._policy != "none":
            self._capture_given(plan.given(call))

    def _capture_given(self, given: capture.Call) -> None:
        if not self.recording:
            # The output is read with them, and has to be the same for a slim record.
            self._input_rows = capture.input_rows(given)
            return
        self._input_rows = capture.describe_input(given, self.attributes)
        if self._policy == "values":
            plan = self.plan
            capture.show_input(
                given, plan.argument_names, plan.redactor, self.attributes, self.dropped
            )

    # --- after the call ---

    def _complete_rows(self, attributes: Attributes, key: bytes | None) -> None:
        """Add slices, features and ids, which are one per row in a batch."""
        rows = capture.rows_of(self._ids, self._output)
        with _ROWS:
            for name, value in self._slices.items():
                words = capture.slice_texts(value, rows)
                if not name or "." in name:
                    self._drop(f"slice {name}", "a key must be a name without a dot")
                elif words is None:
                    self._drop(f"slice {name}", "no text or number per prediction; give one")
                elif words:
                    attributes[semconv.SLICE_PREFIX + name] = words
            if self._features:
                self._complete_features(attributes, rows)
        if rows is not None:
            attributes[semconv.PREDICTION_COUNT] = rows
        if self._ids is not None and rows != 0:
            with _IDENTITY:
                ids = capture.row_ids(self._ids, rows or 1, key, self._drop)
                if ids is not None:
                    attributes[semconv.PREDICTION_IDS] = ids

    def _complete_features(self, attributes: Attributes, rows: int | None) -> None:
        packed, dropped = pack_features(self._features, rows)
        attributes.update(packed)
        if dropped:
            what, _, reason = dropped[0].partition(":")
            self._drop(what, reason, f"and {len(dropped) - 1} more" if dropped[1:] else "")
            self.dropped.extend(dropped[1:])
        if self._policy == "shapes":
            members = list(self._features.items())
            capture.add_json("input", members, self.plan.redactor, attributes, self.dropped)

    def _finish(self) -> None:
        self._finish_at(spans.now_ns())

    def _finish_at(self, end_ns: int) -> None:
        if self._buffer is not None:
            try:
                self._leave_record(self._buffer, max(0, end_ns - self.start_ns))
            except BaseException as error:
                errors.contain(RECORD, error)
        self._write_and_end(end_ns)

    def _leave_record(self, buffer: RecordBuffer, duration_ns: int) -> None:
        if not self.recording and self._built_late(duration_ns) and self._settings.records != "all":
            return
        caller = self._parent.get(SPAN_KEY)
        context = self._span_context
        if caller is not None and not self.recording:
            context = spans.own_context(context, caller)
        buffer.append(
            (
                self.plan,
                context,
                # Where a span is written too, both have to bear the same id.
                self.prediction_id if self.recording else self._id,
                self._ids,
                self.start_ns,
                duration_ns,
                self._error_type,
                self._output,
                self._slices,
                self._features,
            )
        )

    def _built_late(self, duration_ns: int) -> bool:
        """Build the span that the sampler left out, where the call's end is a reason to."""
        reason = self._reason_to_keep(duration_ns)
        if reason is None or self._call is None:
            return False
        name, kind, tracer = self.plan.span_name, self.plan.kind, prediction_tracer()
        end_ns = self.start_ns + duration_ns
        span = start_late(tracer, name, self._parent, self.start_ns, end_ns, self.span, kind)
        if span is None:
            return False
        self.span, self.recording, self._span_context = span, True, span.get_span_context()
        if self._settings.records != "all":  # else its record is learnt from
            score = None if self._output is None else self._output.score
            self.plan.thresholds.keep(duration_ns, self.plan.confidence(score))
        self.attributes[semconv.SAMPLING_KEPT] = reason
        self.dropped.append(_BUILT_LATE)
        if self._error_type is not None:
            self.attributes[semconv.ERROR_TYPE] = self._error_type
            span.set_status(StatusCode.ERROR)
        if self._policy != "none":
            capture.describe_input(self.plan.given(self._call), self.attributes)
        return True

    def _reason_to_keep(self, duration_ns: int) -> str | None:
        thresholds = self.plan.thresholds
        if self._marked:
            return "marked"
        if self._error_type is not None:
            return "error" if "error" in self._settings.keep else None
        if duration_ns > thresholds.slow_ns and "slow" in self._settings.keep:
            return "slow"
        if thresholds.confidence and self._output is not None:
            confidence = self.plan.confidence(self._output.score)
            unsure = confidence is not None and confidence < thresholds.confidence
            return "low_confidence" if unsure and "low_confidence" in self._settings.keep else None
        return None

    def _drop(self, what: str, reason: str, beside: str = "") -> None:
        self.dropped.append(text(f"{what}:{reason}", 2 * TEXT_LENGTH_MAX))
        errors.warn_once(
            f"{self.plan.span_name}:{what}",
            f"inferspan: {self.plan.span_name}: {what} is not recorded: {reason}"
            + (beside and f" ({beside})"),
        )


def current_call() -> PredictionCall | None:
    """The innermost call of a model that is running in this context."""
    call = running()
    return call if isinstance(call, PredictionCall) else None
