"""Slim records become the rows that an oracle reads from them; invalid ones are refused alone."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from slim_record import STARTED_NS, Call, Row, decode, feature_columns, pack, slim_record
from slim_record_oracle import rows_of

from inferspan import semconv
from inferspan_collector.batches import UNSAMPLED, Strings, Texts
from inferspan_collector.decode import decode_traces
from inferspan_collector.decode.predictions import CLOCK_SKEW_MAX_NS
from inferspan_collector.testing import (
    NOW_NS,
    AttributeValue,
    prediction_span,
    traces_request,
)

RESOURCE = {semconv.SERVICE_NAME: "fraud-api", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod"}
MINTED = ["018f3c4e8a7b7c3d9e2f1a2b3c4d5e6f", "018f3c4e8a7b7fff8e2f1a2b3c4d5e6f"]
SHARED = Call("job", [Row("a", 0.5), Row(None, math.nan), Row("b", 0.25)], trace=2, span=2)
TOO_LONG = '["%s"]' % ("a" * 140_000)

DECLARED = {
    semconv.MODEL_VERSION: "7",
    semconv.MODEL_VARIANT: "canary",
    semconv.TASK_TYPE: semconv.BINARY,
    semconv.OUTPUT_POSITIVE_CLASS: "fraud",
}


@pytest.mark.parametrize("json", [False, True])
def test_every_column_of_a_record(json: bool) -> None:
    calls = [
        Call("order-1", [Row("fraud", 0.9, 1.5, {"country": "DE"})], (5 << 64) + 6, 7),
        Call(
            "order-2",
            [Row(slices={"country": "FR"})],
            trace=8,
            span=9,
            start_ns=STARTED_NS + 5_000_000_000,
            duration_ns=2**33,
            error_type="TimeoutError",
        ),
    ]
    decoded = decode(slim_record(calls, DECLARED), resource=RESOURCE, json=json)

    shared = {
        "environment": "prod",
        "service": "fraud-api",
        "model": "fraud",
        "version": "7",
        "variant": "canary",
        "operation": "predict",
        "task": semconv.BINARY,
        "positive_class": "fraud",
        "index": 0,
        "span_row": 0,
        "kind": 0,
        "received": NOW_NS,
        "adjusted_count": 1.0,
        "probabilities": None,
    }
    assert rows_of(decoded.predictions) == [
        shared
        | {
            "prediction_id": "order-1",
            "trace": [5, 6],
            "span": 7,
            "event_time": STARTED_NS,
            "start_time": STARTED_NS,
            "duration": 5_000_000,
            "error_type": None,
            "predicted": "fraud",
            "score": 0.9,
            "value": 1.5,
            "slices": {"country": "DE"},
            "features": {},
        },
        shared
        | {
            "prediction_id": "order-2",
            "trace": [0, 8],
            "span": 9,
            "event_time": STARTED_NS + 5_000_000_000,
            "start_time": STARTED_NS + 5_000_000_000,
            "duration": 2**33,
            "error_type": "TimeoutError",
            "predicted": None,
            "score": None,
            "value": None,
            "slices": {"country": "FR"},
            "features": {},
        },
    ]
    assert (decoded.refused, decoded.slim_records, decoded.clock_skewed) == ((), 1, 0)


def test_columns_keep_the_types_of_the_batch() -> None:
    full, empty = decode(slim_record([SHARED])).predictions, decode().predictions
    for name in type(full).__slots__:
        column, expected = getattr(full, name), getattr(empty, name)
        if isinstance(column, Strings | Texts):
            kind = "codes" if isinstance(column, Strings) else "offsets"
            column, expected = getattr(column, kind), getattr(expected, kind)
        if name != "slices":
            assert (column.dtype, column.shape[1:]) == (expected.dtype, expected.shape[1:]), name


def probabilities_of(record: Span) -> list[Any]:
    decoded = decode(record)
    assert decoded.refused == ()
    return [row["probabilities"] for row in rows_of(decoded.predictions)]


def test_probabilities_stand_with_the_classes_of_their_row() -> None:
    calls = [
        Call("a", [Row("x", 0.7, probabilities={"x": 0.7, "y": 0.3}), Row()]),
        Call("b", [Row("z", probabilities={"z": 0.5, "y": 0.25, "x": 0.25})], span=2),
        Call("c", [Row("y", probabilities={"x": 0.1, "y": 0.9})], span=3),
        Call("d", [Row("x", probabilities={"x": 1.0, "y": math.nan})], span=4),
    ]
    told = {semconv.TASK_TYPE: semconv.MULTICLASS}
    assert probabilities_of(slim_record(calls, told)) == [
        {"x": (0.7,), "y": (0.3,)},
        None,
        {"z": (0.5,), "y": (0.25,), "x": (0.25,)},
        {"x": (0.1,), "y": (0.9,)},
        None,
    ]
    for task in (None, semconv.BINARY):
        assert set(probabilities_of(slim_record(calls, {semconv.TASK_TYPE: task}))) == {None}


def test_probabilities_of_more_classes_than_are_kept_are_read_and_left_out() -> None:
    for classes, kept in ((256, True), (257, False)):
        row = Row("0", probabilities={str(k): 1 / classes for k in range(classes)})
        told = {semconv.TASK_TYPE: semconv.MULTICLASS}
        (found,) = probabilities_of(slim_record([Call("a", [row])], told))
        assert (found is not None) is kept


def test_lists_of_classes_do_not_become_texts_without_limit() -> None:
    names = json.dumps(["a" * 1000, "b" * 1000])

    def of(rows: int) -> Span:
        return slim_record(
            [Call("x")],
            {
                semconv.TASK_TYPE: semconv.MULTICLASS,
                semconv.RECORD_ROW_COUNTS: struct.pack("<I", rows),
                semconv.RECORD_PROBABILITY_CLASSES: [names],
                semconv.RECORD_PROBABILITY_CLASS_CODES: b"\1" * rows,
                semconv.RECORD_PROBABILITIES: bytes(8 * rows),
            },
        )

    assert len(decode(of(10_000), slim_record([Call("after")])).predictions) == 10_001
    # 9 bytes of a row stand for 2,000 of texts, which count as 3 rows more.
    decoded = decode(of(100_000), of(100_000), slim_record([Call("after")]))
    assert [r.reason for r in decoded.refused] == ["too_many_rows"]
    assert len(decoded.predictions) == 100_001


def test_rows_that_share_an_id_are_told_apart_by_their_index() -> None:
    batch = decode(slim_record([Call("order-1"), SHARED])).predictions
    assert batch.prediction_id.objects().tolist() == ["order-1", "job", "job", "job"]
    assert batch.index.tolist() == batch.span_row.tolist() == [0, 0, 1, 2]
    assert batch.span.tolist() == [1, 2, 2, 2]
    assert batch.predicted.objects().tolist() == [None, "a", None, "b"]


def test_rows_with_ids_of_their_own_have_no_index() -> None:
    calls = [
        Call(None, [Row(prediction_id="a")]),
        Call(None, [Row(prediction_id="b"), Row(prediction_id="c")], trace=2, span=2),
    ]
    batch = decode(slim_record(calls)).predictions
    assert batch.prediction_id.objects().tolist() == ["a", "b", "c"]
    assert batch.index.tolist() == [0, 0, 0]
    assert batch.span_row.tolist() == [0, 0, 1]


def test_minted_ids_are_their_hexadecimal_text() -> None:
    record = slim_record([Call(text, span=n) for n, text in enumerate(MINTED, 1)])
    ids = decode(record).predictions.prediction_id.objects().tolist()
    assert ids == MINTED
    assert {type(text) for text in ids} == {str}


def test_a_call_without_an_id_is_known_by_its_span() -> None:
    calls = [Call("", trace=0xAB, span=0xCD), Call("order-1")]
    own = f"{0xAB:032x}-{0xCD:016x}"
    assert decode(slim_record(calls)).predictions.prediction_id.objects().tolist() == [
        own,
        "order-1",
    ]
    absent = decode(slim_record(calls, {semconv.RECORD_IDS: None})).predictions
    assert absent.prediction_id.objects().tolist() == [own, f"{1:032x}-{1:016x}"]


def test_ids_longer_than_the_limit_are_hashed_as_the_sdk_does() -> None:
    ids = ["x" * semconv.PREDICTION_ID_LENGTH_MAX, "x" * 129, "ä" * 500]
    batch = decode(slim_record([Call(text) for text in ids])).predictions
    assert batch.prediction_id.objects().tolist() == [
        semconv.prediction_id_text(text) for text in ids
    ]


def test_sets_are_sorted_and_a_lone_absent_class_is_no_answer() -> None:
    answers = [("b", "a", "b"), (), None, ("ä",), ("a", "b")]
    record = slim_record([Call("x", [Row(answer) for answer in answers])])
    assert decode(record).predictions.predicted.objects().tolist() == [
        '["a","b"]',
        "[]",
        None,
        '["ä"]',
        '["a","b"]',
    ]


def test_classes_are_normalised_and_their_dictionary_merged() -> None:
    columns = {
        semconv.RECORD_CLASSES: ["e\u0301", "\u00e9", 1.0, True, ""],
        semconv.RECORD_CLASS_CODES: bytes([1, 2, 3, 4, 5]),
    }
    column = decode(slim_record([Call("x", [Row()] * 5)], columns)).predictions.predicted
    assert column.objects().tolist() == ["\u00e9", "\u00e9", "1", "true", None]
    assert len(set(column.values)) == len(column.values)


@pytest.mark.parametrize("width", ["B", "H", "I"])
def test_codes_of_every_width(width: str) -> None:
    columns = {semconv.RECORD_CLASSES: ["a", "b"], semconv.RECORD_CLASS_CODES: pack(width, [2, 0])}
    batch = decode(slim_record([Call("x"), Call("y", span=2)], columns)).predictions
    assert batch.predicted.objects().tolist() == ["b", None]


def test_numbers_lose_nothing_and_what_is_not_finite_is_absent() -> None:
    numbers = [0.1, 1e300, math.inf, -math.inf, math.nan]
    wide = slim_record([Call("x", [Row()] * 5)], {semconv.RECORD_SCORES: pack("d", numbers)})
    narrow = slim_record([Call("x", [Row()] * 2)], {semconv.RECORD_VALUES: pack("f", [0.5, 0.1])})
    signalling = struct.pack("<I", 0x7F800001)
    nan = slim_record([Call("x")], {semconv.RECORD_SCORES: signalling})
    assert [r["score"] for r in rows_of(decode(wide).predictions)] == [0.1, 1e300, None, None, None]
    assert decode(narrow).predictions.value.tolist() == [
        0.5,
        struct.unpack("<f", pack("f", [0.1]))[0],
    ]
    assert rows_of(decode(nan).predictions)[0]["score"] is None


def test_a_failure_without_a_type_has_failed_all_the_same() -> None:
    columns = {semconv.RECORD_ERROR_TYPES: [""], semconv.RECORD_ERROR_TYPE_CODES: bytes([1, 0])}
    batch = decode(slim_record([Call("x"), Call("y", span=2)], columns)).predictions
    assert batch.error_type.objects().tolist() == ["_OTHER", None]


def test_a_failed_batch_has_failed_in_every_row() -> None:
    calls = [Call("x", [Row(), Row()], error_type="OSError"), Call("y", span=2)]
    batch = decode(slim_record(calls)).predictions
    assert batch.error_type.objects().tolist() == ["OSError", "OSError", None]


def test_calls_ahead_of_us_are_clamped_row_by_row() -> None:
    limit = NOW_NS + CLOCK_SKEW_MAX_NS
    calls = [
        Call("early", start_ns=limit),
        Call("ahead", [Row(), Row()], start_ns=limit + 1, span=2),
    ]
    decoded = decode(slim_record(calls))
    assert decoded.predictions.event_time.tolist() == [limit, NOW_NS, NOW_NS]
    assert decoded.predictions.start_time.tolist() == [limit, limit + 1, limit + 1]
    assert decoded.clock_skewed == 2


@pytest.mark.parametrize(
    ("sampled", "kinds"),
    [
        ([None, None], [0, 0]),
        ([False, False], [UNSAMPLED] * 2),
        ([True, True], [0, 0]),
        ([True, False] * 5, [0, UNSAMPLED] * 5),
    ],
)
def test_each_call_is_known_as_unsampled_only_where_its_record_says_so(
    sampled: list[bool | None], kinds: list[int]
) -> None:
    calls = [
        Call(f"order-{n}", [Row("a")], span=n + 1, sampled=each) for n, each in enumerate(sampled)
    ]

    assert decode(slim_record(calls)).predictions.kind.tolist() == kinds


def test_rows_of_a_batch_are_as_sampled_as_their_call() -> None:
    calls = [replace(SHARED, sampled=True), Call("x", [Row(), Row()], span=3, sampled=False)]

    assert decode(slim_record(calls)).predictions.kind.tolist() == [0] * 3 + [UNSAMPLED] * 2


def test_a_record_of_no_call_is_no_prediction() -> None:
    decoded = decode(slim_record([]))
    assert (len(decoded.predictions), decoded.refused) == (0, ())


def test_records_and_spans_stand_in_one_request() -> None:
    request = traces_request(
        [slim_record([SHARED]), slim_record([Call("x", [Row(slices={"k": "1"})])])],
        scope=semconv.SCOPE_RECORDS,
    )
    request.MergeFrom(traces_request([prediction_span("span", {semconv.OUTPUT_CLASS: "b"})]))
    decoded = decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)
    batch = decoded.predictions
    assert sorted(batch.prediction_id.objects().tolist()) == ["job", "job", "job", "span", "x"]
    assert batch.slices["k"].objects().tolist().count("1") == 1
    assert decoded.slim_records == 2


def test_surplus_slices_are_left_out_and_said() -> None:
    row = Row(slices={f"k{number}": "v" for number in range(9)} | {"a.b": "v"})
    decoded = decode(slim_record([Call("x", [row])]))
    assert sorted(decoded.predictions.slices) == [f"k{number}" for number in range(8)]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("slices", "surplus_slice")] * 2
    assert "'fraud'" in decoded.refused[0].message


# --- features that are wrong ----------------------------------------------------------------------

PAIR = [Call("x"), Call("y", span=2)]
FEATURES = feature_columns({"a": [0.5, 1.5], "b": [0.1, math.nan]}, {"c.d": ["x", None]})


def test_features_of_the_right_length_are_taken_in_silence() -> None:
    decoded = decode(slim_record(PAIR, FEATURES))
    assert (len(decoded.predictions), decoded.refused) == (2, ())
    full = {
        semconv.FEATURE_NAMES: '["a","b"]',
        semconv.FEATURE_DATA: bytes(32),
        semconv.FEATURE_CATEGORY_NAMES: '["c"]',
        semconv.FEATURE_CATEGORY_VALUES: ["x", ""],
        semconv.PREDICTION_COUNT: 2,
    }
    request = traces_request([prediction_span("z", full)])
    spans = decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)
    assert (len(spans.predictions), spans.refused) == (2, ())


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (semconv.RECORD_FEATURE_NAMES, '["a"]', "length_mismatch"),
        (semconv.RECORD_FEATURE_NAMES, "a, b", "bad_names"),
        (semconv.RECORD_FEATURE_NAMES, None, "bad_names"),
        pytest.param(semconv.RECORD_FEATURE_NAMES, "[" * 100_000, "bad_names", id="too deep"),
        pytest.param(semconv.RECORD_FEATURE_NAMES, TOO_LONG, "names_too_long", id="too long"),
        (semconv.RECORD_FEATURE_DATA, bytes(31), "length_mismatch"),
        (semconv.RECORD_FEATURE_DATA, None, "missing_column"),
        (semconv.RECORD_CATEGORY_CODES_PREFIX + "c.d", None, "missing_column"),
        (semconv.RECORD_CATEGORY_CODES_PREFIX + "c.d", b"\2\0", "bad_code"),
        (semconv.RECORD_CATEGORY_PREFIX + "c.d", 0.5, "bad_type"),
    ],
)
def test_wrong_features_of_a_record_cost_no_prediction(
    name: str, value: AttributeValue | None, reason: str
) -> None:
    decoded = decode(slim_record(PAIR, {**FEATURES, name: value}))
    assert decoded.predictions.prediction_id.objects().tolist() == ["x", "y"]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("features", reason)]
    assert name.rpartition(".")[0] in decoded.refused[0].message


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({semconv.FEATURE_NAMES: '["a"]', semconv.FEATURE_DATA: bytes(4)}, "length_mismatch"),
        ({semconv.FEATURE_NAMES: '["a"]'}, "missing_column"),
        ({semconv.FEATURE_DATA: bytes(8)}, "bad_names"),
        ({semconv.FEATURE_NAMES: TOO_LONG, semconv.FEATURE_DATA: bytes(8)}, "names_too_long"),
        (
            {semconv.FEATURE_CATEGORY_NAMES: "[]", semconv.FEATURE_CATEGORY_VALUES: ["x"]},
            "length_mismatch",
        ),
    ],
)
def test_wrong_features_of_a_span_cost_no_prediction(
    attributes: dict[str, AttributeValue], reason: str
) -> None:
    request = traces_request([prediction_span("z", attributes)])
    decoded = decode_traces(request.SerializeToString(), json=False, received_ns=NOW_NS)
    assert decoded.predictions.prediction_id.objects().tolist() == ["z"]
    assert [(r.signal, r.reason) for r in decoded.refused] == [("features", reason)]
