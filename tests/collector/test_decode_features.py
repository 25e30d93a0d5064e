"""Declared features travel as they came: of spans, of batch calls, and of slim records."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from slim_record import Call, feature_columns, slim_record
from slim_record import decode as decode_record
from two_ways import assert_same

from feature_rows import features_of
from inferspan import semconv
from inferspan_collector.batches import PredictionBatch
from inferspan_collector.decode import decode_traces
from inferspan_collector.testing import NOW_NS, prediction_span, traces_request


def features(numbers: dict[str, float], texts: dict[str, str], rows: int = 1) -> dict[str, object]:
    names = (list(each) for each in (numbers, texts))
    as_text = [f"[{', '.join(f'{chr(34)}{n}{chr(34)}' for n in some)}]" for some in names]
    return {
        semconv.FEATURE_NAMES: as_text[0],
        semconv.FEATURE_DATA: np.array([*numbers.values()] * rows, "<f8").tobytes(),
        semconv.FEATURE_CATEGORY_NAMES: as_text[1],
        semconv.FEATURE_CATEGORY_VALUES: [*texts.values()] * rows,
    }


def read(*spans: object) -> PredictionBatch:
    body = traces_request(spans).SerializeToString()
    assert_same(decode_traces, body, NOW_NS)
    decoded = decode_traces(body, json=False, received_ns=NOW_NS)
    assert decoded.refused == ()
    return decoded.predictions


def test_each_span_has_the_features_that_it_names() -> None:
    batch = read(
        prediction_span("a", features({"amount": 1.5, "age": math.nan}, {"country": "DE"})),
        prediction_span("b"),
        prediction_span("c", features({"age": 30.0}, {})),
        prediction_span("d", features({}, {"country": "", "kind": "x"})),
    )
    assert features_of(batch) == [
        {"amount": 1.5, "age": None, "country": "DE"},
        {},
        {"age": 30.0},
        {"country": None, "kind": "x"},
    ]


def test_each_row_of_a_batch_call_has_its_own() -> None:
    attributes = {
        **features({"a": 0.0, "b": 0.0}, {"c": "x"}, rows=2),
        semconv.FEATURE_DATA: np.array([1.0, 2.0, 3.0, 4.0], "<f8").tobytes(),
        semconv.FEATURE_CATEGORY_VALUES: ["x", "y"],
        semconv.PREDICTION_COUNT: 2,
    }
    batch = read(prediction_span("job", attributes), prediction_span("other"))
    assert features_of(batch) == [
        {"a": 1.0, "b": 2.0, "c": "x"},
        {"a": 3.0, "b": 4.0, "c": "y"},
        {},
    ]


def test_names_read_the_same_however_they_are_spaced() -> None:
    spaced = features({"a": 1.0}, {}) | {semconv.FEATURE_NAMES: '[ "a" ]'}
    batch = read(
        prediction_span("a", features({"a": 1.0}, {})),
        prediction_span("b", spaced),
        prediction_span("c", spaced | {semconv.PREDICTION_COUNT: 1}),
    )
    assert batch.feature_names.objects().tolist() == ['["a"]'] * 3


def test_a_record_has_what_its_calls_have() -> None:
    columns = feature_columns({"a": [0.5, 1.5], "b": [0.25, math.nan]}, {"c.d": ["x", None]})
    batch = decode_record(slim_record([Call("x"), Call("y", span=2)], columns)).predictions
    assert features_of(batch) == [
        {"a": 0.5, "b": 0.25, "c.d": "x"},
        {"a": 1.5, "b": None, "c.d": None},
    ]


@pytest.mark.parametrize("columns", [{}, feature_columns({}, {"c": ["x"]})])
def test_a_record_may_have_some_or_none(columns: dict[str, object]) -> None:
    batch = decode_record(slim_record([Call("x")], columns)).predictions
    assert features_of(batch) == [{"c": "x"} if columns else {}]


def test_batches_keep_features_through_stacking_and_selection() -> None:
    one = read(prediction_span("a", features({"a": 1.0}, {"c": "x"})), prediction_span("b"))
    other = read(prediction_span("c", features({"b": 2.0}, {})))
    whole = PredictionBatch.concat([one, other])
    assert features_of(whole.take(np.array([2, 0, 1]))) == [{"b": 2.0}, {"a": 1.0, "c": "x"}, {}]
    assert features_of(whole.take(np.array([False, True, False]))) == [{}]


def test_what_was_sent_once_is_not_held_for_ever() -> None:
    def read_one(request: int) -> None:
        texts = {f"c{n}": f"{request} {n} ".ljust(1_000, "x") for n in range(500)}
        body = traces_request([prediction_span("a", features({}, texts))]).SerializeToString()
        decode_traces(body, json=False, received_ns=NOW_NS, compiled=False)

    read_one(0)
    tracemalloc.start()
    try:
        for request in range(1, 9):
            read_one(request)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most > 500_000
    assert held < 500_000
