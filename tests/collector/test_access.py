"""Who may do what: tokens, their rights, and what is answered to everybody else."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from collector_process import inferspan, serving
from google.rpc.status_pb2 import Status
from guarded_collector import TOKENS, ask, bearer, settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from inferspan import semconv
from inferspan_collector.cli.tokens import hash_of
from inferspan_collector.server import Collector, running_collector
from inferspan_collector.telemetry import ACCEPTED, REFUSED, REFUSED_REQUESTS, REQUESTS
from inferspan_collector.testing import (
    label_span,
    log_record,
    logs_request,
    prediction_span,
    span_ids,
    traces_request,
)

PROTOBUF = {"content-type": "application/x-protobuf"}
NDJSON = {"content-type": "application/x-ndjson"}
TRACES = "otlp_http/v1/traces"
LINE = b'{"prediction_id": "order-17", "model": "fraud", "class": "fraud"}\n'
REQUESTS_OF_ALL_KINDS = {
    "predictions": ("POST", TRACES, PROTOBUF, b""),
    "logs": ("POST", "otlp_http/v1/logs", PROTOBUF, b""),
    "labels": ("POST", "api/v1/labels", NDJSON, LINE),
    "dry run": ("POST", "api/v1/labels?dry_run=true", NDJSON, LINE),
    "models": ("GET", "api/api/v1/models", {}, b""),
    "metrics": ("GET", "api/metrics", {}, b""),
    "jaeger": ("GET", "api/jaeger/quality-metrics?service=a", {}, b""),
    "page": ("GET", "api/", {}, b""),
    "nothing": ("GET", "api/nothing", {}, b""),
    "forget": ("POST", "api/api/v1/forget", {}, b"{}"),
    "backup": ("POST", "api/api/v1/backup", {}, b"{}"),
    "add a baseline": ("POST", "api/api/v1/baselines", {}, b"{}"),
    "remove a baseline": ("POST", "api/api/v1/baselines/remove", {}, b"{}"),
    "list baselines": ("GET", "api/api/v1/models/fraud/baselines", {}, b""),
}
NEEDED = {
    "predictions": {"ingest", "labels"},
    "logs": {"ingest", "labels"},
    "labels": {"labels"},
    "dry run": {"labels"},
    "forget": {"admin"},
    "backup": {"admin"},
    "add a baseline": {"admin"},
    "remove a baseline": {"admin"},
}
"""Kind of request → any of these rights lets it in; every other kind needs `read`."""


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running_collector(settings(tmp_path_factory.mktemp("guarded") / "data")) as running:
        yield running


def code_of(collector: Collector, kind: str, headers: dict[str, str]) -> int:
    method, target, own, body = REQUESTS_OF_ALL_KINDS[kind]
    return ask(collector, method, target, own | headers, body).status_code


@pytest.mark.parametrize("kind", REQUESTS_OF_ALL_KINDS)
@pytest.mark.parametrize("name", TOKENS)
def test_a_token_opens_what_its_rights_say_and_nothing_else(
    collector: Collector, kind: str, name: str
) -> None:
    permitted = not NEEDED.get(kind, {"read"}).isdisjoint(TOKENS[name])
    code = code_of(collector, kind, bearer(name))
    assert code == 403 if not permitted else code not in (401, 403)


@pytest.mark.parametrize("kind", REQUESTS_OF_ALL_KINDS)
@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer wrong", "Basic b3A6b3A=", "operator-token", "Bearer \xe9"],
)
def test_whoever_presents_no_known_token_is_asked_for_one(
    collector: Collector, kind: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    method, target, own, body = REQUESTS_OF_ALL_KINDS[kind]
    answer = ask(collector, method, target, own | headers, body)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "inferspan token" in answer.text
    assert "wrong" not in answer.text


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "path", ["", "models/fraud", "parts/trend/fraud", "parts/card/fraud", "page/page.css"]
)
def test_browsers_are_asked_for_a_token_as_a_password_where_people_look(
    collector: Collector, path: str
) -> None:
    accept = {"accept": "text/html"}
    asked = ask(collector, "GET", f"api/{path}", accept)
    assert asked.status_code == 401
    assert [each.split()[0] for each in asked.headers.get_list("www-authenticate")] == [
        "Bearer",
        "Basic",
    ]
    assert ask(collector, "GET", f"api/{path}", accept | basic("", "wrong")).status_code == 401
    refused = ask(collector, "GET", f"api/{path}", accept | basic("x", "gateway-token"))
    assert refused.status_code == 403
    seen = ask(collector, "GET", f"api/{path}", accept | basic("anybody", "reader-token"))
    assert seen.status_code in (200, 404)


def test_a_password_opens_nothing_that_programs_ask(collector: Collector) -> None:
    # A browser sends it unasked, whoever had it send the request.
    for kind in ("models", "metrics", "labels", "forget", "backup"):
        answer = code_of(collector, kind, basic("", "operator-token"))
        assert answer == 401
    answer = ask(collector, "GET", "api/api/v1/models", {})
    assert "Basic" not in answer.headers["www-authenticate"]


def test_the_scheme_is_read_in_any_case_and_blanks_do_not_matter(collector: Collector) -> None:
    headers = {"authorization": "bEARER   reader-token"}
    assert code_of(collector, "models", headers) == 200


def test_a_second_authorization_hides_nothing(collector: Collector) -> None:
    pair = [("authorization", "Bearer reader-token"), ("authorization", "Bearer wrong")]
    for headers in (pair, pair[::-1]):
        answer = httpx.get(f"{collector.addresses.api}/api/v1/models", headers=headers)
        assert answer.status_code == 401


@pytest.mark.parametrize("path", ["healthz", "readyz"])
def test_health_is_open_to_everybody(collector: Collector, path: str) -> None:
    assert ask(collector, "GET", f"api/{path}", {}).status_code == 200


def test_a_page_of_somebody_else_is_told_nothing_of_tokens(collector: Collector) -> None:
    headers = bearer("operator") | {"origin": "http://evil.example"}
    assert code_of(collector, "models", headers) == 403
    assert code_of(collector, "predictions", headers) == 403


def test_refusals_say_it_as_each_port_says_things(collector: Collector) -> None:
    before = collector.telemetry.get(REFUSED_REQUESTS, reason="forbidden")
    answer = ask(collector, "GET", "api/api/v1/models", bearer("gateway"))
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["status"], problem["rule"]) == (403, "read is needed here")
    assert "ingest" in problem["value"]
    assert "auth.tokens" in problem["remedy"]

    answer = ask(collector, "POST", TRACES, PROTOBUF | bearer("reader"))
    assert Status.FromString(answer.content).code == grpc.StatusCode.PERMISSION_DENIED.value[0]
    answer = ask(collector, "POST", TRACES, {"content-type": "application/json"})
    assert answer.json()["code"] == grpc.StatusCode.UNAUTHENTICATED.value[0]

    assert collector.telemetry.get(REFUSED_REQUESTS, reason="forbidden") == before + 2
    assert collector.telemetry.get(REQUESTS, transport="otlp_http", code="401") >= 1


# --- within OTLP ----------------------------------------------------------------------------------


def mixed(name: str) -> bytes:
    """Two predictions and a label of one of them."""
    request = traces_request([prediction_span(f"{name}-a"), prediction_span(f"{name}-b")])
    truth = label_span(f"{name}-a", {semconv.LABEL_CLASS: "fraud"})
    request.MergeFrom(traces_request([truth], scope=semconv.SCOPE_LABELS))
    return request.SerializeToString()


@pytest.mark.parametrize(
    ("name", "signal", "rejected"), [("gateway", "labels", 1), ("labeller", "predictions", 2)]
)
def test_what_a_token_does_not_permit_is_left_out_of_a_request(
    collector: Collector, name: str, signal: str, rejected: int
) -> None:
    reason = {"signal": signal, "reason": "forbidden"}
    before = collector.telemetry.get(ACCEPTED, signal=signal)
    refused = collector.telemetry.get(REFUSED, **reason)
    answer = ask(collector, "POST", TRACES, PROTOBUF | bearer(name), mixed(name))
    said = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_spans) == (200, rejected)
    assert said.error_message.startswith("forbidden: ")
    assert collector.telemetry.get(REFUSED, **reason) == refused + rejected
    assert collector.telemetry.get(ACCEPTED, signal=signal) == before


def test_an_evaluation_is_a_label(collector: Collector) -> None:
    record = log_record(
        semconv.EVENT_EVALUATION_RESULT,
        {
            semconv.GEN_AI_EVALUATION_NAME: "correctness",
            semconv.GEN_AI_EVALUATION_SCORE_LABEL: "pass",
        },
        context=span_ids("gateway-a"),
    )
    body = logs_request([record], scope="an.evaluator").SerializeToString()
    answer = ask(collector, "POST", "otlp_http/v1/logs", PROTOBUF | bearer("gateway"), body)
    said = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert (answer.status_code, said.rejected_log_records) == (200, 1)
    answer = ask(collector, "POST", "otlp_http/v1/logs", PROTOBUF | bearer("labeller"), body)
    assert answer.content == b""


# --- gRPC -----------------------------------------------------------------------------------------


def grpc_code(collector: Collector, *metadata: tuple[str, str]) -> grpc.StatusCode:
    assert collector.addresses.otlp_grpc is not None
    with grpc.insecure_channel(collector.addresses.otlp_grpc) as channel:
        try:
            TraceServiceStub(channel).Export(
                traces_request([prediction_span("over-grpc")]), timeout=20, metadata=metadata
            )
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK


def test_grpc_says_it_in_its_codes(collector: Collector) -> None:
    assert grpc_code(collector) is grpc.StatusCode.UNAUTHENTICATED
    assert grpc_code(collector, ("authorization", "Bearer x")) is grpc.StatusCode.UNAUTHENTICATED
    reader, gateway = (("authorization", f"Bearer {name}-token") for name in ("reader", "gateway"))
    assert grpc_code(collector, reader) is grpc.StatusCode.PERMISSION_DENIED
    assert grpc_code(collector, gateway) is grpc.StatusCode.OK
    page = ("origin", "http://evil.example")
    assert grpc_code(collector, gateway, page) is grpc.StatusCode.PERMISSION_DENIED
    assert collector.telemetry.get(REFUSED_REQUESTS, reason="foreign_origin") >= 1


# --- those who send and read ----------------------------------------------------------------------

SENDING = """
import inferspan
inferspan.configure(service_name="shop")

