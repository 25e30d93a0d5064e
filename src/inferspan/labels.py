"""Ground truth → label record: the truth that arrives later, joined by the prediction's id."""

from __future__ import annotations

import base64
import json
import re
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Self, TypedDict, Unpack

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext, TraceFlags, Tracer

from inferspan import semconv, settings
from inferspan.attributes import Attributes
from inferspan.containment import Contained, errors, from_outside
from inferspan.identity import new_record_id
from inferspan.label_records import (
    LabelDetails,
    RefusedLabel,
    Time,
    check_options,
    label_attributes,
)
from inferspan.providers import label_tracer
from inferspan.redaction import Redactor
from inferspan.spans import emit_record

_SEND: Final = Contained("send a label")


class LabelOptions(TypedDict, total=False):
    """What may be said of a label besides its prediction, its value and its model."""

    target: str
    time: Time | None
    id: str | None
    source: str | None
    kind: str
    annotator_kind: str | None
    revision: int
    action: Literal["upsert", "delete"]
    weight: float | None
    index: int | None
    item_id: str | int | None
    version: str | int | None
    text: str | None


class Taken(NamedTuple):
    """Of which call of this process a reference was taken, and when."""

    call: weakref.ref[Any]
    time_unix_nano: int
    policy: str
    """The call's capture policy."""
    redactor: Redactor | None


