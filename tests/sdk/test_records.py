"""Slim records: what predictions leave behind whose full span is not sampled."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanContext

import inferspan
from inferspan import providers, records, semconv, settings
from inferspan.record_columns import Row
from inferspan.records import CALLS_WAITING_MAX, ROWS_WAITING_MAX, RecordBuffer
from inferspan.sampling import RatioSampler
from inferspan.settings import Settings
from inferspan.testing import START_TIME_NS, STEP_NS, CapturedSpans, capture_spans

BINARY = "binary_classification"


@inferspan.predict(model="fraud", version="7", task=BINARY, positive="fraud", slices=["country"])
def score(amount: float, country: str = "NL") -> dict[str, object]:
    if amount < 0:
        raise ValueError(f"a negative amount: {amount}")
    return {"label": "fraud" if amount > 50 else "legit", "score": amount / 100}


def attributes_of(spans: CapturedSpans) -> Mapping[str, Any]:
    (record,) = spans.records
    return record.attributes or {}


def test_the_type_of_an_error_stands_on_one_line() -> None:
    failure = type("Two\nlines\x1b[31m", (Exception,), {"__module__": "builtins"})

    @inferspan.predict(model="m", task="regression")
    def fails() -> float:
        raise failure

    with capture_spans(sampler=ALWAYS_OFF) as spans, pytest.raises(failure):
        fails()
    assert attributes_of(spans)[semconv.RECORD_ERROR_TYPES] == ("Two?lines?[31m",)
    with capture_spans() as spans, pytest.raises(failure):
        fails()
    assert (spans.prediction("m").attributes or {})[semconv.ERROR_TYPE] == "Two?lines?[31m"


def test_unsampled_calls_leave_one_record_with_a_column_for_each_thing_that_counts() -> None:
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        score(93.0, "NL")
        score(12.5, "DE")
        with pytest.raises(ValueError, match="negative"):
            score(-1.0)
        (record,) = spans.records
    found = record.attributes or {}
    assert spans.predictions == []
    assert record.name == "predictions fraud"
    assert record.parent is None
    assert record.instrumentation_scope is not None
    assert record.instrumentation_scope.name == semconv.SCOPE_RECORDS
    assert record.start_time == START_TIME_NS
    assert found[semconv.MODEL_NAME] == "fraud"
    assert found[semconv.MODEL_VERSION] == "7"
    assert found[semconv.TASK_TYPE] == BINARY
    assert found[semconv.OUTPUT_POSITIVE_CLASS] == "fraud"
    assert found[semconv.RECORD_COUNT] == 3
    assert found[semconv.RECORD_TRACE_IDS] == b"".join(n.to_bytes(16, "big") for n in (1, 2, 3))
    assert found[semconv.RECORD_SPAN_IDS] == b"".join(n.to_bytes(8, "big") for n in (1, 2, 3))
    assert found[semconv.RECORD_IDS] == b"".join(n.to_bytes(16, "big") for n in (1, 2, 3))
    assert found[semconv.RECORD_SAMPLED] is False
    starts = np.frombuffer(found[semconv.RECORD_START_OFFSETS], "<u4")  # type: ignore[call-overload]
    assert starts.tolist() == [0, 2 * STEP_NS, 4 * STEP_NS]
    durations = np.frombuffer(found[semconv.RECORD_DURATIONS], "<u4")  # type: ignore[call-overload]
    assert durations.tolist() == [STEP_NS] * 3
    assert found[semconv.RECORD_ERROR_TYPES] == ("ValueError",)
    assert found[semconv.RECORD_ERROR_TYPE_CODES] == bytes([0, 0, 1])
    assert found[semconv.RECORD_CLASSES] == ("fraud", "legit")
    assert found[semconv.RECORD_CLASS_CODES] == bytes([1, 2, 0])
    scores = np.frombuffer(found[semconv.RECORD_SCORES], "<f8")  # type: ignore[call-overload]
    np.testing.assert_array_equal(scores, [0.93, 0.125, np.nan])
    assert found[semconv.RECORD_SLICE_PREFIX + "country"] == ("NL", "DE")
    assert found[semconv.RECORD_SLICE_CODES_PREFIX + "country"] == bytes([1, 2, 1])


def test_numbers_are_narrow_where_that_loses_nothing() -> None:
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        score(50.0)
        score(25.0)
        found = attributes_of(spans)
    scores = np.frombuffer(found[semconv.RECORD_SCORES], "<f4")
    assert scores.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("policy", "sampled", "expected"),
    [
        ("unsampled", True, (1, 0)),
        ("unsampled", False, (0, 1)),
        ("all", True, (1, 1)),
        ("all", False, (0, 1)),
        ("none", True, (1, 0)),
        ("none", False, (0, 0)),
    ],
)
def test_the_policy_says_who_leaves_records(
    policy: str, sampled: bool, expected: tuple[int, int]
) -> None:
    settings.install(Settings.read({settings.RECORDS_VARIABLE: policy}))
    with capture_spans(sampler=ALWAYS_ON if sampled else ALWAYS_OFF) as spans:
        score(1.0)
        assert (len(spans.predictions), len(spans.records)) == expected
        if expected == (1, 1):
            told = (spans.predictions[0].attributes or {})[semconv.PREDICTION_ID]
            assert attributes_of(spans)[semconv.RECORD_IDS] == bytes.fromhex(str(told))


def test_ids_are_keyed_as_on_spans() -> None:
    settings.install(Settings.read({settings.ID_KEY_VARIABLE: "secret"}))
    named = inferspan.predict(model="m", task=BINARY, prediction_id="order")(lambda order: "a")
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        named("order-17")
        found = attributes_of(spans)
    assert found[semconv.RECORD_IDS] == (semconv.prediction_id_text("order-17", b"secret"),)


def test_a_reference_taken_inside_names_the_recorded_prediction() -> None:
    references = []

    @inferspan.predict(model="m", task=BINARY)
    def asking() -> str:
        references.append(inferspan.current_prediction())
        return "a"

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        asking()
        found = attributes_of(spans)
    (reference,) = references
    assert reference is not None
    assert found[semconv.RECORD_IDS] == bytes.fromhex(reference.id)
    assert found[semconv.RECORD_SPAN_IDS] == reference.span_context.span_id.to_bytes(8, "big")


class Broken(SpanProcessor, Sampler):
    """A sampler and a processor of the user's, that raise for every span of a prediction."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.name.startswith("predict "):
            raise RuntimeError("broken telemetry")

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise RuntimeError("broken telemetry")

    def get_description(self) -> str:
        return "broken"


