"""OTLP/HTTP as exporters see it: every answer's code, type and meaning."""

from __future__ import annotations

import gzip
import logging
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from otlp_http_receiver import LIMIT, PROTOBUF, Receiver, receiving_on, switchable
from receiving import Switch, answer_on, connected

from inferspan import semconv
from inferspan_collector import telemetry as counters
from inferspan_collector.config import Limits
from inferspan_collector.receivers import otlp_http
from inferspan_collector.receivers.bodies import Budget
from inferspan_collector.submission import Overloaded, Unstorable
from inferspan_collector.telemetry import Telemetry
from inferspan_collector.testing import (
    RecordingSink,
    label_span,
    log_record,
    logs_request,
    otlp_json,
    prediction_span,
    traces_request,
)
from waiting import wait_until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = "application/json"
ONE = traces_request([prediction_span("order-17")])


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Switch, str]]:
    with switchable() as running:
        yield running


@pytest.fixture
def receiver(server: tuple[Switch, str]) -> Iterator[Receiver]:
    with receiving_on(server) as running:
        yield running


# --- accepted -------------------------------------------------------------------------------------


def test_protobuf_is_answered_in_protobuf(receiver: Receiver) -> None:
    response = receiver.post(ONE.SerializeToString())
    assert (response.status_code, response.headers["content-type"]) == (200, PROTOBUF)
    assert ExportTraceServiceResponse.FromString(response.content) == ExportTraceServiceResponse()
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["order-17"]
    assert [transport for _, transport in receiver.sink.submitted] == ["otlp_http"]


@pytest.mark.parametrize("content_type", [JSON, "Application/JSON; charset=utf-8"])
def test_json_is_answered_in_json(receiver: Receiver, content_type: str) -> None:
    response = receiver.post(otlp_json(ONE), content_type=content_type)
    assert (response.status_code, response.headers["content-type"]) == (200, JSON)
    assert response.json() == {}
    assert len(receiver.sink.predictions) == 1


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("zstd", zstd.compress),
        ("zstd", lambda body: zstd.compress(body[:9]) + zstd.compress(body[9:])),
    ],
)
def test_encodings(receiver: Receiver, encoding: str, compress) -> None:
    spans = [prediction_span(f"order-{i}") for i in range(2000)]
    body = compress(traces_request(spans).SerializeToString())
    assert receiver.post(body, content_encoding=encoding).status_code == 200
    assert len(receiver.sink.predictions) == 2000


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/logs"])
@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_an_empty_body_is_a_success(receiver: Receiver, path: str, content_type: str) -> None:
    assert receiver.post(b"", path, content_type=content_type).status_code == 200
    assert receiver.sink.submitted == []


def test_logs_carry_labels(receiver: Receiver) -> None:
    attributes = {
        semconv.LABEL_ID: "l",
        semconv.MODEL_NAME: "fraud",
        semconv.PREDICTION_ID: "order-17",
        semconv.LABEL_CLASS: "fraud",
    }
    request = logs_request([log_record(semconv.EVENT_LABEL, attributes)])
    response = receiver.post(request.SerializeToString(), "/v1/logs")
    assert ExportLogsServiceResponse.FromString(response.content) == ExportLogsServiceResponse()
    assert receiver.sink.labels.prediction_id.objects().tolist() == ["order-17"]


def test_the_answer_waits_for_the_commit(receiver: Receiver) -> None:
    receiver.sink.holding = True
    with ThreadPoolExecutor() as pool:
        answer: Future[httpx.Response] = pool.submit(receiver.post, ONE.SerializeToString())
        wait_until(lambda: receiver.sink.submitted, 20, "the request to be submitted")
        # The loop is free meanwhile: another request is answered before this one.
        assert receiver.client.get("/v1/traces").status_code == 405
        assert not answer.done()
        assert receiver.count(counters.ACCEPTED) == 0
        receiver.sink.release()
        assert answer.result().status_code == 200
    assert receiver.count(counters.ACCEPTED, signal="predictions", transport="otlp_http") == 1


def test_a_connection_serves_many_requests(receiver: Receiver) -> None:
    body = ONE.SerializeToString()
    head = f"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: {PROTOBUF}\r\n"
    with connected(receiver.url) as connection:
        for _ in range(3):
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert answer_on(connection) == (200, b"")


def test_many_senders_at_once(receiver: Receiver) -> None:
    bodies = [traces_request([prediction_span(f"p{i}")]).SerializeToString() for i in range(64)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(receiver.post, bodies))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(receiver.sink.predictions.prediction_id.objects()) == sorted(
        f"p{i}" for i in range(64)
    )


# --- partly accepted ------------------------------------------------------------------------------


def partly() -> object:
    request = traces_request(
        [
            prediction_span("good"),
            prediction_span("bad", {semconv.MODEL_VERSION: "x" * 1025}),
            prediction_span("worse", {semconv.MODEL_NAME: ""}),
        ]
    )
    no_value = label_span("good", {})
    request.MergeFrom(traces_request([no_value], scope=semconv.SCOPE_LABELS))
    request.MergeFrom(traces_request([prediction_span("x")], scope=semconv.SCOPE_PROCESSOR))
    return request


