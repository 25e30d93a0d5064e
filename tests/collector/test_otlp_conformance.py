"""The OTLP specification, row by row: a whole collector, real sockets, the stock exporters.

Rows are those of https://opentelemetry.io/docs/specs/otlp/; each holds for HTTP and for gRPC where
both have it. `test_otlp_http` and `test_otlp_grpc` look closer at the receivers alone.
"""

from __future__ import annotations

import gzip
import itertools
import json
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceResponse,
)
from otlp_sending import (
    PROTOBUF,
    Refused,
    Transport,
    counted,
    export,
    exporter_for,
    post,
    request_of,
    send,
)
from receiving import connected

from inferspan import semconv
from inferspan_collector.config import load
from inferspan_collector.pipeline import Pipeline
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.submission import Overloaded
from inferspan_collector.telemetry import REQUESTS
from inferspan_collector.testing import otlp_json

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = "application/json"
FREE = "127.0.0.1:0"
BOTH = pytest.mark.parametrize("transport", ["http", "grpc"])
_names = (f"model-{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    listeners = {"otlp_http": FREE, "otlp_grpc": FREE, "api": FREE}
    store = {"data": str(tmp_path_factory.mktemp("conformance") / "data")}
    with running_collector(load(None, {"receivers": dict(listeners), "store": store})) as running:
        yield running


@pytest.fixture
def model() -> str:
    """A model of this test alone."""
    return next(_names)


# --- success --------------------------------------------------------------------------------------


@BOTH
def test_full_success_is_an_empty_message_and_all_is_there_at_once(
    collector: Collector, transport: Transport, model: str
) -> None:
    answer = send(collector, transport, request_of(model, "a", "b").SerializeToString())
    assert ExportTraceServiceResponse.FromString(answer) == ExportTraceServiceResponse()
    assert counted(collector, model) == 2


@BOTH
def test_an_empty_request_is_a_success(collector: Collector, transport: Transport) -> None:
    assert send(collector, transport, b"") == b""


@BOTH
@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_the_stock_exporter_is_understood(
    collector: Collector, transport: Transport, compression: str, model: str
) -> None:
    one = (
        Compression(compression)
        if transport == "http"
        else grpc.Compression[{"none": "NoCompression"}.get(compression, compression.capitalize())]
    )
    export(exporter_for(collector, transport, compression=one), model)
    assert counted(collector, model) == 1


@BOTH
def test_partial_success_says_how_many_and_why_and_is_not_sent_again(
    collector: Collector, transport: Transport, model: str
) -> None:
    request = request_of(model, "good")
    request.MergeFrom(request_of("", "bad"))
    before = collector.telemetry.get(REQUESTS)
    answer = send(collector, transport, request.SerializeToString())
    said = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (said.rejected_spans, bool(said.error_message)) == (1, True)
    assert counted(collector, model) == 1
    # By a stock exporter, which must take that for a success.
    export(exporter_for(collector, transport), "")
    assert collector.telemetry.get(REQUESTS) == before + 2


@BOTH
def test_a_warning_rejects_nothing(collector: Collector, transport: Transport, model: str) -> None:
    request = request_of(model, "a", **{semconv.SLICE_PREFIX + "a.b": "c"})
    answer = send(collector, transport, request.SerializeToString())
    said = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (said.rejected_spans, bool(said.error_message)) == (0, True)
    assert counted(collector, model) == 1


@BOTH
def test_what_comes_twice_counts_once(
    collector: Collector, transport: Transport, model: str
) -> None:
    body = request_of(model, "a", "b").SerializeToString()
    for _ in range(3):
        send(collector, transport, body)
    assert counted(collector, model) == 2


@BOTH
def test_senders_do_not_wait_for_each_other(
    collector: Collector, transport: Transport, model: str
) -> None:
    bodies = [request_of(model, f"{i}").SerializeToString() for i in range(32)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda body: send(collector, transport, body), bodies))
    assert counted(collector, model) == 32


# --- refused for good -----------------------------------------------------------------------------