@pytest.mark.parametrize("part", ["sampler", "processor", "processor at the end"])
@pytest.mark.parametrize("declared", [{}, {"prediction_id": "order_id"}], ids=["usual", "declared"])
def test_a_call_whose_span_cannot_begin_leaves_a_record(
    contained_errors: list[BaseException], part: str, declared: dict[str, str]
) -> None:
    @inferspan.predict(model="fraud", task=BINARY, positive="fraud", **declared)
    def fails(order_id: str) -> str:
        inner.append(trace.get_current_span().get_span_context())
        raise ValueError(order_id)

    inner: list[SpanContext] = []
    late = RatioSampler(0.0)
    sampler = {"sampler": Broken(), "processor": ALWAYS_ON, "processor at the end": late}[part]
    with capture_spans(sampler=sampler) as spans:
        cast("TracerProvider", providers.state.predictions).add_span_processor(Broken())
        with pytest.raises(ValueError, match="order-17"):
            fails("order-17")
        found = attributes_of(spans)
        assert len(spans) == 1
    assert found[semconv.RECORD_COUNT] == 1
    assert found[semconv.RECORD_SPAN_IDS] == inner[0].span_id.to_bytes(8, "big")
    assert {str(error) for error in contained_errors} == {"broken telemetry"}
    contained_errors.clear()


def test_a_call_without_a_span_context_is_given_one() -> None:
    buffer = RecordBuffer(background=False)
    row = rows(1)[0]
    buffer.append((row[0], INVALID_SPAN_CONTEXT, *row[2:]))
    with capture_spans() as spans:
        buffer.flush()
        found = attributes_of(spans)
    assert len(found[semconv.RECORD_TRACE_IDS]) == 16
    assert any(found[semconv.RECORD_TRACE_IDS])
    assert any(found[semconv.RECORD_SPAN_IDS])


@contextmanager
def buffering(buffer: RecordBuffer) -> Iterator[CapturedSpans]:
    """Calls are not sampled, and leave their records in `buffer`."""
    before, records._buffer = records._buffer, buffer  # type: ignore[misc]
    try:
        with capture_spans(sampler=ALWAYS_OFF) as spans:
            yield spans
    finally:
        records._buffer = before  # type: ignore[misc]


def rows(count: int) -> list[Row]:
    """Calls as their threads leave them."""
    taken: list[Row] = []

    class Taking(RecordBuffer):
        def append(self, row: Row) -> None:
            taken.append(row)

    with buffering(Taking(background=False)):
        for _ in range(count):
            score(1.0)
    return taken


def calls_in(found: list[ReadableSpan]) -> int:
    return sum(int(str((each.attributes or {})[semconv.RECORD_COUNT])) for each in found)