def test_what_was_refused_is_said_and_its_neighbours_are_stored(receiver: Receiver) -> None:
    response = receiver.post(partly().SerializeToString())
    assert response.status_code == 200
    said = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert said.rejected_spans == 3
    assert said.error_message.startswith("text_too_long: inferspan.model.version = 'xxx")
    assert said.error_message.endswith("(and 2 more)")
    assert receiver.sink.predictions.prediction_id.objects().tolist() == ["good"]
    refused = {
        ("predictions", "text_too_long"): 1,
        ("predictions", "missing_model"): 1,
        ("labels", "missing_value"): 1,
    }
    for (signal, reason), n in refused.items():
        labels = {"signal": signal, "reason": reason, "transport": "otlp_http"}
        assert receiver.count(counters.REFUSED, **labels) == n
    assert receiver.count(counters.LABELS, result="invalid") == 1
    assert receiver.count(counters.IGNORED, transport="otlp_http") == 1


def test_json_says_it_in_json(receiver: Receiver) -> None:
    response = receiver.post(otlp_json(partly()), content_type=JSON)
    assert response.json()["partialSuccess"]["rejectedSpans"] == "3"


def test_a_slice_left_out_is_a_warning(receiver: Receiver) -> None:
    span = prediction_span("a", {semconv.SLICE_PREFIX + "a.b": "c"})
    response = receiver.post(traces_request([span]).SerializeToString())
    said = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (said.rejected_spans, said.error_message[:13]) == (0, "surplus_slice")
    assert len(receiver.sink.predictions) == 1


# --- refused --------------------------------------------------------------------------------------


def status_of(response: httpx.Response) -> Status:
    """The `google.rpc.Status` of an error, in the content type of the answer."""
    if response.headers["content-type"] == PROTOBUF:
        return Status.FromString(response.content)
    assert response.headers["content-type"] == JSON
    return json_format.Parse(response.content, Status())


@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_a_body_that_cannot_be_read_is_400(receiver: Receiver, content_type: str) -> None:
    response = receiver.post(b"\x01garbage", content_type=content_type)
    assert (response.status_code, response.headers["content-type"]) == (400, content_type)
    status = status_of(response)
    assert status.code == 3
    assert "ExportTraceServiceRequest" in status.message
    assert receiver.count(counters.REQUESTS, transport="otlp_http", code="400") == 1


def test_half_a_surrogate_pair_and_long_texts_are_said_in_a_short_answer(receiver) -> None:
    body = b'{"resourceSpans": "\\ud800%b"}' % (b"x" * 10_000)
    response = receiver.post(body, content_type=JSON)
    assert "resourceSpans" in status_of(response).message
    assert (response.status_code, len(response.content) < 2_000) == (400, True)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"not gzip", "gzip"),
        (gzip.compress(ONE.SerializeToString())[:-9], "gzip"),
        (gzip.compress(ONE.SerializeToString())[:-8] + bytes(8), "gzip"),
        (gzip.compress(bytes(range(256)))[:15] + b"\xff" * 50, "gzip"),
        (zlib.compress(ONE.SerializeToString()), "gzip"),
        (b"not zlib", "deflate"),
        (zlib.compress(ONE.SerializeToString())[:-3], "deflate"),
        (zlib.compress(ONE.SerializeToString()) + b"more", "deflate"),
        (b"not zstd", "zstd"),
        (zstd.compress(ONE.SerializeToString())[:-3], "zstd"),
        (zstd.compress(ONE.SerializeToString()) + b"more", "zstd"),
    ],
    # Compressed bytes hold the time of day: no name for a test.
    ids=lambda part: part if isinstance(part, str) else f"{len(part)} bytes",
)
def test_damaged_compression_is_400(receiver: Receiver, body: bytes, encoding: str) -> None:
    response = receiver.post(body, content_encoding=encoding)
    assert response.status_code == 400
    assert f"not whole {encoding} data" in status_of(response).message
    assert receiver.sink.submitted == []


@pytest.mark.parametrize("path", ["/v1/metrics", "/", "/v1/traces/", "/v1/labels"])
def test_other_paths_are_404(receiver: Receiver, path: str) -> None:
    response = receiver.post(b"", path)
    assert response.status_code == 404
    assert "/v1/traces and /v1/logs" in status_of(response).message


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_405(receiver: Receiver, method: str) -> None:
    response = receiver.client.request(method, "/v1/logs")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": ""},
        {"content_type": "application/protobuf"},
        {"content_encoding": "br"},
        {"content_encoding": "gzip, gzip"},
    ],
)
def test_other_types_and_encodings_are_415(receiver: Receiver, headers: dict[str, str]) -> None:
    assert receiver.post(ONE.SerializeToString(), **headers).status_code == 415
    assert receiver.count(counters.REQUESTS, code="415") == 1


