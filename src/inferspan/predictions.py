"""What one call of a model leaves on its span: identity, inputs by policy, typed outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from inferspan import semconv, settings
from inferspan.arguments import ABSENT, NAME_LENGTH_MAX, Arguments, Keywords, Source
from inferspan.attributes import (
    TEXT_LENGTH_MAX,
    Attributes,
    describe,
    json_object,
    row_count,
    shape_of,
    tensor,
    text,
    type_name,
)
from inferspan.containment import Contained, errors
from inferspan.features import FEATURES_MAX, ColumnTooLong, as_column, pack_features
from inferspan.identity import new_record_id
from inferspan.labels import PredictionRef
from inferspan.output_columns import ROWS_MAX, Misfit, OutputRule
from inferspan.outputs import read_output
from inferspan.redaction import Redactor
from inferspan.spans import SpanScope

OPENINFERENCE_KIND: Final = "CHAIN"
SLICE_LENGTH_MAX: Final = 128
"""Characters of a slice's value."""
_ARGUMENTS_MAX: Final = 16
"""Arguments that are looked at for the input's shape."""
_DROPPED_MAX: Final = 32
"""Reasons on one span."""
_INPUT_TENSOR: Final = "inferspan.input."
_OUTPUT_TENSOR: Final = "inferspan.output."

_CURRENT: Final = otel_context.create_key("inferspan-prediction")
_IDENTITY: Final = Contained("read the prediction id")
_SLICES: Final = Contained("read slices and features")
_INPUT: Final = Contained("capture the input")


@dataclass(frozen=True, slots=True, eq=False)
class PredictionPlan:
    """What a decorator declared, checked and resolved once."""

    span_name: str
    model: str
    version: str | None
    constants: Attributes
    """Operation, model, version, task…: the same on every span."""
    rule: OutputRule
    capture: str | None = None
    """A capture policy; None = what the settings say at the time of the call."""
    prediction_id: Source | None = None
    slices: tuple[tuple[str, Source], ...] = ()
    more_slices: Source | None = None
    features: tuple[tuple[str, Source], ...] = ()
    more_features: Source | None = None
    output: Callable[[Any], object] | None = None
    redactor: Redactor | None = None
    argument_names: tuple[str, ...] = ()
    owner: object = None
    """The wrapped object, whose own inner calls are part of this prediction."""
    live_rule: Callable[[], OutputRule] | None = None
    """Finds the rule at the time of the call, where the classes are known only then."""