def test_under_overflow_the_oldest_go_and_every_call_is_accounted_for() -> None:
    (row,) = rows(1)
    buffer = RecordBuffer(background=False)
    issued = CALLS_WAITING_MAX + 8 * 500

    def append(count: int) -> None:
        for _ in range(count):
            buffer.append(row)

    threads = [threading.Thread(target=append, args=(issued // 8,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with capture_spans() as spans:
        buffer.flush()
        recorded = calls_in(spans.records)
    # Threads that saw the last place at once may take one each.
    assert CALLS_WAITING_MAX <= recorded <= CALLS_WAITING_MAX + 8
    assert buffer.lost == issued - recorded


def test_a_batch_beyond_the_rows_that_may_wait_is_left_out_and_counted() -> None:
    batch = inferspan.predict(model="m", task="regression")(lambda n: np.ones(n))
    size = 1 << 16
    buffer = RecordBuffer(background=False)
    with buffering(buffer) as spans:
        for _ in range(ROWS_WAITING_MAX // size + 2):
            batch(size)
        buffer.flush()
        assert not inferspan.flush()
        recorded = calls_in(spans.records)
    assert recorded == ROWS_WAITING_MAX // size
    assert buffer.lost == 2


def test_beyond_the_probabilities_that_may_wait_records_leave_without_them() -> None:
    classes, size = [*map(str, range(64))], 1_024
    batch = inferspan.predict(model="m", task="multiclass_classification", classes=classes)(
        lambda: np.full((size, 64), 1 / 64)
    )
    buffer = RecordBuffer(background=False)
    fit = records.PROBABILITIES_WAITING_MAX // (64 * size)
    with buffering(buffer) as spans:
        for _ in range(fit + 2):
            batch()
        buffer.flush()
        batch()
        buffer.flush()
        found = [each.attributes or {} for each in spans.records]
    packed = [len(each.get(semconv.RECORD_PROBABILITIES, b"")) for each in found]  # type: ignore[arg-type]
    # 1/64 is a float32.
    assert sum(packed) == (fit + 1) * 64 * size * 4
    assert calls_in(spans.records) == fit + 3
    assert (buffer.lost, buffer.without_probabilities) == (0, 2)


def test_only_answers_that_need_all_probabilities_leave_them() -> None:
    said = np.array([[0.25, 0.75]])
    for task, expected in (("multiclass_classification", 1), ("binary_classification", 0)):
        options = {"positive": "b"} if task.startswith("binary") else {}
        predict = inferspan.predict(model="m", task=task, classes=["a", "b"], **options)(
            lambda: said
        )
        with capture_spans(sampler=ALWAYS_OFF) as spans:
            predict()
            (record,) = spans.records
        attributes = record.attributes or {}
        assert (semconv.RECORD_PROBABILITIES in attributes) == expected
        assert (semconv.RECORD_PROBABILITY_CLASSES in attributes) == expected


def test_a_call_that_cannot_be_packed_takes_no_other_with_it(
    contained_errors: list[BaseException],
) -> None:
    good, bad = rows(2)
    buffer = RecordBuffer(background=False)
    for row in (good, (*bad[:5], "no duration", *bad[6:]), good):
        buffer.append(row)  # type: ignore[arg-type]
    with capture_spans() as spans:
        buffer.flush()
        assert calls_in(spans.records) == 2
    assert buffer.lost == 1
    # Of the three together, and of the one: whole, without its slices, without its answer.
    assert len(contained_errors) == 4
    contained_errors.clear()


def test_a_forked_child_forgets_what_the_parent_sends() -> None:
    buffer = RecordBuffer(background=False)
    for row in rows(3):
        buffer.append(row)
    buffer.forget()
    with capture_spans() as spans:
        buffer.flush()
        assert spans.records == []
    assert buffer.lost == 0


def test_a_record_holds_no_more_calls_than_may_be() -> None:
    buffer = RecordBuffer(background=False)
    for row in rows(1) * (records.FLUSH_CALLS + 1):
        buffer.append(row)
    with capture_spans() as spans:
        buffer.flush()
        counts = [(each.attributes or {})[semconv.RECORD_COUNT] for each in spans.records]
    assert sorted(counts) == [1, records.FLUSH_CALLS]  # type: ignore[type-var]


def test_the_thread_sends_without_being_asked() -> None:
    sent = threading.Event()

    class Telling(RecordBuffer):
        def _emit(self, group: list[Row]) -> None:
            sent.set()

    buffer = Telling()
    buffer.append(rows(1)[0])
    assert sent.wait(60)
    buffer.forget()
    gc.collect()
