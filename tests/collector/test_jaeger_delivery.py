"""The outbox on its way: equal bytes at every attempt, deleted only once Jaeger has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from records import Label, Prediction
from stored import Stored, stored

from inferspan import semconv
from inferspan_collector.config import Config, load
from inferspan_collector.driver import Driver
from inferspan_collector.publish.jaeger_spans import EvaluationPublisher, NotDelivered
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import PUBLISHED
from servers.recording import Recorder, attributes, recording
from waiting import wait_until


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