@dataclass(frozen=True, slots=True)
class PredictionRef:
    """What a caller keeps of a prediction, to label it later."""

    id: str
    """The prediction's id, as the caller gave it or as it was made."""
    model: str
    version: str | None = None
    # OpenTelemetry's trace state has no hash; references may be keys of a dict all the same.
    span_context: SpanContext = field(default=INVALID_SPAN_CONTEXT, hash=False)
    wire_id: str = ""
    """The id as it is sent: keyed where `INFERSPAN_ID_KEY` is set."""
    taken: Taken | None = field(default=None, repr=False, compare=False)
    """For `inferspan.batch`; lost where the reference is pickled."""

    @classmethod
    def of(
        cls,
        prediction_id: str,
        model: str,
        version: str | None,
        span: SpanContext,
        taken: Taken | None = None,
    ) -> Self:
        """Refer to a prediction of this process."""
        wire_id = semconv.prediction_id_text(prediction_id, settings.current().id_key)
        return cls(prediction_id, model, version, span, wire_id or prediction_id, taken)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.id, self.model, self.version, self.span_context, self.wire_id)
        return type(self), fields

    @classmethod
    def from_token(cls, token: str) -> Self:
        """Read what `to_token` wrote, in any process.

        Raises:
            ValueError: the text is no such token.
        """
        try:
            return cls._of_fields(*_unpacked(token))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(
                f"{token!r:.80} is no prediction token; give what PredictionRef.to_token() returned"
            ) from error

    @classmethod
    def _of_fields(
        cls,
        prediction_id: object,
        model: object,
        version: object,
        trace_id: object,
        span_id: object,
        flags: object,
    ) -> Self:
        if not isinstance(prediction_id, str):
            raise TypeError("a prediction id is a text")
        if (wire_id := semconv.prediction_id_text(prediction_id)) is None:
            raise ValueError("no prediction id")
        if not isinstance(model, str) or not model or not isinstance(version, str | None):
            raise ValueError("model and version are texts")
        for name in (model, version or ""):
            name.encode()  # half a surrogate pair could never be written again
        if type(flags) is not int or not 0 <= flags < 1 << 8:
            raise ValueError("no trace flags")
        span = SpanContext(
            _hexadecimal(trace_id, 32),
            _hexadecimal(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(flags),
        )
        return cls(wire_id, model, version, span, wire_id)

    @property
    def traceparent(self) -> str:
        """The span's context in the form of W3C Trace Context, version 00."""
        span = self.span_context
        return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"

    def to_token(self) -> str:
        """Write the reference as one URL-safe text; a keyed id travels keyed."""
        span = self.span_context
        fields = (
            self.wire_id or self.id,
            self.model,
            self.version,
            f"{span.trace_id:x}",
            f"{span.span_id:x}",
            int(span.trace_flags),
        )
        packed = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(packed).rstrip(b"=").decode()

    def keep(self) -> None:
        """Have a full span built of this call, while it runs, though it was not sampled.

        The span is built at the call's end, without input, stages and snapshots. Does nothing in
        another process, after the call's end, and under a provider that `configure()` did not make.
        """
        call = None if self.taken is None else self.taken.call()
        if call is not None:
            call.keep()

    def label(self, value: object = None, **options: Unpack[LabelOptions]) -> str | None:
        """Say what turned out to be true; see `inferspan.label` for value and options."""
        return label(self, value, **options)


def label(
    prediction: object,
    value: object = None,
    *,
    model: str | None = None,
    target: str = semconv.DEFAULT_TARGET,
    time: Time | None = None,
    id: str | None = None,
    source: str | None = None,
    kind: str = semconv.TARGET_KINDS[0],
    annotator_kind: str | None = None,
    revision: int = 0,
    action: Literal["upsert", "delete"] = "upsert",
    weight: float | None = None,
    index: int | None = None,
    item_id: str | int | None = None,
    version: str | int | None = None,
    text: str | None = None,
) -> str | None:
    """Say what turned out to be true of a prediction: from any process, at any later time.

    Args:
        prediction: the prediction's id, or its `PredictionRef`.
        value: a class (string or boolean), a number (a class or a quantity; the model's task
            decides), a list or set of classes, or a list of numbers. None with `text` or `delete`.
        model: the model's name; a `PredictionRef` knows its own.
        target: which truth, where a prediction has several: `chargeback`.
        time: when it became known: a datetime with offset, Unix nanoseconds, or RFC 3339 text.
            Absent = when the collector first accepts it.
        id: the label's own id. An identical record sent twice is stored once; the same id with
            other content is another record, and both are kept. Absent = a new UUIDv7.
        source: where it comes from; sources may be ranked in the collector's configuration.
        kind: `ground_truth`, `feedback` or `evaluation`.
        annotator_kind: `HUMAN`, `LLM`, `CODE` or `SYSTEM`.
        revision: its place where times do not say which label is the later one: 0, then 1 for the
            first correction.
        action: `delete` takes the label back.
        weight: greater than 0; absent = 1.
        index: the row within a batch call whose rows share one prediction id, from 0.
        item_id: which item of a ranking; `value` is its relevance, from 0 on, True or False.
        version: narrows the match to one version of the model.
        text: a reference answer.

    Returns:
        The label's id. None where it is not sent: refused, because its value, id or time cannot
        count (None, NaN, no offset …), or nothing says where labels go. That is counted and
        logged, at most once a minute for each model and rule, and does not raise: data is no reason
        to end a program.

    Raises:
        ValueError: an option that is wrong whatever the data: no model, an unknown kind.
    """
    if (reference := _reference(prediction)) is not None:
        model = model or reference.model
    details = LabelDetails(
        model=check_options(model, kind, annotator_kind, action),
        target=target,
        time=time,
        source=source,
        kind=kind,
        annotator_kind=annotator_kind,
        revision=revision,
        action=action,
        weight=weight,
        index=index,
        item_id=item_id,
        version=version,
        reference=text,
    )
    return _send(prediction, value, id, details)


def _reference(prediction: object) -> PredictionRef | None:
    """The reference, if it is one; by its type, for an object that is asked its class may raise."""
    return prediction if issubclass(type(prediction), PredictionRef) else None  # type: ignore[return-value]


def _send(prediction: object, value: object, given_id: object, details: LabelDetails) -> str | None:
    try:
        record = read_record(prediction, value, details)
        label_id = _label_id(given_id)
    except RefusedLabel as refusal:
        errors.warn_sometimes(
            f"label {details.model}: {refusal.kind}",
            f"inferspan: a label of {details.model!r} is refused: {refusal}",
        )
        return None
    with _SEND:
        reference = _reference(prediction)
        linked = None if reference is None else reference.span_context
        if (tracer := label_tracer()) is not None:
            send_label(tracer, record, label_id, linked)
            return label_id
    return None


def read_record(prediction: object, value: object, details: LabelDetails) -> Attributes:
    """Make a label record, without its id, of whatever the caller's data holds.

    Args:
        prediction: an id or a `PredictionRef`.
        value: as `label` takes it.
        details: the rest.

    Raises:
        RefusedLabel: it cannot count, or reading it raised.
        ValueError: the environment holds a setting that breaks its rule.
    """
    key = settings.current().id_key
    with reading():
        if (reference := _reference(prediction)) is not None:
            wire_id: str | None = reference.wire_id or reference.id
        else:
            wire_id = semconv.prediction_id_text(prediction, key)
        return label_attributes(wire_id, value, details)


@contextmanager
def reading() -> Iterator[None]:
    """Look at the caller's data: what that raises is a `RefusedLabel`, but for an interrupt."""
    try:
        yield
    except RefusedLabel:
        raise
    except BaseException as error:
        if from_outside(error):
            raise
        # Without the message, which may quote the data.
        name = type(error).__name__
        raise RefusedLabel(
            f"unreadable {name}",
            f"reading its data raised {name}; give plain strings, numbers and datetimes",
        ) from error


def send_label(
    tracer: Tracer, record: Attributes, label_id: str, linked: SpanContext | None = None
) -> None:
    """Emit one label record: the root of its own trace, with one link where the span is known."""
    links = (linked,) if linked is not None and linked.is_valid else ()
    attributes = {semconv.LABEL_ID: label_id, **record}
    emit_record(tracer, f"label {record[semconv.MODEL_NAME]!s}", attributes, links)


def _unpacked(token: str) -> list[object]:
    padded = token + "=" * (-len(token) % 4)
    fields = json.loads(base64.urlsafe_b64decode(padded))
    if not isinstance(fields, list):
        raise TypeError("the fields are a list")
    return fields


def _hexadecimal(written: object, digits: int) -> int:
    if not isinstance(written, str) or not re.fullmatch(rf"[0-9a-f]{{1,{digits}}}", written):
        raise ValueError("no trace or span id")
    return int(written, 16)


def _label_id(given: object) -> str:
    if given is None:
        return new_record_id()
    with reading():
        written = semconv.prediction_id_text(given)
        if written is None:
            raise RefusedLabel("id", f"id={given!r:.80} is no id; give a string, or leave it out")
    return written
