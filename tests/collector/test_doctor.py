"""`inferspan doctor`: what is wrong is named, with value, rule and fix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from collector_process import inferspan
from doctored import (
    COLLECTOR,
    GATEWAY,
    HEALTHY_GATEWAY,
    HEALTHY_JAEGER,
    NOWHERE,
    SERIES,
    UP,
    Answers,
    answering,
    page_of,
    prometheus_answers,
    wrongs,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inferspan_collector.cli.client import Client
from inferspan_collector.cli.doctor import collector, gateway, jaeger, prometheus, sender
from inferspan_collector.cli.doctor.finding import RIGHT, UNKNOWN


@pytest.fixture
def served() -> Iterator[tuple[Answers, str]]:
    with answering() as found:
        yield found


@pytest.mark.parametrize(
    ("changed", "name", "fix"),
    [
        ({}, None, ""),
        ({"failed": 7}, "send_failed", "max_elapsed_time: 0s"),
        ({"capacity": 0}, "sending_queue", "file_storage"),
        ({"size": 900, "sent": 50}, "sending_queue", "queue_size"),
        ({"sent": 10}, "sent_spans", "a sampler or a filter stands before it"),
        ({"exporter": "otlphttp/jaeger"}, "exporters", "gateway.yaml"),
    ],
)
def test_a_gateway(
    served: tuple[Answers, str], changed: Mapping[str, Any], name: str | None, fix: str
) -> None:
    answers, url = served
    text = GATEWAY.format(**(HEALTHY_GATEWAY | changed))
    answers["/metrics"] = PlainTextResponse(text)
    found = wrongs(gateway.examine(f"{url}/metrics"))
    if name is None:
        assert found == []
    else:
        (finding,) = found
        assert finding.name.endswith(name)
        assert fix in finding.fix


def test_what_is_no_gateway_says_so(served: tuple[Answers, str]) -> None:
    answers, url = served
    answers["/metrics"] = PlainTextResponse("up 1\n")
    for address in (f"{url}/metrics", f"{url}/nothing", NOWHERE, "no-url"):
        (finding,) = wrongs(gateway.examine(address))
        assert finding.expected == "metrics named otelcol_…"


@pytest.mark.parametrize(
    ("line", "name", "fix"),
    [
        ("", None, ""),
        ('inferspan_refused_requests_total{transport="http",reason="too_large"} 3',
         "inferspan_refused_requests http too_large", "docs/operations.md"),
        ('inferspan_refused_records_total{signal="labels",reason="bad_text"} 3',
         "inferspan_refused_records labels bad_text", "correct the sender"),
        ('inferspan_contained_errors_total{where="writer"} 1',
         "inferspan_contained_errors writer", "report it"),
        ('inferspan_folded_values_total{label="class"} 1', "inferspan_folded_values class",
         "limits."),
        ('inferspan_duplicate_predictions_total{kind="superseded"} 1',
         "inferspan_duplicate_predictions superseded", "one prediction id"),
        ('inferspan_duplicate_predictions_total{kind="retry"} 9', None, ""),
        ('inferspan_join_pending{model="fraud"} 9', "inferspan_join_pending",
         "model, environment or version"),
        ('inferspan_held_bytes{part="journal"} 95\ninferspan_held_bytes_limit{part="journal"} 100',
         "inferspan_held_bytes journal", "does not keep up"),
        ('inferspan_held_bytes{part="recent_ids"} 95\n'
         'inferspan_held_bytes_limit{part="recent_ids"} 100', None, ""),
        ('inferspan_published_evaluations_total{result="rejected"} 2',
         "inferspan_published_evaluations", "14318"),
        ('inferspan_folded_values_total{label="metrics:slice"} 8', None, ""),
        ("\n".join(f'inferspan_quality_score{{model="m{i}"}} 1' for i in range(10_001)),
         "series on /metrics", "limits.classes"),
    ],
)  # fmt: skip
def test_a_collector(served: tuple[Answers, str], line: str, name: str | None, fix: str) -> None:
    answers, url = served
    answers["/readyz"] = JSONResponse({})
    answers["/metrics"] = PlainTextResponse(f"{COLLECTOR}{line}\n")
    with Client(url) as client:
        found = wrongs(collector.examine(client))
    assert [finding.name for finding in found] == ([] if name is None else [name])
    assert all(fix in finding.fix for finding in found)


@pytest.mark.parametrize(
    ("asked", "wrong_ones", "aside"),
    [
        (None, ["3 labels wait: 2 of churn, 1 of fraud"], []),
        ("fraud", ["1 label waits: 1 of fraud"], ["2 labels wait: 2 of churn"]),
        ("price", [], ["3 labels wait: 2 of churn, 1 of fraud"]),
    ],
)
def test_labels_of_another_model_are_not_the_fault_of_the_one_asked_about(
    served: tuple[Answers, str], asked: str | None, wrong_ones: list[str], aside: list[str]
) -> None:
    answers, url = served
    answers["/readyz"] = JSONResponse({})
    waiting = "".join(
        f'inferspan_join_pending{{model="{model}"}} {n}\n'
        for model, n in (("fraud", 1), ("churn", 2), ("done", 0))
    )
    answers["/metrics"] = PlainTextResponse(f"{COLLECTOR}{waiting}")
    with Client(url) as client:
        found = [f for f in collector.examine(client, asked) if "join_pending" in f.name]
    assert [finding.seen for finding in wrongs(found)] == wrong_ones
    assert [finding.seen for finding in found if finding.state == UNKNOWN] == aside


def test_a_jaeger_that_is_set_is_not_said_to_be_missing(served: tuple[Answers, str]) -> None:
    answers, url = served
    answers["/readyz"] = JSONResponse({})
    before = "".join(
        line for line in COLLECTOR.splitlines(True) if "published_evaluations" not in line
    )
    for line, said in (
        ('inferspan_published_evaluations_total{result="ok"} 0\n', "jaeger.otlp is set"),
        ("", "none sent"),
    ):
        answers["/metrics"] = PlainTextResponse(f"{before}{line}")
        with Client(url) as client:
            (finding,) = (f for f in collector.examine(client) if f.name == "evaluation spans")
        assert said in finding.seen


def test_what_metrics_leave_out_and_a_little_memory_are_said_as_they_are(
    served: tuple[Answers, str],
) -> None:
    answers, url = served
    answers["/readyz"] = JSONResponse({})
    folded = 'inferspan_folded_values_total{label="metrics:slice"} 8\n'
    answers["/metrics"] = PlainTextResponse(f"{COLLECTOR}{folded}")
    with Client(url) as client:
        found = {finding.name: finding for finding in collector.examine(client)}
    shown = found["inferspan_folded_values metrics:slice"]
    assert (shown.state, shown.seen) == (UNKNOWN, "8")
    assert "the API has all" in shown.fix
    assert "refusals" not in found
    assert found["memory"].seen == "less than 1 MB held, every part within its limit"


def test_a_full_disk_is_seen(served: tuple[Answers, str]) -> None:
    answers, url = served
    answers["/readyz"] = JSONResponse({"detail": "the disk is full"}, 503)
    answers["/metrics"] = PlainTextResponse(COLLECTOR.replace("5e10", "5e6"))
    with Client(url) as client:
        ready, disk = wrongs(collector.examine(client))
    assert ready.seen == "HTTP 503 the disk is full"
    assert (disk.name, disk.seen) == ("inferspan_store_disk_free_bytes", "0.01 GB")


def test_what_is_no_collector_says_so(served: tuple[Answers, str]) -> None:
    _, url = served
    for address in (url, NOWHERE):
        with Client(address) as client:
            found = wrongs(collector.examine(client))
        assert any("--api" in f.fix or "--token" in f.fix for f in found)


@pytest.mark.parametrize(
    ("path", "answer", "name", "fix"),
    [
        ("/nothing", PlainTextResponse(""), None, ""),
        ("/api/services", PlainTextResponse("hello"), None, "--jaeger URL"),
        ("/api/services", JSONResponse({"data": ["fraud-api"]}), "evaluation spans",
         "jaeger.otlp"),
        ("/api/metrics/calls", JSONResponse({"errors": []}, 501), "jaeger_query.storage.metrics",
         "jaeger.yaml"),
        ("/api/metrics/calls", PlainTextResponse("bad gateway", 502),
         "metric_backends.prometheus.endpoint", "/jaeger/prometheus"),
        ("/api/metrics/calls", JSONResponse({"metrics": []}), "Monitor", "normalize_calls"),
        ("/", PlainTextResponse("JAEGER_CONFIG = {}"), "Model Quality", "ui.json"),
        ("/jaeger/quality-metrics", JSONResponse({}), "Model Quality", "jaeger.ui"),
        ("/jaeger/quality-metrics", JSONResponse({}, 401), "Model Quality", "a proxy"),
        ("/", page_of("/elsewhere"), "Model Quality", "/jaeger/quality-metrics"),
        ("/", page_of(f"{NOWHERE}/jaeger/quality-metrics"), None, ""),
        ("/", page_of("/jaeger/quality-metrics"), None, ""),
    ],
)  # fmt: skip
def test_a_jaeger(
    served: tuple[Answers, str], path: str, answer: Response, name: str | None, fix: str
) -> None:
    answers, url = served
    answers |= HEALTHY_JAEGER | {path: answer}
    found = wrongs(jaeger.examine(url, url, 1_795_000_000_000))
    if not fix:
        assert found == []
    else:
        (finding,) = found
        assert finding.name == (name or url)
        assert fix in finding.fix


def test_mistakes_are_searched_by_an_attribute_of_our_own(served: tuple[Answers, str]) -> None:
    answers, url = served
    asked: list[str] = []

    def traces(request: Request) -> Response:
        asked.append(request.query_params["tags"])
        assert "error" not in request.query_params
        return JSONResponse({"data": []})

    answers |= HEALTHY_JAEGER | {"/api/traces": traces}
    states = {f.name: f.state for f in jaeger.examine(url, url, 1_795_000_000_000)}
    assert json.loads(asked[0]) == {"inferspan.evaluation.outcome": "incorrect"}
    assert states["fraud-api-quality mistakes"] == UNKNOWN


@pytest.mark.parametrize(
    ("values", "targets", "name", "fix"),
    [
        (SERIES, [UP], None, ""),
        ({}, [UP], prometheus.COUNTER, "prometheus.yml"),
        (SERIES, [{"labels": {"job": "node"}}], "scrape job", "prometheus.yml"),
        (SERIES, [UP | {"health": "down", "lastError": "401"}], "http://x:4319/metrics", "read"),
        ({"> 1": 2.0} | SERIES, [UP], "copies", "count twice"),
        ({"resets": 3.0} | SERIES, [UP], "resets of counters", "a volume that lasts"),
        ({"spanmetrics": 0.0, "traces_span": 4.0} | SERIES, [UP], "spanmetrics", "twice"),
        ({"exported_service": 4.0} | SERIES, [UP], "honor_labels", "scrape job"),
    ],
)
def test_a_prometheus(
    served: tuple[Answers, str],
    values: Mapping[str, float],
    targets: list[dict[str, Any]],
    name: str | None,
    fix: str,
) -> None:
    answers, url = served
    answers |= prometheus_answers(values, targets)
    found = wrongs(prometheus.examine(url))
    assert [finding.name for finding in found] == ([] if name is None else [name])
    assert all(fix in finding.fix for finding in found)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"INFERSPAN_RECORDS": "none", "OTEL_TRACES_SAMPLER": "traceidratio"},
         "INFERSPAN_RECORDS"),
        ({"INFERSPAN_RECORDS": "none", "INFERSPAN_SAMPLE_RATIO": "0.1"}, "INFERSPAN_RECORDS"),
        ({"INFERSPAN_RECORDS": "none"}, None),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "fraud"}, "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "INFERSPAN_ENDPOINT": "http://127.0.0.1:4318"},
         "INFERSPAN_ENDPOINT"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "INFERSPAN_ENDPOINT": NOWHERE},
         "INFERSPAN_ENDPOINT"),
    ],
)  # fmt: skip
def test_a_sender(
    served: tuple[Answers, str], environment: dict[str, str], name: str | None
) -> None:
    answers, url = served
    answers["/v1/traces"] = Response(b"")
    found = wrongs(sender.examine({"INFERSPAN_ENDPOINT": url} | environment))
    assert [finding.name for finding in found] == ([] if name is None else [name])


@pytest.mark.parametrize("status", [401, 403, 404, 405, 413, 415, 429, 503, 500])
def test_every_refusal_of_an_endpoint_has_a_fix(served: tuple[Answers, str], status: int) -> None:
    answers, url = served
    answers["/v1/traces"] = PlainTextResponse("no", status)
    (finding,) = wrongs(sender.examine({"OTEL_EXPORTER_OTLP_ENDPOINT": url}))
    assert f"HTTP {status}" in finding.seen


def test_headers_of_the_environment_are_presented(served: tuple[Answers, str]) -> None:
    answers, url = served
    seen: list[str | None] = []

    def taken(request: Request) -> Response:
        seen.append(request.headers.get("authorization"))
        return Response(b"")

    answers["/v1/traces"] = taken
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Bearer%20secret"}
    found = [*sender.examine(headers | {"OTEL_EXPORTER_OTLP_ENDPOINT": url})]
    assert seen == ["Bearer secret"]
    assert found[-1].state == RIGHT
    assert not any("secret" in finding.line() for finding in found)


def test_servers_that_nobody_named_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (gateway, jaeger, prometheus):
        monkeypatch.setattr(module, "DEFAULT", NOWHERE)
    found = [*gateway.examine(None), *jaeger.examine(None, NOWHERE, 0), *prometheus.examine(None)]
    assert [finding.state for finding in found] == [UNKNOWN] * 3


def test_an_endpoint_that_code_may_have_set_is_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "DEFAULT", NOWHERE)
    found = [*sender.examine({})]
    assert wrongs(found) == []
    assert found[-1].state == UNKNOWN
    assert "configure(endpoint=…)" in found[-1].fix


def test_the_port_of_grpc_is_said_to_be_it() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        done = inferspan("report", "fraud", "--api", url)
    finally:
        server.stop(None)
    assert "that may be the gRPC port" in done.stderr
    assert done.stderr.rstrip("\n").isprintable()


def test_the_environment_names_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERSPAN_API", NOWHERE)
    for command in (["report", "fraud"], ["doctor"], ["labels", "status", "--model", "fraud"]):
        done = inferspan(*command)
        assert NOWHERE in done.stdout + done.stderr, command


def test_the_command_ends_with_what_is_wrong() -> None:
    done = inferspan("doctor", "--api", NOWHERE, "--quiet")
    assert done.returncode == 1
    assert all(line.startswith("WRONG") for line in done.stdout.splitlines())
    assert "inferspan serve" in done.stdout
    assert "are wrong" in done.stderr
    assert inferspan("doctor", "--api", "nonsense").returncode == 2
