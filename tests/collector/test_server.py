"""One whole collector in this process: every port answers, is guarded, and stops in order."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

import duckdb
import grpc
import pytest
from collector_process import DEADLINE_SECONDS, counts, models, send_predictions
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from receiving import answer_on, connected

from inferspan_collector import listening, testing, warming
from inferspan_collector.config import Config, load, split_address
from inferspan_collector.publish import jaeger_monitor
from inferspan_collector.server import Collector, PortsTaken, running_collector
from inferspan_collector.store.database import Database, StoreError
from inferspan_collector.telemetry import REQUESTS
from waiting import wait_until

FREE = "127.0.0.1:0"
RATE = 'sum(rate(traces_span_metrics_calls_total{service_name =~ "a", }[10m])) by (service_name)'


def settings(data: Path, **receivers: str) -> Config:
    listeners = {"otlp_http": FREE, "otlp_grpc": FREE, "api": FREE} | receivers
    return load(None, {"receivers": dict(listeners), "store": {"data": str(data)}})


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running_collector(settings(tmp_path / "data")) as running:
        yield running


def ask(
    url: str | None, method: str, path: str, headers: dict[str, str] | None = None
) -> tuple[int, str, dict[str, object]]:
    """Status, media type and JSON of an answer."""
    assert url is not None
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=DEADLINE_SECONDS)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        media_type = answer.headers.get_content_type()
        return answer.status, media_type, json.loads(body) if "json" in media_type else {}
    finally:
        connection.close()


def test_every_port_takes_what_it_is_for(collector: Collector) -> None:
    addresses = collector.addresses
    assert addresses.otlp_http is not None
    assert addresses.otlp_grpc is not None
    assert addresses.api is not None
    send_predictions(addresses.otlp_http, ["a"])
    with grpc.insecure_channel(addresses.otlp_grpc) as channel:
        TraceServiceStub(channel).Export(
            testing.traces_request([testing.prediction_span("b")]), timeout=DEADLINE_SECONDS
        )
    assert counts(addresses.api) == (2, 0)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("POST", "/api/v1/models", 405), ("GET", "/v1/labels", 405)],
)
def test_what_is_not_there_is_a_problem(
    collector: Collector, method: str, path: str, status: int
) -> None:
    code, media_type, problem = ask(collector.addresses.api, method, path)
    assert (code, media_type) == (status, "application/problem+json")
    assert path in str(problem["detail"])


@pytest.mark.parametrize("port", ["api", "otlp_http"])
@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}])
def test_web_pages_are_kept_out_of_every_port(
    collector: Collector, port: str, headers: dict[str, str]
) -> None:
    url = getattr(collector.addresses, port)
    status, _, _ = ask(url, "POST", "/v1/labels" if port == "api" else "/v1/traces", headers)
    assert status == 403
    assert collector.telemetry.get(REQUESTS, transport=port, code="403") == 1


def test_jaegers_page_may_read_its_one_reply(tmp_path: Path) -> None:
    page = "http://127.0.0.1:16686"
    config = settings(tmp_path / "data").model_copy(
        update={"jaeger": Config().jaeger.model_copy(update={"ui": page})}
    )
    with running_collector(config) as running:
        path = "/jaeger/quality-metrics?service=fraud-api"
        assert ask(running.addresses.api, "GET", path, {"Origin": page})[0] != 403
        assert ask(running.addresses.api, "GET", "/api/v1/models", {"Origin": page})[0] == 403


def test_what_it_stored_is_there_for_the_next(tmp_path: Path) -> None:
    config = settings(tmp_path / "data")
    with running_collector(config) as first:
        assert first.addresses.otlp_http is not None
        send_predictions(first.addresses.otlp_http, ["a", "b"])
    with running_collector(config) as second:
        assert second.addresses.api is not None
        assert counts(second.addresses.api) == (2, 0)


def test_senders_that_have_fallen_silent_do_not_hold_up_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack:
        senders = []
        with running_collector(settings(tmp_path / "data")) as running:
            for url, path in (("otlp_http", "/v1/traces"), ("api", "/v1/labels")):
                sender = stack.enter_context(connected(getattr(running.addresses, url)))
                sender.sendall(
                    f"POST {path} HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{".encode()
                )
                senders.append(sender)
            wait_until(lambda: running.requests_under_way == 2, DEADLINE_SECONDS, "both to begin")
        assert [answer_on(sender)[0] for sender in senders] == [503, 503]
    assert caplog.records == []


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models",
        "/api/v1/models/fraud/quality",
        "/api/v1/models/fraud/predictions",
        "/jaeger/quality-metrics?service=fraud-api",
        f"{jaeger_monitor.PATH}?query={quote(RATE)}&start=0&end=60&step=60",
    ],
)
def test_a_store_that_cannot_be_read_is_no_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def closed(_: Database) -> NoReturn:
        raise duckdb.FatalException("database has been invalidated")

    with running_collector(settings(tmp_path / "data")) as collector:
        monkeypatch.setattr(Database, "cursor", closed)
        code, media_type, answer = ask(collector.addresses.api, "GET", path)
        status, _, _ = ask(collector.addresses.api, "GET", "/metrics")
    assert (code, media_type) == (503, "application/problem+json")
    assert "database has been invalidated" in str(answer["detail"])
    assert status == 200  # our own counters matter most then


def test_what_is_off_is_not_started(tmp_path: Path) -> None:
    with running_collector(settings(tmp_path / "data", otlp_http="off", otlp_grpc="off")) as only:
        assert only.addresses.otlp_http is None
        assert only.addresses.otlp_grpc is None
        assert models(str(only.addresses.api)) == []


def test_senders_that_take_all_connections_leave_the_api_some(tmp_path: Path) -> None:
    """Whoever asks whether it lives must not hear from a flood of others that it does not."""
    few = settings(tmp_path / "data")
    few = few.model_copy(update={"limits": few.limits.model_copy(update={"connections": 16})})
    with running_collector(few) as collector, contextlib.ExitStack() as stack:
        url = collector.addresses.otlp_http
        assert url is not None
        held = [stack.enter_context(connected(url)) for _ in range(17)]
        assert answer_on(held[-1])[0] == 503
        assert ask(collector.addresses.api, "GET", "/healthz")[0] == 200


def test_all_taken_ports_are_named_at_once_and_nothing_stays_open(tmp_path: Path) -> None:
    with listening.bind(FREE) as one, listening.bind(FREE) as two:
        one.listen()
        two.listen()
        taken = {key: listening.address_of(s) for key, s in (("otlp_http", one), ("api", two))}
        with (
            pytest.raises(PortsTaken) as refusal,
            running_collector(settings(tmp_path / "data", **taken)),
        ):
            pass
    assert {key: error.address for key, error in refusal.value.taken.items()} == taken
    with running_collector(settings(tmp_path / "data", **taken)) as now_free:
        assert now_free.addresses.api == f"http://{taken['api']}"


def test_a_store_that_cannot_be_opened_frees_the_ports(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("a file where a directory is needed")
    with listening.bind(FREE) as free:
        address = listening.address_of(free)
    with pytest.raises(StoreError), running_collector(settings(data, api=address)):
        pass
    listening.bind(address).close()


def test_no_port_answers_before_compiled_code_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening.bind(FREE) as free:
        address = listening.address_of(free)
    host, port = split_address(address)
    answered = []

    def warm() -> None:
        with socket.socket() as client:
            answered.append(client.connect_ex((host, port)) == 0)

    monkeypatch.setattr(warming, "warm", warm)
    with running_collector(settings(tmp_path / "data", api=address)) as running:
        assert ask(running.addresses.api, "GET", "/readyz")[0] == 200
    assert answered == [False]
