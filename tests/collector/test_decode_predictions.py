"""Prediction spans become rows; what breaks a rule is refused alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from inferspan import semconv
from inferspan_collector.batches import Decoded
from inferspan_collector.decode import decode_traces
from inferspan_collector.decode.predictions import (
    CLOCK_SKEW_MAX_NS,
    TIME_MIN_NS,
)
from inferspan_collector.decode.row_limit import ROWS_FREE, ROWS_MAX, rows_max
from inferspan_collector.submission import Overloaded
from inferspan_collector.testing import (
    NOW_NS,
    otlp_span,
    prediction_span,
    span_ids,
    traces_request,
)

RESOURCE = {semconv.SERVICE_NAME: "fraud-api", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod"}


def decode(*spans, scope=semconv.SCOPE_PREDICTIONS, resource=None) -> Decoded:
    request = traces_request(spans, scope=scope, resource=resource)
    return decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)


def test_every_column_of_a_single_prediction() -> None:
    span = prediction_span(
        "order-17",
        {
            semconv.MODEL_VERSION: "7",
            semconv.MODEL_VARIANT: "canary",
            semconv.TASK_TYPE: semconv.BINARY,
            semconv.OUTPUT_CLASS: "legit",
            semconv.OUTPUT_SCORE: 0.25,
            semconv.OUTPUT_VALUE: 12.5,
            semconv.OUTPUT_POSITIVE_CLASS: "fraud",
            semconv.EVENT_TIME_UNIX_NANO: NOW_NS - 86_400_000_000_000,
            semconv.SAMPLING_ADJUSTED_COUNT: 10.0,
            semconv.SLICE_PREFIX + "country": "DE",
            semconv.ERROR_TYPE: "TimeoutError",
        },
        kind=3,
        start_ns=NOW_NS - 7,
        duration_ns=5,
        ids=(bytes(range(16)), bytes(range(8, 16))),
    )
    decoded = decode(span, resource=RESOURCE)
    batch = decoded.predictions
    texts = ("environment", "service", "model", "version", "variant", "operation", "task")
    texts += ("positive_class", "error_type", "predicted")
    assert {name: getattr(batch, name).objects().tolist() for name in texts} == {
        "environment": ["prod"],
        "service": ["fraud-api"],
        "model": ["fraud"],
        "version": ["7"],
        "variant": ["canary"],
        "operation": ["predict"],
        "task": [semconv.BINARY],
        "positive_class": ["fraud"],
        "error_type": ["TimeoutError"],
        "predicted": ["legit"],
    }
    assert batch.trace.tolist() == [[0x0001020304050607, 0x08090A0B0C0D0E0F]]
    assert batch.span.tolist() == [0x08090A0B0C0D0E0F]
    assert batch.prediction_id.objects().tolist() == ["order-17"]
    numbers = ("index", "kind", "event_time", "start_time", "duration", "received", "score")
    numbers += ("value", "adjusted_count")
    assert {name: getattr(batch, name).tolist() for name in numbers} == {
        "index": [0],
        "kind": [3],
        "event_time": [NOW_NS - 86_400_000_000_000],
        "start_time": [NOW_NS - 7],
        "duration": [5],
        "received": [NOW_NS],
        "score": [0.25],
        "value": [12.5],
        "adjusted_count": [10.0],
    }
    assert {key: column.objects().tolist() for key, column in batch.slices.items()} == {
        "country": ["DE"]
    }
    assert (decoded.refused, decoded.ignored, decoded.clock_skewed) == ((), 0, 0)


def test_what_a_span_does_not_say_is_absent() -> None:
    batch = decode(prediction_span("a")).predictions
    for name in ("environment", "service", "version", "variant", "task", "positive_class"):
        assert getattr(batch, name).objects().tolist() == [None]
    assert batch.predicted.objects().tolist() == [None]
    assert batch.error_type.objects().tolist() == [None]
    assert math.isnan(batch.score[0])
    assert math.isnan(batch.value[0])
    assert batch.adjusted_count.tolist() == [1.0]
    assert batch.event_time.tolist() == batch.start_time.tolist()
    assert batch.slices == {}


def test_columns_keep_the_types_of_the_batch() -> None:
    full, empty = decode(prediction_span("a")).predictions, decode().predictions
    for name in type(full).__slots__:
        column = getattr(full, name)
        if isinstance(column, np.ndarray):
            assert column.dtype == getattr(empty, name).dtype, name
            assert column.shape[1:] == getattr(empty, name).shape[1:], name


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (1, "1"), (1.0, "1"), (2.5, "2.5"), ("e\u0301", "\u00e9"), (math.nan, None)],
)
def test_a_class_reads_as_its_text(value: object, text: str | None) -> None:
    batch = decode(prediction_span("a", {semconv.OUTPUT_CLASS: value})).predictions
    assert batch.predicted.objects().tolist() == [text]


def test_numbers_that_are_not_finite_are_absent() -> None:
    attributes = {semconv.OUTPUT_SCORE: math.inf, semconv.OUTPUT_VALUE: -math.inf}
    batch = decode(prediction_span("a", attributes)).predictions
    assert np.isnan([batch.score[0], batch.value[0]]).all()


def test_a_failed_span_without_error_type_has_failed_all_the_same() -> None:
    batch = decode(prediction_span("a", failed=True)).predictions
    assert batch.error_type.objects().tolist() == ["_OTHER"]


def test_a_prediction_without_an_id_is_known_by_its_span() -> None:
    trace_id, span_id = span_ids("x")
    attributes = {semconv.MODEL_NAME: "m", semconv.OPERATION_NAME: "predict"}
    batch = decode(otlp_span("x", attributes)).predictions
    assert batch.prediction_id.objects().tolist() == [f"{trace_id.hex()}-{span_id.hex()}"]


# --- whose spans are read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "attributes", "predictions", "ignored"),
    [
        ("inferspan", {semconv.STAGE_NAME: "tokenize"}, 0, 1),
        ("inferspan", {semconv.STAGE_NAME: "tokenize", semconv.MODEL_NAME: "m"}, 0, 1),
        (
            "inferspan",
            {semconv.STAGE_NAME: "batch", semconv.MODEL_NAME: "m", semconv.BATCH_SIZE: 8},
            0,
            1,
        ),
        ("inferspan", {}, 0, 1),
        ("kserve", {semconv.MODEL_NAME: "m", semconv.OPERATION_NAME: "predict"}, 1, 0),
        ("kserve", {semconv.MODEL_NAME: "m"}, 0, 1),
        ("kserve", {semconv.OPERATION_NAME: "predict"}, 0, 1),
        ("", {"http.route": "/"}, 0, 1),
        (
            "inferspan.processor",
            {semconv.MODEL_NAME: "m", semconv.OPERATION_NAME: "predict"},
            0,
            1,
        ),
    ],
)
def test_scopes(scope: str, attributes: dict[str, str], predictions: int, ignored: int) -> None:
    decoded = decode(otlp_span("x", attributes), scope=scope)
    assert (len(decoded.predictions), decoded.ignored, decoded.refused) == (
        predictions,
        ignored,
        (),
    )


# --- batches --------------------------------------------------------------------------------------


def test_ids_longer_than_the_limit_are_hashed_as_the_sdk_does() -> None:
    limit = semconv.PREDICTION_ID_LENGTH_MAX
    ids = ["x" * limit, "x" * (limit + 1), "ä" * 5000]
    batch = decode(
        *(prediction_span("p", {semconv.PREDICTION_ID: text}) for text in ids),
        prediction_span("batch", {semconv.PREDICTION_IDS: ids}),
    ).predictions
    assert (
        batch.prediction_id.objects().tolist()
        == [semconv.prediction_id_text(text) for text in ids] * 2
    )
    assert batch.prediction_id.objects()[0] == ids[0]


def test_rows_with_ids_of_their_own() -> None:
    attributes = {
        semconv.PREDICTION_COUNT: 3,
        semconv.PREDICTION_IDS: ["a", "b", "c"],
        semconv.OUTPUT_CLASSES_PREDICTED: ["x", None, "y"],
        semconv.OUTPUT_SCORES: [0.5, 0.25, None],
        semconv.OUTPUT_VALUES: [1, 2.5, math.nan],
        semconv.SLICE_PREFIX + "site": ["n", "s", None],
        semconv.SLICE_PREFIX + "day": "mo",
    }
    batch = decode(prediction_span("batch", attributes)).predictions
    assert batch.prediction_id.objects().tolist() == ["a", "b", "c"]
    assert batch.index.tolist() == [0, 0, 0]
    assert batch.predicted.objects().tolist() == ["x", None, "y"]
    np.testing.assert_array_equal(batch.score, [0.5, 0.25, math.nan])
    np.testing.assert_array_equal(batch.value, [1.0, 2.5, math.nan])
    assert batch.slices["site"].objects().tolist() == ["n", "s", None]
    assert batch.slices["day"].objects().tolist() == ["mo"] * 3
    assert len(set(batch.span.tolist())) == 1


def test_rows_that_share_an_id_are_told_apart_by_their_index() -> None:
    attributes = {semconv.PREDICTION_COUNT: 3, semconv.OUTPUT_VALUES: [1.0, 2.0, 3.0]}
    batch = decode(prediction_span("job", attributes)).predictions
    assert batch.prediction_id.objects().tolist() == ["job"] * 3
    assert batch.index.tolist() == [0, 1, 2]


def test_spans_of_different_lengths_stack() -> None:
    decoded = decode(
        prediction_span("a", {semconv.SLICE_PREFIX + "k": "1"}),
        prediction_span("b", {semconv.PREDICTION_COUNT: 2}, model="churn"),
        prediction_span("c", {semconv.PREDICTION_IDS: ["c1", "c2"]}),
    )
    batch = decoded.predictions
    assert batch.prediction_id.objects().tolist() == ["a", "b", "b", "c1", "c2"]
    assert batch.model.objects().tolist() == ["fraud", "churn", "churn", "fraud", "fraud"]
    assert batch.slices["k"].objects().tolist() == ["1", None, None, None, None]
    assert batch.trace.shape == (5, 2)
    assert batch.trace[1].tolist() == batch.trace[2].tolist() != batch.trace[3].tolist()


def test_each_row_knows_its_place_within_its_span() -> None:
    own_ids = prediction_span("own", {semconv.PREDICTION_IDS: ["a", "b", "c"]})
    shared_id = prediction_span("shared", {semconv.PREDICTION_COUNT: 2})
    batch = decode(own_ids, prediction_span("single"), shared_id).predictions
    assert batch.span_row.tolist() == [0, 1, 2, 0, 0, 1]
    assert batch.index.tolist() == [0, 0, 0, 0, 0, 1]


def test_a_batch_call_of_nothing_is_no_prediction() -> None:
    empty = {semconv.PREDICTION_COUNT: 0, semconv.PREDICTION_IDS: []}
    decoded = decode(prediction_span("a", empty), prediction_span("b"))
    assert decoded.predictions.prediction_id.objects().tolist() == ["b"]
    assert (decoded.ignored, decoded.refused) == (1, ())


# --- refusals -------------------------------------------------------------------------------------

REFUSED = [
    ({semconv.MODEL_NAME: ""}, {}, "missing_model"),
    ({semconv.OPERATION_NAME: "guess"}, {}, "unknown_operation"),
    ({semconv.TASK_TYPE: "classification"}, {}, "unknown_task"),
    ({semconv.MODEL_VERSION: "x" * 1025}, {}, "text_too_long"),
    ({semconv.PREDICTION_ID: 1.5}, {}, "bad_type"),
    ({semconv.OUTPUT_SCORE: "0.9"}, {}, "bad_type"),
    ({semconv.OUTPUT_SCORE: True}, {}, "bad_type"),
    ({semconv.OUTPUT_VALUES: 3.0}, {}, "bad_type"),
    ({semconv.PREDICTION_COUNT: -1}, {}, "bad_count"),
    ({semconv.PREDICTION_COUNT: "3"}, {}, "bad_type"),
    ({semconv.PREDICTION_COUNT: ROWS_MAX + 1}, {}, "too_many_rows"),
    ({semconv.PREDICTION_COUNT: 2, semconv.PREDICTION_IDS: ["a"]}, {}, "length_mismatch"),
    ({semconv.PREDICTION_IDS: ["a", ""]}, {}, "missing_id"),
    ({semconv.PREDICTION_COUNT: 2, semconv.OUTPUT_SCORES: [0.5]}, {}, "length_mismatch"),
    ({semconv.PREDICTION_COUNT: 2, semconv.OUTPUT_VALUES: [0.5] * 3}, {}, "length_mismatch"),
    ({semconv.OUTPUT_CLASSES_PREDICTED: ["a", "b"]}, {}, "length_mismatch"),
    (
        {semconv.OUTPUT_CLASSES_PREDICTED: ["a"], semconv.OUTPUT_OFFSETS: [0, 1, 1]},
        {},
        "length_mismatch",
    ),
    ({semconv.OUTPUT_CLASSES_PREDICTED: ["a"], semconv.OUTPUT_OFFSETS: [1, 1]}, {}, "bad_offsets"),
    ({semconv.OUTPUT_CLASSES_PREDICTED: ["a"], semconv.OUTPUT_OFFSETS: [0, 2]}, {}, "bad_offsets"),
    (
        {
            semconv.PREDICTION_COUNT: 2,
            semconv.OUTPUT_CLASSES_PREDICTED: ["a", "b"],
            semconv.OUTPUT_OFFSETS: [0, 5, 2],
        },
        {},
        "bad_offsets",
    ),
    ({semconv.OUTPUT_PROBABILITIES: [0.5, 0.5]}, {}, "length_mismatch"),
    (
        {semconv.OUTPUT_PROBABILITIES: [0.5, 0.5], semconv.OUTPUT_CLASSES: ["a", "a"]},
        {},
        "bad_classes",
    ),
    ({semconv.SLICE_PREFIX + "k": ["a", "b"]}, {}, "length_mismatch"),
    ({semconv.SAMPLING_ADJUSTED_COUNT: 0.5}, {}, "bad_adjusted_count"),
    ({semconv.SAMPLING_ADJUSTED_COUNT: math.nan}, {}, "bad_adjusted_count"),
    ({semconv.EVENT_TIME_UNIX_NANO: 0}, {}, "bad_time"),
    ({semconv.EVENT_TIME_UNIX_NANO: -5}, {}, "bad_time"),
    ({semconv.EVENT_TIME_UNIX_NANO: TIME_MIN_NS - 1}, {}, "bad_time"),
    ({}, {"start_ns": 0}, "bad_time"),
    ({}, {"start_ns": TIME_MIN_NS - 1}, "bad_time"),
    ({}, {"start_ns": TIME_MIN_NS, "duration_ns": -5}, "bad_time"),
    ({semconv.MODEL_NAME: "a\nb"}, {}, "bad_text"),
    ({semconv.MODEL_VERSION: "7\x00"}, {}, "bad_text"),
    ({semconv.MODEL_VARIANT: "a\x85"}, {}, "bad_text"),
    ({}, {"start_ns": 2**63}, "bad_time"),
    ({}, {"ids": (b"", b"12345678")}, "bad_trace_id"),
    ({}, {"ids": (bytes(16), b"12345678")}, "bad_trace_id"),
    ({}, {"ids": (b"1" * 16, b"1234567")}, "bad_span_id"),
    ({}, {"ids": (b"1" * 16, bytes(8))}, "bad_span_id"),
]


@pytest.mark.parametrize(("attributes", "span", "reason"), REFUSED)
def test_what_breaks_a_rule_is_refused_alone(
    attributes: dict[str, object], span: dict[str, object], reason: str
) -> None:
    before, after = prediction_span("before"), prediction_span("after")
    decoded = decode(before, prediction_span("bad", attributes, **span), after)
    assert [(r.signal, r.reason) for r in decoded.refused] == [("predictions", reason)]
    assert decoded.predictions.prediction_id.objects().tolist() == ["before", "after"]
    assert len(decoded.refused[0].message) < 300


def test_a_bad_resource_refuses_its_spans_alone() -> None:
    request = traces_request([prediction_span("a")], resource={semconv.SERVICE_NAME: "x" * 2000})
    request.MergeFrom(traces_request([prediction_span("b")], resource=RESOURCE))
    decoded = decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)
    assert decoded.predictions.prediction_id.objects().tolist() == ["b"]
    assert [r.reason for r in decoded.refused] == ["text_too_long"]


def test_rows_are_limited_over_the_whole_request() -> None:
    most = {semconv.PREDICTION_COUNT: ROWS_FREE}
    spans = [prediction_span(name, most) for name in "ab"]
    decoded = decode(*spans, prediction_span("c"))
    assert len(decoded.predictions) == ROWS_FREE + 1
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]


@pytest.mark.parametrize("entry", ["", "a"])
def test_rows_that_say_something_are_not_limited_by_the_number_that_say_nothing(entry: str) -> None:
    rows = 3 * ROWS_FREE
    said = {semconv.PREDICTION_COUNT: rows, semconv.OUTPUT_CLASSES_PREDICTED: [entry] * rows}
    assert len(decode(prediction_span("a", said)).predictions) == rows


def test_rows_are_announced_before_they_are_made() -> None:
    request = traces_request([prediction_span("a", {semconv.PREDICTION_COUNT: 3})] * 2)
    told: list[int] = []

    def reserve(rows: int) -> None:
        told.append(rows)
        if len(told) == 2:
            raise Overloaded("enough")

    with pytest.raises(Overloaded):
        decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS, reserve=reserve)
    assert told == [3, 3]


def test_however_many_bytes_rows_are_limited() -> None:
    assert rows_max(0) == ROWS_FREE
    assert rows_max(10**9) == ROWS_MAX


def test_surplus_slices_are_left_out_and_said() -> None:
    attributes = {f"{semconv.SLICE_PREFIX}k{i:03d}": "v" for i in range(999)}
    attributes[semconv.SLICE_PREFIX + "a.b"] = "v"
    decoded = decode(prediction_span("a", attributes))
    assert sorted(decoded.predictions.slices) == [f"k{i:03d}" for i in range(8)]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("slices", "surplus_slice")] * 992
    assert len({refusal.message for refusal in decoded.refused}) == 8  # all are counted, few named


# --- time -----------------------------------------------------------------------------------------


def test_a_time_ahead_of_us_is_clamped_beyond_ten_minutes() -> None:
    limit = NOW_NS + CLOCK_SKEW_MAX_NS
    decoded = decode(
        prediction_span("ahead", start_ns=limit),
        prediction_span("far", {semconv.PREDICTION_COUNT: 2}, start_ns=limit + 1),
        prediction_span("said", {semconv.EVENT_TIME_UNIX_NANO: limit + 1}),
    )
    assert decoded.predictions.event_time.tolist() == [limit, NOW_NS, NOW_NS, NOW_NS]
    assert decoded.predictions.start_time[1] == limit + 1
    assert decoded.clock_skewed == 3


def test_a_clock_set_back_gives_no_negative_duration_and_is_said() -> None:
    decoded = decode(prediction_span("a", duration_ns=-3), prediction_span("b", duration_ns=0))
    assert decoded.predictions.duration.tolist() == [0, 0]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("durations", "negative_duration")]


def test_an_answer_may_have_several_lines() -> None:
    said = {semconv.OUTPUT_CLASS: "a\nb"}
    assert decode(prediction_span("a", said)).predictions.predicted.values == ("a\nb",)
