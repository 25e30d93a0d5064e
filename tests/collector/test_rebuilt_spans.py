"""A wrong prediction that was not sampled gets its span rebuilt: once, and no other one does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from records import MINUTE_NS, START_NS, Label, Prediction
from stores import Store, tidied

from inferspan import semconv
from inferspan_collector.batches import UNSAMPLED
from inferspan_collector.config import load
from inferspan_collector.publish.jaeger_names import Names
from inferspan_collector.publish.jaeger_spans import evaluation_spans
from inferspan_collector.store.cells import Evaluation
from inferspan_collector.store.forgetting import ToForget
from inferspan_collector.telemetry import REBUILT_SPANS
from servers.recording import attributes

MISTAKE = Prediction("order-1", "fraud", kind=UNSAMPLED, trace=(5 << 64) + 6, span=7, score=0.5)
TRUTH = Label("order-1", "legit", "label-1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path)
    yield opened
    opened.database.close()


def rebuilt(store: Store) -> list[Evaluation]:
    return [entry for entry in store.reader.outbox(1_000) if entry.rebuilt is not None]


def spans_of(evaluations: list[Evaluation]) -> list[tuple[dict[str, Any], Span]]:
    """Each span of the request, with its resource."""
    return [
        (attributes(resource.resource.attributes), span)
        for resource in evaluation_spans(evaluations, Names(), "error").resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_the_span_holds_what_the_store_knows(store: Store) -> None:
    features: dict[str, float | str] = {"amount": 12.5, "missing": float("nan"), "kind": "card"}
    prediction = replace(MISTAKE, slices={"country": "DE"}, features=features, environment="prod")
    store.commit((prediction, TRUTH))

    (own, own_span), (quality, evaluation) = spans_of(rebuilt(store))

    assert own == {semconv.SERVICE_NAME: "fraud-api", semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod"}
    assert quality[semconv.SERVICE_NAME] == "fraud-api-quality"
    assert own_span.name == "predict fraud"
    assert own_span.kind == Span.SPAN_KIND_INTERNAL
    assert (own_span.trace_id.hex(), own_span.span_id.hex()) == (
        f"{MISTAKE.trace:032x}",
        f"{MISTAKE.span:016x}",
    )
    assert own_span.parent_span_id == b""
    assert (own_span.start_time_unix_nano, own_span.end_time_unix_nano) == (
        START_NS,
        START_NS + MISTAKE.duration,
    )
    said = attributes(own_span.attributes)
    assert json.loads(said.pop(semconv.INPUT_VALUE)) == {"amount": 12.5, "kind": "card"}
    assert said == {
        semconv.MATERIALIZED: "true",
        semconv.OPERATION_NAME: "predict",
        semconv.MODEL_NAME: "fraud",
        semconv.MODEL_VERSION: "7",
        semconv.TASK_TYPE: "binary_classification",
        semconv.PREDICTION_ID: "order-1",
        semconv.OUTPUT_CLASS: "fraud",
        semconv.OUTPUT_SCORE: 0.5,
        semconv.SLICE_PREFIX + "country": "DE",
        semconv.INPUT_MIME_TYPE: "application/json",
    }
    assert (evaluation.trace_id, evaluation.parent_span_id) == (own_span.trace_id, own_span.span_id)


def test_many_features_stay_valid_json_within_the_limit(store: Store) -> None:
    features: dict[str, float | str] = {f"feature {n}": "ü" * 100 for n in range(40)}
    store.commit((replace(MISTAKE, features=features), TRUTH))

    (_, span), _ = spans_of(rebuilt(store))

    text = attributes(span.attributes)[semconv.INPUT_VALUE]
    assert 1_500 < len(text.encode()) <= semconv.JSON_BYTES_MAX
    assert features.items() >= json.loads(text).items()


@pytest.mark.parametrize("kind", [Span.SPAN_KIND_UNSPECIFIED, Span.SPAN_KIND_INTERNAL])
def test_of_what_was_sampled_or_is_not_known_nothing_is_rebuilt(store: Store, kind: int) -> None:
    store.commit((replace(MISTAKE, kind=kind), TRUTH))

    assert [entry.outcome for entry in store.reader.outbox(9)] == ["incorrect"]
    assert rebuilt(store) == []


def test_a_right_prediction_is_rebuilt_when_a_correction_makes_it_wrong(store: Store) -> None:
    store.commit((MISTAKE, replace(TRUTH, actual="fraud")))
    assert rebuilt(store) == []
    store.commit((replace(TRUTH, revision=1),))
    assert len(rebuilt(store)) == 1


@pytest.mark.parametrize("reopened", [False, True])
def test_no_second_label_retry_or_restart_rebuilds_it_again(store: Store, reopened: bool) -> None:
    store.commit((TRUTH,))
    store.commit((MISTAKE,))
    (first,) = rebuilt(store)
    store.writer.delete_outbox([first.sequence])
    if reopened:
        store.database.close()
        store.open()
    store.commit((MISTAKE, TRUTH))
    store.commit((replace(TRUTH, label_id="label-2", target="chargeback"),))
    store.commit((replace(TRUTH, revision=1),), (replace(TRUTH, revision=2, deleted=True),))
    store.commit((replace(TRUTH, revision=3),))

    assert len(store.reader.outbox(9)) >= 3
    assert rebuilt(store) == []


def test_rows_of_a_batch_call_have_one_span(store: Store) -> None:
    rows = [replace(MISTAKE, index=n, span_row=n) for n in range(3)]
    store.commit((*rows, replace(TRUTH, index=1)))
    store.commit((replace(TRUTH, index=2, label_id="label-2"),))

    ((_, span), *_) = spans_of(rebuilt(store))
    assert len(rebuilt(store)) == 1
    assert attributes(span.attributes)[semconv.PREDICTION_INDEX] == 1


def test_beyond_the_limit_they_are_left_out_and_counted(tmp_path: Path) -> None:
    jaeger = {"otlp": "http://127.0.0.1:1", "rebuilt_spans_per_second": 1}
    store = Store(tmp_path, load(None, {"jaeger": jaeger}))
    try:
        for start in (0, 15):
            numbers = range(start, start + 15)
            store.commit(
                tuple(replace(MISTAKE, prediction_id=f"{n}", span=n + 1) for n in numbers)
                + tuple(replace(TRUTH, prediction_id=f"{n}", label_id=f"l{n}") for n in numbers)
            )
        assert (len(rebuilt(store)), len(store.reader.outbox(99))) == (11, 30)
        assert store.telemetry.get(REBUILT_SPANS, result="rebuilt") == 11
        assert store.telemetry.get(REBUILT_SPANS, result="rate") == 19
    finally:
        store.database.close()


def test_what_is_erased_leaves_nothing_of_it(tmp_path: Path) -> None:
    config = load(None, {"store": {"retention": {"rows": "30d"}}, "jaeger": {"otlp": "http://h"}})
    store = Store(tmp_path, config)
    try:
        other = replace(MISTAKE, prediction_id="order-2", span=8)
        truth = replace(TRUTH, prediction_id="order-2", label_id="label-2")
        store.commit((MISTAKE, TRUTH, other, truth))
        store.writer.forget(ToForget("order-1"), store.now)
        assert [entry.prediction_id for entry in rebuilt(store)] == ["order-2"]
        assert remembered(store) == [8]
        tidied(store, START_NS + 60 * 24 * 60 * MINUTE_NS)
        assert remembered(store) == []
    finally:
        store.database.close()


def remembered(store: Store) -> list[int]:
    with store.database.cursor() as cursor:
        return [span for (span,) in cursor.execute("SELECT span FROM rebuilt_spans").fetchall()]


SAID = st.tuples(st.sampled_from(["fraud", "legit"]), st.sampled_from(["default", "chargeback"]))


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from([UNSAMPLED, 0, 1, 3]), min_size=1, max_size=6),
    groups=st.lists(st.lists(st.tuples(st.integers(0, 5), SAID), max_size=4), max_size=4),
)
def test_exactly_the_unsampled_wrong_ones_once(
    kinds: list[int], groups: list[list[tuple[int, tuple[str, str]]]]
) -> None:
    with TemporaryDirectory() as directory:
        store = Store(Path(directory))
        try:
            predictions = tuple(
                replace(MISTAKE, prediction_id=f"{n}", span=n + 1, kind=kind)
                for n, kind in enumerate(kinds)
            )
            store.commit(predictions)
            for revision, group in enumerate(groups):
                store.commit(
                    tuple(
                        Label(f"{n}", actual, f"{n} {target}", revision, target=target)
                        for n, (actual, target) in group
                    )
                    or predictions
                )
            entries = store.reader.outbox(1_000)
            wrong = {int(e.prediction_id) for e in entries if e.outcome == "incorrect"}
            found = sorted(int(e.prediction_id) for e in entries if e.rebuilt is not None)
            assert found == sorted(n for n in wrong if kinds[n] == UNSAMPLED)
        finally:
            store.database.close()
