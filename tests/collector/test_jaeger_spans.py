"""Evaluation spans: equal bytes at every attempt, deleted only once Jaeger has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from records import START_NS, Label, Prediction
from stored import Stored, stored

from inferspan import semconv
from inferspan_collector.config import Config, load
from inferspan_collector.pipeline import Driver
from inferspan_collector.publish.jaeger_names import Names
from inferspan_collector.publish.jaeger_spans import (
    EvaluationPublisher,
    NotDelivered,
    evaluation_spans,
)
from inferspan_collector.store.cells import Evaluation
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import PUBLISHED
from servers.recording import Recorder, recording
from waiting import wait_until

EVALUATION = Evaluation(
    sequence=1,
    span_id=0x1234,
    trace_id=f"{7:032x}",
    prediction_span_id=f"{9:016x}",
    prediction_end=START_NS + 5_000_000,
    environment="prod",
    service="fraud-api",
    model="fraud",
    version="7",
    variant=None,
    prediction_id="order-1",
    index=0,
    target="default",
    label_id="label-1",
    revision=0,
    label_time=START_NS + 60_000_000_000,
    label_delay_ns=60_000_000_000,
    outcome="incorrect",
    predicted="fraud",
    expected="legit",
    error=None,
)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as started:
        yield started


@pytest.fixture
def config(recorder: Recorder) -> Config:
    return load(None, {"jaeger": {"otlp": recorder.url}})


@pytest.fixture
def store(tmp_path: Path, config: Config) -> Iterator[Stored]:
    with stored(tmp_path, config) as opened:
        yield opened


def publisher(store: Stored) -> EvaluationPublisher:
    jaeger = store.config.jaeger
    return EvaluationPublisher(store, store.telemetry, str(jaeger.otlp), jaeger.evaluation_status)


def attributes(pairs: Any) -> dict[str, str | int | float]:
    def value(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")

    return {pair.key: value(pair) for pair in pairs}


def span_of(evaluation: Evaluation, **settings: Any) -> Span:
    request = evaluation_spans([evaluation], Names(), settings.get("status", "error"))
    return request.resource_spans[0].scope_spans[0].spans[0]


def test_a_wrong_prediction_gives_the_whole_span() -> None:
    request = evaluation_spans([EVALUATION], Names(), "error")

    (resource,) = request.resource_spans
    assert attributes(resource.resource.attributes) == {
        semconv.SERVICE_NAME: "fraud-api-quality",
        semconv.DEPLOYMENT_ENVIRONMENT_NAME: "prod",
    }
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.schema_url) == (semconv.SCOPE_PROCESSOR, semconv.SCHEMA_URL)
    (span,) = scope.spans
    assert span.name == "evaluate fraud"
    assert span.kind == Span.SPAN_KIND_SERVER
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (f"{7:032x}", f"{9:016x}")
    assert span.span_id.hex() == f"{0x1234:016x}"
    assert [(link.trace_id, link.span_id) for link in span.links] == [
        (span.trace_id, span.parent_span_id)
    ]
    assert span.end_time_unix_nano == EVALUATION.prediction_end
    assert span.start_time_unix_nano == EVALUATION.prediction_end - 1_000
    assert span.status.code == Status.STATUS_CODE_ERROR
    assert span.status.message == "predicted fraud, expected legit"
    assert attributes(span.attributes) == {
        semconv.MODEL_NAME: "fraud",
        semconv.MODEL_VERSION: "7",
        semconv.PREDICTION_ID: "order-1",
        semconv.PREDICTION_INDEX: 0,
        semconv.TARGET_NAME: "default",
        semconv.EVALUATION_OUTCOME: "incorrect",
        semconv.EVALUATION_PREDICTED: "fraud",
        semconv.EVALUATION_EXPECTED: "legit",
        semconv.LABEL_ID: "label-1",
        semconv.LABEL_REVISION: 0,
        semconv.LABEL_TIME_UNIX_NANO: EVALUATION.label_time,
        semconv.LABEL_DELAY: 60.0,
    }
    (event,) = span.events
    assert (event.name, event.time_unix_nano) == (
        semconv.EVENT_EVALUATION_RESULT,
        EVALUATION.prediction_end,
    )
    assert attributes(event.attributes) == {
        semconv.GEN_AI_EVALUATION_NAME: "default",
        semconv.GEN_AI_EVALUATION_SCORE_LABEL: "incorrect",
        semconv.GEN_AI_EVALUATION_SCORE_VALUE: 0.0,
    }


@pytest.mark.parametrize(
    ("outcome", "setting", "code"),
    [
        ("incorrect", "error", Status.STATUS_CODE_ERROR),
        ("incorrect", "unset", Status.STATUS_CODE_UNSET),
        ("correct", "error", Status.STATUS_CODE_UNSET),
        ("retracted", "error", Status.STATUS_CODE_UNSET),
    ],
)
def test_only_a_wrong_prediction_is_an_error_and_only_if_wanted(
    outcome: str, setting: str, code: int
) -> None:
    assert span_of(replace(EVALUATION, outcome=outcome), status=setting).status.code == code


def test_a_retraction_has_no_score() -> None:
    (event,) = span_of(replace(EVALUATION, outcome="retracted")).events

    assert semconv.GEN_AI_EVALUATION_SCORE_VALUE not in attributes(event.attributes)


def test_names_are_safe_and_originals_stay_readable() -> None:
    evaluation = replace(EVALUATION, service="fraud api/eu", model="fraud v2+", error=-0.5)
    request = evaluation_spans([evaluation], Names(), "error")

    (resource,) = request.resource_spans
    span = resource.scope_spans[0].spans[0]
    assert attributes(resource.resource.attributes)[semconv.SERVICE_NAME] == "fraud_api_eu-quality"
    assert span.name == "evaluate fraud_v2_"
    assert attributes(span.attributes)[semconv.MODEL_NAME] == "fraud v2+"
    assert attributes(span.attributes)[semconv.EVALUATION_ERROR] == -0.5


def test_a_prediction_without_a_trace_gets_one_of_its_own() -> None:
    evaluation = replace(EVALUATION, trace_id="0" * 32)

    span, again = span_of(evaluation), span_of(evaluation)

    assert any(span.trace_id)
    assert len(span.trace_id) == 16
    assert span.trace_id == again.trace_id
    assert (span.parent_span_id, list(span.links)) == (b"", [])


def test_services_and_environments_are_resources_of_their_own() -> None:
    others = [
        replace(EVALUATION, span_id=2, environment="test"),
        replace(EVALUATION, span_id=3, service=None),
        replace(EVALUATION, span_id=4),
    ]
    request = evaluation_spans([EVALUATION, *others], Names(), "error")

    assert [
        (
            attributes(resource.resource.attributes)[semconv.SERVICE_NAME],
            [span.span_id[-1] for span in resource.scope_spans[0].spans],
        )
        for resource in request.resource_spans
    ] == [
        ("fraud-api-quality", [0x34, 4]),
        ("fraud-api-quality", [2]),
        ("unknown_service-quality", [3]),
    ]


def test_the_outbox_is_sent_and_emptied(store: Stored, recorder: Recorder) -> None:
    store.commit(Prediction(), Label(actual="legit"))
    entries = store.reader.outbox(10)

    assert publisher(store).publish_once() == 1
    assert publisher(store).publish_once() == 0

    ((scope, span),) = recorder.spans()
    assert scope == semconv.SCOPE_PROCESSOR
    assert span.span_id == entries[0].span_id.to_bytes(8, "big")
    assert store.acknowledged == [entries[0].sequence]
    assert store.telemetry.get(PUBLISHED, result="ok") == 1


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_what_jaeger_does_not_take_now_stays_and_is_sent_again_byte_for_byte(
    store: Stored, recorder: Recorder, status: int
) -> None:
    store.commit(Prediction(), Label(actual="legit"))
    before = publisher(store).request(store.reader.outbox(10))
    recorder.answers[:] = [status, status]
    sender = publisher(store)

    for _ in range(2):
        with pytest.raises(NotDelivered, match=f"{recorder.url}.*{status}.*jaeger.otlp") as said:
            sender.publish_once()
        assert len(str(said.value).splitlines()) == 1
    assert sender.publish_once() == 1

    assert recorder.traces == [before]
    assert store.telemetry.get(PUBLISHED, result="error") == 2
    assert store.telemetry.get(PUBLISHED, result="ok") == 1


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with recording() as gone:
        return gone.url


def test_a_jaeger_that_is_not_there_loses_nothing(tmp_path: Path, nobody: str) -> None:
    with stored(tmp_path, load(None, {"jaeger": {"otlp": nobody}})) as store:
        store.commit(Prediction(), Label())

        with pytest.raises(NotDelivered):
            publisher(store).publish_once()
        assert len(store.reader.outbox(10)) == 1
        assert store.acknowledged == []


def test_commits_do_not_wear_out_a_jaeger_that_is_not_there(tmp_path: Path, nobody: str) -> None:
    attempts: list[int] = []

    def publish_once() -> int:
        attempts.append(len(attempts))
        return sender.publish_once()

    with stored(tmp_path, load(None, {"jaeger": {"otlp": nobody}})) as store:
        sender = publisher(store)
        store.commit(Prediction(), Label())
        committed = threading.Event()
        driver = Driver(publish_once, committed, "jaeger", retry_seconds=60.0).start()
        try:
            wait_until(lambda: store.telemetry.get(PUBLISHED, result="error"), 10, "an attempt")
            for number in range(55):
                store.commit(Prediction(str(number), span=number + 2, trace=number + 2))
                committed.set()
        finally:
            driver.stop()
    assert len(attempts) == 1


def judged(store: Stored, n: int) -> None:
    """Commit predictions that are due for an evaluation."""
    for number in range(n):
        key = str(number)
        store.commit(
            Prediction(key, span=number + 1, trace=number + 1),
            Label(prediction_id=key, label_id=key),
        )


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_one_that_jaeger_can_never_take_does_not_hold_up_its_neighbours(
    store: Stored, recorder: Recorder, status: int, n: int, caplog: pytest.LogCaptureFixture
) -> None:
    judged(store, n)
    entries = store.reader.outbox(10)
    poison = entries[n // 2].span_id.to_bytes(8, "big")
    recorder.judge = lambda body: status if poison in body else 200

    assert publisher(store).publish_once() == n

    assert sorted(span.span_id for _, span in recorder.spans()) == sorted(
        span_id for entry in entries if (span_id := entry.span_id.to_bytes(8, "big")) != poison
    )
    assert store.reader.outbox(10) == []
    assert store.telemetry.get(PUBLISHED, result="rejected") == 1
    assert store.telemetry.get(PUBLISHED, result="ok") == n - 1
    assert f"rejects 1 of {n} evaluation spans" in caplog.text


def test_what_is_too_large_at_once_is_sent_in_parts(store: Stored, recorder: Recorder) -> None:
    judged(store, 7)
    one = len(publisher(store).request(store.reader.outbox(1)))
    recorder.judge = lambda body: 413 if len(body) > 2 * one else 200

    assert publisher(store).publish_once() == 7

    assert len(recorder.spans()) == 7
    assert len(recorder.traces) > 1
    assert store.telemetry.get(PUBLISHED, result="ok") == 7


def test_what_was_taken_before_jaeger_went_away_is_not_sent_again(
    store: Stored, recorder: Recorder
) -> None:
    judged(store, 2)
    recorder.answers[:] = [413, 200, 503]

    with pytest.raises(NotDelivered):
        publisher(store).publish_once()
    assert publisher(store).publish_once() == 1

    assert [span.span_id for _, span in recorder.spans()] == list(
        dict.fromkeys(span.span_id for _, span in recorder.spans())
    )
    assert len(recorder.spans()) == 2


def test_what_the_store_does_not_delete_is_sent_once_more(
    store: Stored, recorder: Recorder
) -> None:
    judged(store, 1)
    store.refusing = Overloaded("the collector is shutting down")
    with pytest.raises(NotDelivered, match="shutting down"):
        publisher(store).publish_once()
    store.refusing = None
    assert publisher(store).publish_once() == 1

    first, second = recorder.traces
    assert first == second


@pytest.mark.parametrize("ended", [0, 1, 999, 1000, 1001, 5_000])
def test_a_prediction_of_the_first_microsecond_has_a_span_too(ended: int) -> None:
    span = span_of(replace(EVALUATION, prediction_end=ended))
    assert span.start_time_unix_nano >= 1
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_000
    assert span.end_time_unix_nano == max(ended, 1_001)


def test_what_jaeger_rejects_for_good_is_counted_and_done_with(
    store: Stored, recorder: Recorder
) -> None:
    recorder.rejected = 1
    store.commit(Prediction(), Label())

    assert publisher(store).publish_once() == 1

    assert store.telemetry.get(PUBLISHED, result="rejected") == 1
    assert store.telemetry.get(PUBLISHED, result="ok") == 0
    assert store.reader.outbox(10) == []


def test_a_correction_is_a_span_of_its_own(store: Stored, recorder: Recorder) -> None:
    store.commit(Prediction(), Label(actual="legit"))
    publisher(store).publish_once()
    store.commit(Label(actual="fraud", revision=1))
    publisher(store).publish_once()

    spans = [span for _, span in recorder.spans()]
    assert len({span.span_id for span in spans}) == 2
    assert [
        (
            attributes(span.attributes)[semconv.LABEL_REVISION],
            attributes(span.attributes)[semconv.EVALUATION_OUTCOME],
        )
        for span in spans
    ] == [(0, "incorrect"), (1, "correct")]


def test_services_that_look_alike_are_told_apart(store: Stored, recorder: Recorder) -> None:
    store.commit(
        Prediction(prediction_id="a", service="shop.eu", span=1),
        Prediction(prediction_id="b", service="shop/eu", span=2),
        Label(prediction_id="a", label_id="a"),
        Label(prediction_id="b", label_id="b"),
    )

    publisher(store).publish_once()

    request = ExportTraceServiceRequest.FromString(recorder.traces[0])
    services = {
        str(attributes(resource.resource.attributes)[semconv.SERVICE_NAME])
        for resource in request.resource_spans
    }
    assert len(services) == 2
    assert "shop_eu-quality" in services


def test_models_that_look_alike_are_told_apart(store: Stored, recorder: Recorder) -> None:
    store.commit(
        Prediction(prediction_id="a", model="a_b", span=1),
        Prediction(prediction_id="b", model="a b", span=2),
        Label(prediction_id="a", model="a_b", label_id="a"),
        Label(prediction_id="b", model="a b", label_id="b"),
    )

    publisher(store).publish_once()

    names = {
        str(attributes(span.attributes)[semconv.MODEL_NAME]): span.name
        for _, span in recorder.spans()
    }
    assert names["a_b"] == "evaluate a_b"
    assert names["a b"].startswith("evaluate a_b-")


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_the_endpoint_may_be_given_with_or_without_its_path(
    tmp_path: Path, recorder: Recorder, path: str
) -> None:
    with stored(tmp_path, load(None, {"jaeger": {"otlp": recorder.url + path}})) as store:
        store.commit(Prediction(), Label())
        assert publisher(store).publish_once() == 1
    assert len(recorder.traces) == 1
