"""Ground truth → label record: the truth that arrives later, joined by the prediction's id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypedDict

from opentelemetry.trace import SpanContext, Tracer

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
from inferspan.references import PredictionRef
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


def _label_id(given: object) -> str:
    if given is None:
        return new_record_id()
    with reading():
        written = semconv.prediction_id_text(given)
        if written is None:
            raise RefusedLabel("id", f"id={given!r:.80} is no id; give a string, or leave it out")
    return written