class PredictionCall(SpanScope):
    """One call of a model."""

    def __init__(
        self, plan: PredictionPlan, arguments: Arguments, keywords: Keywords, bound: int
    ) -> None:
        self.plan = plan
        self._call: tuple[Arguments, Keywords, int] | None = (arguments, keywords, bound)
        self._id: str | None = None
        self._ids: list[object] | None = None
        self._policy = plan.capture or settings.current().capture
        self._dropped: list[str] = []
        self._rows: int | None = None
        self._recognised = False
        self._input_rows: int | None = None
        self._slices: dict[str, object] = {}
        self._features: dict[str, object] = {}
        super().__init__(plan.span_name)
        if self.recording:
            self._capture(arguments, keywords, bound)

    def context_of(self, context: Context) -> Context:
        """The context in which the user's code runs: our span, and this call as the current one."""
        return otel_context.set_value(_CURRENT, self, super().context_of(context))

    def records_messages(self) -> bool:
        """Messages quote inputs, so they need the policy `values`, and nothing to redact."""
        return self._policy == "values" and self.plan.redactor is None

    @property
    def policy(self) -> str:
        """The capture policy of this call."""
        return self._policy

    @property
    def prediction_id(self) -> str:
        """The caller's id, else a new one; read at the first use: unsampled calls pay nothing."""
        if self._id is None:
            with _IDENTITY:
                self._id = self._given_id()
            self._id = self._id or new_record_id()
        return self._id

    def reference(self) -> PredictionRef:
        """What a caller keeps of this prediction."""
        return PredictionRef.of(
            self.prediction_id, self.plan.model, self.plan.version, self.span.get_span_context()
        )

    def returned(self, value: object) -> None:
        """Read the typed output, and under `values` what a person wants to see of it."""
        if self.plan.output is not None:
            try:
                value = self.plan.output(value)
            except Exception as error:
                self._drop("output", _said_by("output=", error))
                return
        try:
            rule = self.plan.live_rule() if self.plan.live_rule else self.plan.rule
        except Exception as error:
            self._drop("classes", f"classes_ raised {type_name(type(error))}; declare classes=[…]")
            rule = self.plan.rule
        try:
            output = read_output(value, rule, self._input_rows)
        except Exception as error:
            self._drop("output", f"reading it raised {type_name(type(error))}; give output=…")
            return
        output.write_to(self.attributes)
        self._rows = output.rows
        self._recognised = output.recognised
        if output.dropped is not None:
            self._drop("output", output.dropped)
        if self._policy == "values":
            self._show(value)

    def identity(self) -> Attributes:
        """Declared attributes, what depends on the number of rows, and at the very end the id."""
        prediction_id = self.prediction_id
        if not self._recognised and self._ids is not None:
            # A batch that failed, or whose output was not understood, is still one of so many rows.
            self._rows = len(self._ids)
        written: Attributes = {}
        if self._slices or self._features:
            with _SLICES:
                written.update(self._row_attributes())
        written.update(self.plan.constants)
        written[semconv.CAPTURE_POLICY] = self._policy
        key = settings.current().id_key
        if self._rows is not None:
            written[semconv.PREDICTION_COUNT] = self._rows
        if self._ids is not None:
            with _IDENTITY:
                if (ids := self._row_ids(self._ids, key)) is not None:
                    written[semconv.PREDICTION_IDS] = ids
        if self._dropped:
            more = len(self._dropped) - _DROPPED_MAX
            said = [f"more:{more} further reasons"] if more > 0 else []
            written[semconv.CAPTURE_DROPPED] = self._dropped[:_DROPPED_MAX] + said
        written[semconv.PREDICTION_ID] = semconv.prediction_id_text(prediction_id, key) or ""
        return written

    def release(self) -> None:
        """Let go of the user's arguments."""
        super().release()
        self._call, self._ids, self._slices, self._features = None, None, {}, {}

    # --- before the call: what the function may change while it runs ---

    def _capture(self, arguments: Arguments, keywords: Keywords, bound: int) -> None:
        plan = self.plan
        if plan.prediction_id is not None:
            _ = self.prediction_id
        call = (arguments, keywords, bound)
        if plan.slices or plan.more_slices:
            with _SLICES:
                self._slices = self._read_all("slices", plan.slices, plan.more_slices, call)
        if self._policy == "none":
            return
        if plan.features or plan.more_features:
            with _SLICES:
                self._features = self._read_all("features", plan.features, plan.more_features, call)
        with _INPUT:
            self._describe_input(arguments, keywords)
        if self._policy == "values":
            with _INPUT:
                self._show_input(arguments, keywords, bound)

    def _read_all(
        self,
        option: str,
        sources: tuple[tuple[str, Source], ...],
        more: Source | None,
        call: tuple[Arguments, Keywords, int],
    ) -> dict[str, object]:
        """Read declared values; columns become lists now, for the call may change them."""
        found: dict[str, object] = {}
        try:
            if more is not None:
                computed = more.read(*call)
                if not isinstance(computed, Mapping):
                    raise Misfit("the callable returned no mapping; return {name: value}")
                names_max = FEATURES_MAX if option == "features" else semconv.SLICE_KEYS_MAX
                for name, value in islice(computed.items(), names_max):
                    found[text(str(name), NAME_LENGTH_MAX)] = value
                if (count := len(computed)) > names_max:
                    self._drop(option, f"{count} names, at most {names_max} are recorded")
            for name, source in sources:
                if (value := source.read(*call)) is not ABSENT:
                    found[name] = value
                else:
                    self._drop(f"{option.rstrip('s')} {name}", source.absence(*call))
            for name, value in self._redacted(list(found.items())):
                column = as_column(value, ROWS_MAX)
                found[name] = value if column is None else self._inside(column)
        except Exception as error:
            self._drop(option, _said_by(f"{option}=", error))
            return {}
        return found

    def _given_id(self) -> str | None:
        source = self.plan.prediction_id
        if source is None or self._call is None:
            return None
        try:
            given = source.read(*self._call)
            column = None if given is ABSENT else as_column(given, ROWS_MAX)
            if column is not None and len(column) != 1:
                self._ids = column
                return None
            given = given if column is None else column[0]
            written = None if given is ABSENT else semconv.prediction_id_text(given)
        except Exception as error:
            self._drop("prediction_id", _said_by("prediction_id=", error))
            return None
        if written is None:
            self._drop(
                "prediction_id",
                f"{source.absence(*self._call)}: no usable id, so one was made up; give a string, "
                "int or UUID",
            )
        return written

    def _describe_input(self, arguments: Arguments, keywords: Keywords) -> None:
        values = (*arguments, *keywords.values())[:_ARGUMENTS_MAX]
        array = next((value for value in values if shape_of(value)), ABSENT)
        if array is ABSENT and len(values) == 1:
            array = values[0]
        if array is ABSENT:
            return
        self._input_rows = row_count(array)
        self.attributes.update(
            describe(array, semconv.INPUT_SIZE, semconv.INPUT_SHAPE, semconv.INPUT_DTYPE)
        )

    def _show_input(self, arguments: Arguments, keywords: Keywords, bound: int) -> None:
        names = self.plan.argument_names[bound:]
        # More arguments than names: the rest went into *args.
        members: list[tuple[str, object]] = [
            (names[i] if i < len(names) else f"args[{i - len(names)}]", value)
            for i, value in enumerate(arguments)
        ]
        members.extend(keywords.items())
        members = self._redacted(members)
        self._add_json(semconv.INPUT_VALUE, semconv.INPUT_MIME_TYPE, "input", members)
        for name, value in members:
            if packed := tensor(_INPUT_TENSOR, name, value, semconv.CONTENT_BYTES_MAX // 2):
                self.attributes.update(packed)
                break

    # --- after the call ---

    def _show(self, value: object) -> None:
        members = list(value.items()) if type(value) is dict else [("output", value)]
        shown = self._redacted([(name, member) for name, member in members if type(name) is str])
        self._add_json(semconv.OUTPUT_VALUE_JSON, semconv.OUTPUT_MIME_TYPE, "output", shown)
        if type(value) is not dict:
            found = tensor(_OUTPUT_TENSOR, *shown[0], semconv.CONTENT_BYTES_MAX // 4)
            self.attributes.update(found)

    def _add_json(
        self, name: str, mime_name: str, what: str, members: list[tuple[str, object]]
    ) -> None:
        written, left_out = json_object(members, semconv.JSON_BYTES_MAX)
        self.attributes[name] = written
        self.attributes[mime_name] = semconv.MIME_JSON
        self.attributes[semconv.OPENINFERENCE_SPAN_KIND] = OPENINFERENCE_KIND
        if left_out:
            self._dropped.append(
                f"{what}.value:{left_out} of {len(members)} members beyond "
                f"{semconv.JSON_BYTES_MAX} bytes"
            )

    def _row_attributes(self) -> Attributes:
        """Slices and features, which are one per row in a batch."""
        found: Attributes = {}
        for key, value in self._slices.items():
            words = _slice_texts(value, self._rows)
            if not key or "." in key:
                self._drop(f"slice {key}", "a key must be a name without a dot")
            elif words is None:
                self._drop(f"slice {key}", "no text or number per prediction; give one")
            else:
                found[semconv.SLICE_PREFIX + key] = words
        if self._features:
            packed, dropped = pack_features(
                self._features, self._rows, semconv.CONTENT_BYTES_MAX // 2
            )
            found.update(packed)
            self._dropped.extend(dropped)
            if self._policy == "shapes":
                members = list(self._features.items())
                self._add_json(semconv.INPUT_VALUE, semconv.INPUT_MIME_TYPE, "input", members)
        return found

    def _row_ids(self, given: list[object], key: bytes | None) -> list[str] | None:
        if len(given) != (self._rows or 1):
            self._drop(
                "prediction_id", f"{len(given)} ids for {self._rows or 1} outputs; give as many"
            )
            return None
        ids = [semconv.prediction_id_text(value, key) for value in given]
        if None in ids:
            self._drop(
                "prediction_id", "rows without a usable id got a new one; give every row one"
            )
        return [written or new_record_id() for written in ids]

    def _redacted(self, members: list[tuple[str, object]]) -> list[tuple[str, object]]:
        redactor = self.plan.redactor
        if redactor is None:
            return members
        return [(name, redactor.apply(name, value)) for name, value in members]

    def _inside(self, column: list[object]) -> object:
        # A series shows what it holds only now, as a list.
        redactor = self.plan.redactor
        return column if redactor is None else redactor.inside(column)

    def _drop(self, what: str, reason: str) -> None:
        self._dropped.append(text(f"{what}:{reason}", 2 * TEXT_LENGTH_MAX))
        errors.warn_once(
            f"{self.plan.span_name}:{what}",
            f"inferspan: {self.plan.span_name}: {what} is not recorded: {reason}",
        )


def current_call() -> PredictionCall | None:
    """The innermost call of a model that is running in this context."""
    call = otel_context.get_value(_CURRENT)
    # A task that outlives its call keeps the context, and with it a call that is over.
    return call if isinstance(call, PredictionCall) and not call.ended else None


def current_prediction() -> PredictionRef | None:
    """What is being predicted here, inside a decorated call.

    Returns:
        A frozen reference (`.id`, `.to_token()`, `.traceparent`, `.label(value)`) that may be kept
        and used at any later time; None outside of a prediction.
    """
    with _IDENTITY:
        call = current_call()
        return None if call is None else call.reference()
    return None


def _said_by(option: str, error: Exception) -> str:
    """Why user code that an option named gave nothing; messages of others may quote inputs."""
    if isinstance(error, (Misfit, ColumnTooLong)):
        return str(error)
    return f"{option} raised {type_name(type(error))}; make it accept what the call is given"


def _slice_texts(value: object, rows: int | None) -> str | list[str] | None:
    if isinstance(value, list):
        if len(value) != (rows or 1):
            return None
        words = [text(semconv.class_text(item) or "", SLICE_LENGTH_MAX) for item in value]
        return words[0] if rows is None or len(set(words)) == 1 else words
    written = semconv.class_text(value)
    return None if written is None else text(written, SLICE_LENGTH_MAX)
