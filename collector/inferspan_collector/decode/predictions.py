"""A prediction span → its rows, or the reason why not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from inferspan import semconv
from inferspan_collector.decode.attributes import (
    TEXT_LENGTH_MAX,
    Attributes,
    RefusedRecord,
    shown,
)
from inferspan_collector.decode.columns import PredictionRows
from inferspan_collector.decode.outputs import disagree, read_outputs

CLOCK_SKEW_MAX_NS: Final = 600 * 1_000_000_000
"""How far ahead of us a sender's clock may run before its times are clamped."""
TIME_MIN_NS: Final = 946_684_800 * 1_000_000_000
"""The year 2000: what is dated before it comes from a clock that was never set, or is no ns."""
TIME_MAX_NS: Final = 2**63 - 1
OTHER_ERROR: Final = "_OTHER"
"""OpenTelemetry's `error.type` of a failure that names none."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent the spans of one resource."""

    environment: str | None
    service: str | None


def read_origin(resource: Attributes) -> Origin:
    """Read who sent the spans of a resource.

    Raises:
        RefusedRecord: a name of the wrong type, or too long.
    """
    return Origin(
        environment=resource.text(semconv.DEPLOYMENT_ENVIRONMENT_NAME),
        service=resource.text(semconv.SERVICE_NAME),
    )


@dataclass(frozen=True, slots=True)
class Declared:
    """What predicted: the same attributes on a prediction span and on a slim record."""

    model: str
    version: str | None
    variant: str | None
    operation: str
    task: str | None
    positive_class: str | None


def read_declared(span: Span, attributes: Attributes) -> Declared:
    """Read the model and what is declared of it.

    Raises:
        RefusedRecord: no model, or an operation or task that does not exist.
    """
    model = attributes.text(semconv.MODEL_NAME)
    if model is None:
        raise RefusedRecord(
            "missing_model", f"span {span.name!r:.80} has no {semconv.MODEL_NAME}: name the model"
        )
    operation = read_operation(attributes)
    return Declared(
        model=model,
        version=attributes.text(semconv.MODEL_VERSION),
        variant=attributes.text(semconv.MODEL_VARIANT),
        operation=operation,
        task=read_task(attributes),
        positive_class=attributes.class_text(semconv.OUTPUT_POSITIVE_CLASS),
    )


def read_prediction(
    span: Span,
    attributes: Attributes,
    origin: Origin,
    received_ns: int,
    reserve: Callable[[int], None],
) -> PredictionRows:
    """Read one prediction span.

    Args:
        span: the span.
        attributes: its attributes.
        origin: what its resource says.
        received_ns: the time of receipt, Unix ns.
        reserve: told how many rows the span holds, before they are made; it may raise.

    Raises:
        RefusedRecord: the span breaks a rule of the vocabulary.
    """
    declared = read_declared(span, attributes)
    trace, span_id = span_context(span.trace_id, span.span_id)
    start, duration = _times(span)
    event_time = _event_time(attributes) or start
    skewed = event_time > received_ns + CLOCK_SKEW_MAX_NS
    ids, index = _identities(span, attributes, reserve)
    outputs = read_outputs(
        attributes, len(ids), declared.task, declared.positive_class, declared.operation
    )
    return PredictionRows(
        environment=origin.environment,
        service=origin.service,
        model=declared.model,
        version=declared.version,
        variant=declared.variant,
        operation=declared.operation,
        task=declared.task,
        positive_class=declared.positive_class,
        ids=ids,
        index=index,
        trace=trace,
        span=span_id,
        kind=span.kind if 0 <= span.kind <= Span.SPAN_KIND_CONSUMER else 0,
        event_time=received_ns if skewed else event_time,
        start_time=start,
        duration=max(0, duration),
        error_type=_error_type(span, attributes),
        predicted=outputs.predicted,
        score=outputs.score,
        value=outputs.value,
        probability_classes=outputs.probability_classes,
        probabilities=outputs.probabilities,
        adjusted_count=_adjusted_count(attributes),
        slices=_slices(attributes, len(ids)),
        skewed=skewed,
        ends_early=duration < 0,
        entity_id=_other_name(attributes.id_text, semconv.ENTITY_ID),
        response_id=_other_name(attributes.text, semconv.GEN_AI_RESPONSE_ID),
    )


def slice_keys(attributes: Attributes, *prefixes: str) -> tuple[list[str], list[str]]:
    """The keys of the slices that stand under any of the prefixes.

    Returns:
        Those that are read, and those left out because of their name or their number.
    """
    sent = {
        name.removeprefix(prefix)
        for name in attributes
        for prefix in prefixes
        if name.startswith(prefix)
    }
    kept = sorted(filter(_is_slice_key, sent))[: semconv.SLICE_KEYS_MAX]
    return kept, sorted(sent.difference(kept))


