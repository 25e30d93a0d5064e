"""At every limit of a slim record, the collector still reads what it reads of full spans."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

import inferspan
from feature_rows import features_of
from inferspan import providers, semconv, settings
from inferspan.settings import RECORD_CLASSES_MAX
from inferspan.testing import START_TIME_NS, ManualClock, capture_spans
from inferspan_collector.batches import Decoded
from inferspan_collector.decode.probabilities import CLASSES_MAX
from inferspan_collector.decode.requests import decode_traces

BINARY = "binary_classification"


def sent(work: Callable[[], object], sampler: Sampler, start_ns: int = START_TIME_NS) -> Decoded:
    clock = ManualClock(start_ns)
    with capture_spans(sampler=sampler, clock=clock) as spans:
        work()
        inferspan.flush(60)
        body = encode_spans(list(spans)).SerializeToString()
    return decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)


def assert_equal(work: Callable[[], object], rows: int) -> Decoded:
    full, slim = sent(work, ALWAYS_ON), sent(work, ALWAYS_OFF)
    assert slim.refused == full.refused
    assert len(slim.predictions) == len(full.predictions) == rows
    for key in full.predictions.slices.keys() | slim.predictions.slices.keys():
        assert sorted(map(str, full.predictions.slices[key].objects())) == sorted(
            map(str, slim.predictions.slices[key].objects())
        )
    return slim


@pytest.mark.parametrize("limit", [None, "8"])
def test_more_names_than_a_span_has_attributes(
    limit: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limit is not None:
        monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", limit)
    names = [f"kind {number}" for number in range(100)]
    score = inferspan.predict(model="m", task=BINARY, features=lambda: dict.fromkeys(names, "x"))(
        lambda: "a"
    )

    def work() -> None:
        for _ in range(5):
            score()

    decoded = sent(work, ALWAYS_OFF)
    assert decoded.refused == ()
    assert len(decoded.predictions) == 5


def test_names_of_slices_that_differ_from_call_to_call() -> None:
    score = inferspan.predict(model="m", task=BINARY, slices=lambda n: {f"k{n}": "v"})(
        lambda n: "a"
    )
    decoded = assert_equal(lambda: [score(n) for n in range(40)], 40)
    assert len(decoded.predictions.slices) == 40


def test_names_of_features_that_differ_from_call_to_call_cost_no_more_than_they_are() -> None:
    @inferspan.predict(
        model="m", task=BINARY, features=lambda n: {f"f{n}-{i}": float(i) for i in range(16)}
    )
    def score(n: int) -> str:
        return "a"

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        for n in range(200):
            score(n)
        sizes = [
            len((record.attributes or {})[semconv.RECORD_FEATURE_DATA])  # type: ignore[arg-type]
            for record in spans.records
        ]
    # 256 names at most are in one record: of 16 calls.
    assert sum(sizes) <= 200 * 256 * 8


def test_features_of_large_batches_are_the_same_either_way() -> None:
    names = [f"f{number}" for number in range(10)]
    frames = [
        pd.DataFrame(np.random.default_rng(seed).normal(size=(6_000, 10)), columns=names).assign(
            kind=["a", "b"] * 3_000
        )
        for seed in range(3)
    ]
    score = inferspan.predict(model="m", task="regression", features=[*names[:9], "kind"])(
        lambda frame: np.zeros(len(frame))
    )
    full, slim = (
        sent(lambda: [score(frame) for frame in frames], sampler)
        for sampler in (ALWAYS_ON, ALWAYS_OFF)
    )
    expected = sorted(
        (row["f0"], row["f8"], row["kind"])
        for frame in frames
        for row in frame.to_dict(orient="records")
    )
    for decoded in (full, slim):
        assert decoded.refused == ()
        found = features_of(decoded.predictions)
        assert sorted((row["f0"], row["f8"], row["kind"]) for row in found) == expected


def test_a_call_of_a_clock_that_was_not_set_takes_no_other_with_it() -> None:
    clock = ManualClock(START_TIME_NS)
    score = inferspan.predict(model="m", task=BINARY)(lambda: "a")

    def work() -> None:
        score()
        score()

    with capture_spans(sampler=ALWAYS_OFF, clock=clock) as spans:
        clock.now_ns = 10**9
        score()
        clock.now_ns = START_TIME_NS
        work()
        inferspan.flush(60)
        body = encode_spans(list(spans)).SerializeToString()
    decoded = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)
    assert [refusal.reason for refusal in decoded.refused] == ["bad_time"]
    assert len(decoded.predictions) == 2


def test_large_sets_are_spread_over_records() -> None:
    items = [f"item {number:08d}" for number in range(5_000)]
    rank = inferspan.predict(model="m", task="ranking")(lambda: items)

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        for _ in range(900):
            rank()
        records = spans.records
    rows = 0
    for record in records:
        body = encode_spans([record]).SerializeToString()
        decoded = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)
        assert decoded.refused == ()
        rows += len(decoded.predictions)
    assert rows == 900
    assert len(records) > 1


def probable(work: Callable[[], object], sampler: Sampler) -> list[tuple[str | None, bytes]]:
    """Classes and probabilities of each prediction, in an order of their own."""
    batch = sent(work, sampler).predictions
    classes = batch.probability_classes.objects().tolist()
    return sorted(
        (
            (names, batch.probabilities.take(np.array([row])).data.tobytes())
            for row, names in enumerate(classes)
        ),
        key=str,
    )


@pytest.mark.parametrize("classes", [2, 256, 257])
def test_probabilities_of_as_many_classes_as_are_kept(classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    predict = inferspan.predict(model="m", task="multiclass_classification", classes=names)(
        lambda rows: np.random.default_rng(rows).dirichlet(np.ones(classes), rows)
    )
    slim = probable(lambda: predict(100), ALWAYS_OFF)
    assert slim == probable(lambda: predict(100), ALWAYS_ON)
    assert {bool(numbers) for _, numbers in slim} == {classes <= CLASSES_MAX}


def test_large_batches_of_probabilities_are_spread_over_records() -> None:
    predict = inferspan.predict(
        model="m", task="multiclass_classification", classes=[*map(str, range(64))]
    )(lambda rows: np.random.default_rng(0).dirichlet(np.ones(64), rows))

    with capture_spans(sampler=ALWAYS_OFF) as spans:
        for _ in range(14):
            predict(1_000)
        found = spans.records
    assert len(found) > 1
    for record in found:
        body = encode_spans([record]).SerializeToString()
        assert len(body) < 6 << 20
        decoded = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)
        assert decoded.refused == ()
        assert (decoded.predictions.probabilities.lengths() == 64 * 8).all()


@pytest.mark.parametrize("most", [0, 2, 3])
def test_the_classes_of_records_have_a_limit_of_the_user(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFERSPAN_RECORD_CLASSES", str(most))
    monkeypatch.setattr(settings, "latest", None)
    names = ["a", "b", "c"]
    predict = inferspan.predict(model="m", task="multiclass_classification", classes=names)(
        lambda: np.array([[0.5, 0.25, 0.25]])
    )
    ((listed, numbers),) = probable(predict, ALWAYS_OFF)
    assert (listed, len(numbers)) == (('["a","b","c"]', 24) if most == 3 else (None, 0))


def test_both_sides_agree_how_many_classes_are_kept() -> None:
    assert RECORD_CLASSES_MAX == CLASSES_MAX


def test_a_ranking_may_answer_numbers_too() -> None:
    answers = iter([["a", "b"], {"value": 3.0}] * 2)
    rank = inferspan.predict(model="m", task="ranking")(lambda: next(answers))

    def work() -> None:
        rank()
        rank()

    full, slim = sent(work, ALWAYS_ON), sent(work, ALWAYS_OFF)
    np.testing.assert_array_equal(slim.predictions.value, full.predictions.value)
    assert slim.predictions.predicted.objects().tolist() == (
        full.predictions.predicted.objects().tolist()
    )


@pytest.mark.parametrize("sampled", [True, False])
def test_a_provider_that_does_nothing_leaves_records_with_ids_of_their_own(sampled: bool) -> None:
    score = inferspan.predict(model="m", task=BINARY)(lambda: "a")
    parent = trace.NonRecordingSpan(
        trace.SpanContext(7, 5, True, trace.TraceFlags(1 if sampled else 0))
    )
    with capture_spans() as spans:
        restore = providers.divert(trace.NoOpTracerProvider(), lambda: spans)  # type: ignore[arg-type]
        with trace.use_span(parent):
            score()
            score()
        inferspan.flush(60)
        restore()
        body = encode_spans(list(spans)).SerializeToString()
    decoded = decode_traces(body, json=False, received_ns=START_TIME_NS + 10**15)
    assert len(decoded.predictions) == 2
    assert len({*decoded.predictions.span.tolist(), 5}) == 3


def test_what_a_record_was_made_of_is_forgotten() -> None:
    class Model:
        def predict(self) -> str:
            return "a"

    models = [Model() for _ in range(5)]
    alive = [weakref.ref(model) for model in models]
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        for model in models:
            inferspan.wrap(model, model="m", task=BINARY).predict()
        assert len(spans.records) == 5
    del models, model, spans
    gc.collect()
    assert [ref() for ref in alive] == [None] * 5