UNREADABLE = {"http": "400", "grpc": "INVALID_ARGUMENT"}
TOO_LARGE = {"http": "413", "grpc": "RESOURCE_EXHAUSTED"}


@BOTH
def test_what_cannot_be_decoded_is_never_to_be_sent_again(
    collector: Collector, transport: Transport
) -> None:
    with pytest.raises(Refused) as refused:
        send(collector, transport, b"\x0a\xff\xff")
    assert refused.value.code == UNREADABLE[transport]
    assert "retry-after" not in refused.value.more
    if transport == "http":
        assert refused.value.status.code == 3


@BOTH
def test_more_than_64_mebibytes_are_never_to_be_sent_again(
    collector: Collector, transport: Transport, model: str
) -> None:
    # An unknown field, which every reader passes over; twice what gRPC takes unless told.
    filling = b"\x7a\x80\x80\x80\x04" + bytes(8 * 1024 * 1024)
    good = request_of(model, "a").SerializeToString()
    send(collector, transport, good + filling)
    assert counted(collector, model) == 1
    with pytest.raises(Refused) as refused:
        send(collector, transport, good + bytes(64 * 1024 * 1024))
    assert refused.value.code == TOO_LARGE[transport]
    assert refused.value.status.details == []
    assert "retry-after" not in refused.value.more


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_limit_holds_after_decompression(collector: Collector, encoding: str) -> None:
    compress = gzip.compress if encoding == "gzip" else zstd.compress
    bomb = compress(bytes(65 * 1024 * 1024))
    assert len(bomb) < 100_000
    assert post(collector, bomb, content_encoding=encoding).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("POST", "/v1/metrics", {"content-type": PROTOBUF}, 404),
        ("GET", "/v1/traces", {}, 405),
        ("POST", "/v1/traces", {"content-type": "text/plain"}, 415),
        ("POST", "/v1/traces", {"content-type": PROTOBUF, "content-encoding": "br"}, 415),
        ("POST", "/v1/traces", {"content-type": PROTOBUF, "origin": "http://evil"}, 403),
    ],
)
def test_other_mistakes_have_codes_that_nobody_tries_again(
    collector: Collector, method: str, path: str, headers: dict[str, str], code: int
) -> None:
    url = f"{collector.addresses.otlp_http}{path}"
    answer = httpx.request(method, url, headers=headers)
    assert answer.status_code == code
    assert "retry-after" not in answer.headers


def test_errors_have_the_type_of_the_request(collector: Collector) -> None:
    answer = post(collector, b"{", JSON)
    assert answer.headers["content-type"] == JSON
    assert json_format.Parse(answer.content, Status()).code == 3
    answer = post(collector, b"\x0a\xff")
    assert answer.headers["content-type"] == PROTOBUF
    assert Status.FromString(answer.content).code == 3