def test_a_request_that_can_never_be_stored_is_400(receiver: Receiver) -> None:
    receiver.sink.failing = Unstorable("a value the store cannot hold")
    response = receiver.post(ONE.SerializeToString())
    assert response.status_code == 400
    assert status_of(response).message == "a value the store cannot hold"


# --- too large ------------------------------------------------------------------------------------


def test_an_announced_length_over_the_limit_is_refused_unread(receiver: Receiver) -> None:
    head = f"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: {PROTOBUF}\r\n"
    with connected(receiver.url) as connection:
        connection.sendall(f"{head}Content-Length: {LIMIT + 1}\r\n\r\n".encode())
        status, body = answer_on(connection)
        assert (status, Status.FromString(body).code) == (413, 8)
        # Who sends it all the same can go on with this connection.
        connection.sendall(bytes(LIMIT + 1))
        connection.sendall(f"{head}Content-Length: 0\r\n\r\n".encode())
        assert answer_on(connection)[0] == 200


def test_an_unannounced_length_over_the_limit_is_refused_too(receiver: Receiver) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(LIMIT // 32)

    response = receiver.client.post(
        "/v1/traces", content=chunks(), headers={"content-type": PROTOBUF}
    )
    assert response.status_code == 413


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", zstd.compress)],
)
def test_a_bomb_is_refused_without_inflating_it(receiver: Receiver, encoding, compress) -> None:
    bomb = compress(bytes(512 * LIMIT))
    assert len(bomb) < LIMIT
    response = receiver.post(bomb, content_encoding=encoding)
    assert response.status_code == 413
    assert "once it is inflated" in status_of(response).message


def test_a_body_of_exactly_the_limit_is_read(receiver: Receiver) -> None:
    body = ONE.SerializeToString()
    # An unknown field of the right length: valid protobuf, ignored.
    filler = LIMIT - len(body) - 5
    padded = body + b"\xfa\x7f" + bytes([filler & 127 | 128, filler >> 7 & 127 | 128, filler >> 14])
    padded += bytes(filler)
    assert len(padded) == LIMIT
    assert receiver.post(padded).status_code == 200
    assert receiver.post(gzip.compress(padded), content_encoding="gzip").status_code == 200
    assert receiver.post(padded + b"\xfa\x7f\x00").status_code == 413
    larger = gzip.compress(padded + b"\xfa\x7f\x00")
    assert receiver.post(larger, content_encoding="gzip").status_code == 413


# --- come again -----------------------------------------------------------------------------------


def test_an_overload_says_when_to_come_again(receiver: Receiver) -> None:
    receiver.sink.refusing = Overloaded("the queue is full", retry_after_seconds=7)
    response = receiver.post(otlp_json(partly()), content_type=JSON)
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert status_of(response).message == "the queue is full"
    # It will be sent again: nothing of it may be counted yet.
    assert receiver.count(counters.REFUSED) == receiver.count(counters.ACCEPTED) == 0


def test_a_failed_commit_is_503(receiver: Receiver) -> None:
    receiver.sink.failing = Overloaded("disk full")
    assert receiver.post(ONE.SerializeToString()).status_code == 503


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.ERROR, "inferspan_collector")
    return caplog


@pytest.mark.parametrize("where", ["refusing", "failing"])
def test_an_unexpected_error_is_503_never_500(receiver: Receiver, quiet, where: str) -> None:
    setattr(receiver.sink, where, ZeroDivisionError("a defect"))
    response = receiver.post(ONE.SerializeToString())
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert "ZeroDivisionError" in status_of(response).message
    assert receiver.count(counters.CONTAINED, where="otlp_http") == 1
    assert "a defect" in quiet.text
    setattr(receiver.sink, where, None)
    assert receiver.post(ONE.SerializeToString()).status_code == 200


def test_a_commit_given_up_is_503(server: tuple[Switch, str]) -> None:
    class Stopping(RecordingSink):
        def submit(self, decoded, transport):
            future = super().submit(decoded, transport)
            assert future.cancel()
            return future

    switch, url = server
    sink = Stopping()
    sink.holding = True
    switch.app = otlp_http.application(sink, Telemetry(), Limits(), Budget.of(Limits()))
    sent = ONE.SerializeToString()
    response = httpx.post(f"{url}/v1/traces", content=sent, headers={"content-type": PROTOBUF})
    assert response.status_code == 503


def test_who_goes_away_is_counted_and_harms_nobody(receiver: Receiver) -> None:
    with connected(receiver.url) as connection:
        connection.sendall(
            f"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: {PROTOBUF}\r\n"
            "Content-Length: 1000\r\n\r\nabc".encode()
        )
    wait_until(lambda: receiver.count(counters.REQUESTS, code="499") == 1, 20)
    assert receiver.post(ONE.SerializeToString()).status_code == 200