@inferspan.predict(model="sdk", prediction_id="order_id")
def score(order_id: str) -> dict:
    return {"label": "fraud"}

score("order-17")
inferspan.label("order-17", "fraud", model="sdk")
assert inferspan.flush(20)
"""


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_the_sdk_presents_what_opentelemetry_is_told_to(
    collector: Collector, protocol: str, tmp_path: Path
) -> None:
    port = "otlp_http" if protocol.startswith("http") else "otlp_grpc"
    address = getattr(collector.addresses, port).removeprefix("http://")
    labels = collector.telemetry.get(ACCEPTED, signal="labels", transport=port)
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20operator-token",
    }
    done = subprocess.run(
        (sys.executable, "-c", SENDING),
        env=os.environ | environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert collector.telemetry.get(ACCEPTED, signal="labels", transport=port) == labels + 1


def test_commands_present_a_token(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = ("--api", str(collector.addresses.api))
    push = ("labels", "push", "-", *api, "--json")
    done = inferspan(*push, stdin=LINE.decode())
    assert done.returncode == 2
    assert "no bearer token" in done.stderr

    done = inferspan(*push, "--token", "labeller-token", stdin=LINE.decode())
    assert (done.returncode, json.loads(done.stdout)["accepted"]) == (0, 1)

    (file := tmp_path / "token").write_text("operator-token\n")
    done = inferspan("labels", "status", "--model", "none", *api, "--token-file", str(file))
    assert "none" in done.stderr + done.stdout
    assert "bearer" not in done.stderr

    monkeypatch.setenv("INFERSPAN_TOKEN", "labeller-token")
    assert inferspan(*push, stdin=LINE.decode()).returncode == 0
    done = inferspan(*push, "--token", "two words", stdin=LINE.decode())
    assert (done.returncode, "two words" in done.stderr) == (2, False)


def test_a_new_token_and_its_hash() -> None:
    made = [json.loads(inferspan("token", "--json").stdout) for _ in range(2)]
    assert made[0]["token"] != made[1]["token"]
    assert all(hash_of(one["token"]) == one["hash"] for one in made)
    assert all(len(one["token"]) >= 43 for one in made)
    shown = inferspan("token").stdout
    assert shown.count("inferspan_") == 2
    assert "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Bearer%20inferspan_" in shown


def test_tokens_in_the_clear_where_others_listen_are_warned_of(tmp_path: Path) -> None:
    token = {"hash": hash_of("a-token"), "rights": ["read"]}
    sections = {"receivers": {"allow_public": True}, "auth": {"tokens": {"reader": token}}}
    (file := tmp_path / "inferspan.json").write_text(json.dumps(sections))
    with serving(tmp_path / "data", "--config", str(file), api="0.0.0.0:0") as served:
        port = served.api.rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/api/v1/models"
        assert httpx.get(url).status_code == 401
        assert httpx.get(url, headers={"authorization": "Bearer a-token"}).status_code == 200
    log = served.log.read_text()
    assert "receivers.api = 0.0.0.0:0: tokens travel in the clear there" in log
    assert "receivers.otlp_http" not in log
    assert "a-token" not in log


def test_who_may_not_send_predictions_gives_them_no_other_names_either(
    collector: Collector,
) -> None:
    def sent(entity: str) -> bytes:
        named = prediction_span("named", {semconv.ENTITY_ID: entity}, ids=span_ids("named"))
        request = traces_request([named])
        truth = label_span("another", {semconv.LABEL_CLASS: "fraud"})
        request.MergeFrom(traces_request([truth], scope=semconv.SCOPE_LABELS))
        return request.SerializeToString()

    for token, entity in (("labeller", "forged"), ("gateway", "customer-1")):
        answer = ask(collector, "POST", TRACES, PROTOBUF | bearer(token), sent(entity))
        assert answer.status_code == 200

    lines = [
        {"entity_id": entity, "model": "fraud", "class": "fraud"}
        for entity in ("forged", "customer-1")
    ]
    body = "\n".join(map(json.dumps, lines)).encode()
    answer = ask(collector, "POST", "api/v1/labels", NDJSON | bearer("labeller"), body)
    results = [json.loads(line)["result"] for line in answer.text.splitlines()]
    assert results == ["waiting", "joined"]