# --- to be sent again -----------------------------------------------------------------------------


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Raised where requests are queued, one a request, until none is left."""
    faults: list[Exception] = []
    keep = Pipeline.keep

    def faulty(pipeline: Pipeline, *arguments: Any) -> Any:
        if faults:
            raise faults.pop()
        return keep(pipeline, *arguments)

    monkeypatch.setattr(Pipeline, "keep", faulty)
    return faults


@BOTH
@pytest.mark.parametrize(
    "error", [Overloaded("full", 3), OSError("disk full"), MemoryError(), KeyError("a defect")]
)
def test_whatever_may_pass_is_said_to_pass_and_when_to_come_again(
    collector: Collector, transport: Transport, fault: list[Exception], error: Exception, model: str
) -> None:
    fault.append(error)
    body = request_of(model, "a").SerializeToString()
    with pytest.raises(Refused) as refused:
        send(collector, transport, body)
    if transport == "http":
        assert refused.value.code == "503"
        assert int(refused.value.more["retry-after"]) >= 1
    else:
        assert refused.value.code == "UNAVAILABLE"
        info = RetryInfo()
        assert refused.value.status.details[0].Unpack(info)
        assert info.retry_delay.seconds >= 1
    send(collector, transport, body)
    assert counted(collector, model) == 1


@BOTH
def test_the_stock_exporter_comes_again_by_itself(
    collector: Collector, transport: Transport, fault: list[Exception], model: str
) -> None:
    fault.append(Overloaded("full", 1))
    export(exporter_for(collector, transport), model)
    assert fault == []
    assert counted(collector, model) == 1


# --- JSON -----------------------------------------------------------------------------------------


def test_json_is_answered_in_json(collector: Collector, model: str) -> None:
    answer = post(collector, otlp_json(request_of(model, "a")), f"{JSON}; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"]) == (200, JSON)
    assert answer.json() == {}
    assert counted(collector, model) == 1


@pytest.mark.parametrize("case", ["lower", "upper"])
@pytest.mark.parametrize("integers", [str, int])
def test_json_has_ids_in_any_case_and_integers_in_either_form(
    collector: Collector, model: str, case: str, integers: type
) -> None:
    request = request_of(model, "a")
    document = json.loads(otlp_json(request))
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    for name in ("traceId", "spanId"):
        span[name] = getattr(span[name], case)()
    for name in ("startTimeUnixNano", "endTimeUnixNano"):
        span[name] = integers(span[name])
    assert post(collector, json.dumps(document).encode(), JSON).status_code == 200
    # As ids say: it is the same span.
    send(collector, "http", request.SerializeToString())
    assert counted(collector, model) == 1


def test_json_may_hold_fields_that_we_do_not_know(collector: Collector, model: str) -> None:
    document = json.loads(otlp_json(request_of(model, "a")))
    document["ofTheFuture"] = {"a": [1, None]}
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["ofTheFuture"] = "b"
    assert post(collector, json.dumps(document).encode(), JSON).status_code == 200
    assert counted(collector, model) == 1


# --- connections ----------------------------------------------------------------------------------


def test_a_connection_is_kept_whatever_was_answered(collector: Collector, model: str) -> None:
    body = request_of(model, "a").SerializeToString()
    with httpx.Client(base_url=str(collector.addresses.otlp_http)) as client:
        for content, code in ((body, 200), (b"\x0a\xff", 400), (body, 200), (b"", 200)):
            answer = client.post("/v1/traces", content=content, headers={"content-type": PROTOBUF})
            assert answer.status_code == code
            assert answer.headers.get("connection") != "close"
    assert counted(collector, model) == 1


def test_a_sender_that_does_not_wait_for_its_answer_harms_nobody(
    collector: Collector, model: str
) -> None:
    body = request_of(model, "a").SerializeToString()
    with connected(str(collector.addresses.otlp_http)) as connection:
        connection.sendall(
            f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {PROTOBUF}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
    send(collector, "http", body)
    assert counted(collector, model) == 1


def test_all_that_is_under_way_is_answered_before_the_end(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = threading.Semaphore(0)
    keep = Pipeline.keep

    def late(pipeline: Pipeline, *arguments: Any) -> Any:
        future = keep(pipeline, *arguments)
        entered.release()
        return future

    monkeypatch.setattr(Pipeline, "keep", late)
    listeners = {"otlp_http": FREE, "otlp_grpc": FREE, "api": FREE}
    store = {"data": str(tmp_path_factory.mktemp("drain") / "data")}
    # The journal waits for more requests, so that both are under way when the end comes.
    limits = {"group_milliseconds": 1000.0}
    settings = load(None, {"receivers": dict(listeners), "store": store, "limits": limits})
    bodies = {one: request_of("m", one).SerializeToString() for one in ("http", "grpc")}
    with ThreadPoolExecutor(2) as pool:
        with running_collector(settings) as running:
            sent = [
                pool.submit(send, running, "http", bodies["http"]),
                pool.submit(send, running, "grpc", bodies["grpc"]),
            ]
            for _ in sent:
                assert entered.acquire(timeout=60)
        assert [one.result(60) for one in sent] == [b"", b""]
    with running_collector(settings) as again:
        assert counted(again, "m") == 2