def span_context(trace_id: bytes, span_id: bytes) -> tuple[tuple[int, int], int]:
    """Trace and span id as integers, the trace id in its big-endian halves.

    Raises:
        RefusedRecord: wrong length, or all zero.
    """
    if len(trace_id) != 16 or not any(trace_id):
        raise RefusedRecord(
            "bad_trace_id", f"trace id {trace_id[:32].hex()!r} is not 16 bytes other than zero"
        )
    if len(span_id) != 8 or not any(span_id):
        raise RefusedRecord(
            "bad_span_id", f"span id {span_id[:32].hex()!r} is not 8 bytes other than zero"
        )
    halves = (int.from_bytes(trace_id[:8], "big"), int.from_bytes(trace_id[8:], "big"))
    return halves, int.from_bytes(span_id, "big")


def read_operation(attributes: Attributes) -> str:
    """What the model did.

    Raises:
        RefusedRecord: an operation that does not exist, or none.
    """
    operation = attributes.text(semconv.OPERATION_NAME)
    if operation is None or operation not in semconv.OPERATIONS:
        raise RefusedRecord(
            "unknown_operation",
            f"{semconv.OPERATION_NAME} = {shown(operation)} is not one of "
            f"{', '.join(semconv.OPERATIONS)}",
        )
    return operation


def read_task(attributes: Attributes) -> str | None:
    """The task, None where none is declared.

    Raises:
        RefusedRecord: a task that does not exist.
    """
    task = attributes.text(semconv.TASK_TYPE)
    if task is not None and task not in semconv.TASKS:
        raise RefusedRecord(
            "unknown_task",
            f"{semconv.TASK_TYPE} = {shown(task)} is not one of {', '.join(semconv.TASKS)}; "
            "leave it out where none fits",
        )
    return task


def _event_time(attributes: Attributes) -> int | None:
    name = semconv.EVENT_TIME_UNIX_NANO
    time = attributes.integer(name)
    if time is not None and time < TIME_MIN_NS:
        raise RefusedRecord(
            "bad_time",
            f"{name} = {time} is not a time from the year 2000 on in Unix nanoseconds; correct it, "
            "or leave it out",
        )
    return time


def _times(span: Span) -> tuple[int, int]:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    for name, time in (("start_time_unix_nano", start), ("end_time_unix_nano", end)):
        if not TIME_MIN_NS <= time <= TIME_MAX_NS:
            raise RefusedRecord(
                "bad_time",
                f"{name} = {time} of span {span.name!r:.80} is not a time from the year "
                "2000 on in Unix nanoseconds: send spans that have ended, with both times, and set "
                "the clock",
            )
    return start, end - start


def _identities(
    span: Span, attributes: Attributes, reserve: Callable[[int], None]
) -> tuple[list[str], list[int]]:
    name = semconv.PREDICTION_IDS
    ids = attributes.id_texts(name)
    count = attributes.integer(semconv.PREDICTION_COUNT)
    if count is None:
        count = 1 if ids is None else len(ids)
    if count < 0:
        raise RefusedRecord(
            "bad_count", f"{semconv.PREDICTION_COUNT} = {count}: a span holds no row or more"
        )
    reserve(count)
    if ids is None:
        shared = attributes.id_text(semconv.PREDICTION_ID)
        # A span that names no prediction is still one: its own identity is the only one it has.
        shared = shared or f"{span.trace_id.hex()}-{span.span_id.hex()}"
        return [shared] * count, list(range(count))
    if len(ids) != count:
        raise disagree(name, len(ids), f"{semconv.PREDICTION_COUNT} = {count}: send as many")
    given = [text for text in ids if text is not None]
    if len(given) != count:
        raise RefusedRecord("missing_id", f"{name} has an empty entry: give each row an id")
    return given, [0] * count


def _other_name(read: Callable[[str], str | None], key: str) -> str | None:
    """Another name of the prediction, read as labels' are; what is none only finds nothing."""
    try:
        return read(key) or None
    except RefusedRecord:
        return None


def _adjusted_count(attributes: Attributes) -> float:
    name = semconv.SAMPLING_ADJUSTED_COUNT
    if name not in attributes:
        return 1.0
    count = attributes.number(name)
    if math.isnan(count) or count < 1.0:
        raise RefusedRecord(
            "bad_adjusted_count",
            f"{name} = {shown(attributes.value(name))}: a span stands for 1 prediction or more",
        )
    return count


def _error_type(span: Span, attributes: Attributes) -> str | None:
    named = attributes.text(semconv.ERROR_TYPE)
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return named or (OTHER_ERROR if failed else None)


def _slices(attributes: Attributes, rows: int) -> dict[str, list[str | None]]:
    slices: dict[str, list[str | None]] = {}
    for key in slice_keys(attributes, semconv.SLICE_PREFIX)[0]:
        name = semconv.SLICE_PREFIX + key
        value = attributes.value(name)
        if isinstance(value, list):
            texts = attributes.class_texts(name) or []
            if len(texts) != rows:
                raise disagree(name, len(texts), f"the span holds {rows} predictions")
        else:
            texts = [attributes.class_text(name)] * rows
        slices[key] = texts
    return slices


def _is_slice_key(key: str) -> bool:
    return "." not in key and 0 < len(key) <= TEXT_LENGTH_MAX
