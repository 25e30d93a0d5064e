"""The pains that are known of tracing stacks, one by one: each has a line of the doctor's that is
right where all is well, and wrong, with value, rule and fix, where it hurts.

`docs/report.md` lists them in this order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from doctored import (
    COLLECTOR,
    GATEWAY,
    HEALTHY_GATEWAY,
    HEALTHY_JAEGER,
    Answers,
    answering,
    prometheus_answers,
    wrongs,
)
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inferspan_collector.cli.client import Client
from inferspan_collector.cli.doctor import collector, gateway, jaeger, prometheus, sender
from inferspan_collector.cli.doctor.finding import RIGHT, UNKNOWN, Finding

NOW_MS = 1_795_000_000_000
QUESTIONS = "/jaeger/prometheus/api/v1/query_range"
TARGET = {
    "labels": {"job": "inferspan", "instance": "x:4319"}, "scrapeUrl": "http://x:4319/metrics",
    "health": "up", "lastScrapeDuration": 0.12, "scrapeInterval": "15s", "scrapeTimeout": "10s",
}  # fmt: skip
VALUES = {
    f"count({prometheus.COUNTER})": 8.0,
    f"count({prometheus.GAUGE})": 4.0,
    "scrape_samples_scraped": 3120.0,
}
OTHER_NAMES = "failed executing metrics query: bad_data: {} is not {}; set normalize_calls …"


def refused_by_name(asked: str, expected: str) -> Response:
    """What Jaeger says where inferspan did not take the name that it asked for."""
    return JSONResponse(
        {"errors": [{"code": 500, "msg": OTHER_NAMES.format(asked, expected)}]}, 500
    )


def merged(metrics: str, changed: str) -> str:
    """Series with those in their places that have changed."""
    by_series = dict(line.rsplit(" ", 1) for text in (metrics, changed) for line in text.split("\n")
                     if line)  # fmt: skip
    return "".join(f"{series} {value}\n" for series, value in by_series.items())


@dataclass(frozen=True)
class Pain:
    """One way in which it hurts; everything else is well."""

    name: str
    """Of the line that says so."""
    seen: str
    fix: str
    well: str
    """The name of the line that is right where it does not hurt."""
    jaeger: Answers = field(default_factory=dict)
    prometheus: Mapping[str, float] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    gateway: Mapping[str, Any] = field(default_factory=dict)
    collector: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def examine(self, answers: Answers, url: str) -> Iterator[Finding]:
        """The doctor's findings of all parts, one of which is not well."""
        answers |= HEALTHY_JAEGER | self.jaeger
        answers |= prometheus_answers({**self.prometheus, **VALUES}, [{**TARGET, **self.target}])
        told = GATEWAY.format(**{**HEALTHY_GATEWAY, **self.gateway})
        answers["/gateway"] = PlainTextResponse(told)
        answers["/metrics"] = PlainTextResponse(merged(COLLECTOR, self.collector))
        answers["/readyz"] = JSONResponse({})
        answers.setdefault("/v1/traces", Response(b""))
        yield from sender.examine({"OTEL_EXPORTER_OTLP_ENDPOINT": url, **self.environment})
        yield from gateway.examine(f"{url}/gateway")
        with Client(url) as client:
            yield from collector.examine(client)
        yield from jaeger.examine(url, url, NOW_MS)
        yield from prometheus.examine(url)


CALLS, LATENCIES = "/api/metrics/calls", "/api/metrics/latencies"
NAMES = "names of Monitor's metrics"
PAINS: dict[str, list[Pain]] = {
    "Monitor is empty": [
        Pain(NAMES, "Jaeger asks for traces_span_metrics_calls", "normalize_calls", "Monitor",
             {CALLS: refused_by_name("traces_span_metrics_calls",
                                     "traces_span_metrics_calls_total")}),
        Pain(NAMES, "Jaeger asks for traces_span_metrics_duration_bucket", "latency_unit",
             "Monitor, latency",
             {LATENCIES: refused_by_name("traces_span_metrics_duration_bucket",
                                         "traces_span_metrics_duration_milliseconds_bucket")}),
        Pain(NAMES, "Jaeger asks for calls_total", "no metric_namespace", "Monitor",
             {CALLS: refused_by_name("calls_total", "traces_span_metrics_calls_total")}),
        Pain("jaeger_query.storage.metrics", "HTTP 501", "metric_backends", "Monitor",
             {CALLS: JSONResponse({"errors": []}, 501)}),
        Pain("Monitor", "where inferspan has 2", "asks somebody else", "Monitor",
             {CALLS: JSONResponse({"metrics": []}),
              QUESTIONS: JSONResponse({"data": {"result": [{"values": [[0, "1"], [60, "1"]]}]}})}),
    ],
    "replicas make counters jump": [
        Pain("copies", "2 series come from more than one target", "count twice", "copies",
             prometheus={"> 1": 2.0}),
    ],
    "a restart loses counters": [
        Pain("resets of counters", "3 in a day", "a volume that lasts", "resets of counters",
             prometheus={"resets": 3.0}),
    ],
    "counted when it arrives": [
        Pain("spanmetrics", "4 series of evaluation spans", "inferspan.*", prometheus.GAUGE,
             prometheus={"traces_span": 4.0}),
    ],
    "memory grows without end": [
        Pain("inferspan_held_bytes queue", "95 of 100", "does not keep up", "memory",
             collector='inferspan_held_bytes{part="queue"} 95'),
    ],
    "dead series never leave": [
        Pain("series on /metrics", "10,0", "limits.classes", "series on /metrics",
             collector="\n".join(f'inferspan_quality_score{{model="m{i}"}} 1'
                                 for i in range(10_001))),
        Pain("inferspan_folded_values class", "7", "limits.", "refusals",
             collector='inferspan_folded_values_total{label="class"} 7'),
    ],
    "too many points a second": [
        Pain("http://x:4319/metrics scrape", "3,120 samples every 15s, in 6.00 s of 10 s",
             "limits.metric_series", "http://x:4319/metrics scrape",
             target={"lastScrapeDuration": 6.0}),
    ],
    "an answer that loses data": [
        Pain("inferspan_refused_requests http too_large", "3", "docs/operations.md", "refusals",
             collector='inferspan_refused_requests_total{transport="http",reason="too_large"} 3'),
        Pain("otlphttp/inferspan send_failed", "7 lost", "max_elapsed_time: 0s",
             "otlphttp/inferspan send_failed", gateway={"failed": 7}),
        Pain("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTP 413", "limits.request_bytes",
             "OTEL_EXPORTER_OTLP_ENDPOINT", {"/v1/traces": PlainTextResponse("no", 413)}),
    ],
    "a queue that loses an outage": [
        Pain("otlphttp/inferspan sending_queue", "none", "file_storage",
             "otlphttp/inferspan sending_queue", gateway={"capacity": 0}),
        Pain("otlphttp/inferspan sending_queue", "900 of 1,000", "queue_size",
             "otlphttp/inferspan sending_queue", gateway={"size": 900, "sent": 50}),
        Pain("inferspan_store_set_aside_rows", "5", "inferspan store check", "refusals",
             collector="inferspan_store_set_aside_rows_total 5"),
        Pain("inferspan_store_disk_free_bytes", "0.01 GB", "make room", "disk",
             collector="inferspan_store_disk_free_bytes 5e6"),
    ],
    "a sampler drops what is late": [
        Pain("otlphttp/inferspan sent_spans", "10 of 100 received", "pipeline of Jaeger alone",
             "otlphttp/inferspan sent_spans", gateway={"sent": 10}),
        Pain("inferspan_skipped_evaluations outbox_full", "4", "jaeger.outbox_entries",
             "evaluation spans",
             collector='inferspan_skipped_evaluations_total{reason="outbox_full"} 4'),
        Pain("inferspan_rebuilt_spans rate", "4", "jaeger.rebuilt_spans_per_second", "refusals",
             collector='inferspan_rebuilt_spans_total{result="rate"} 4'),
    ],
    "error=true misses traces": [
        Pain("fraud-api-quality mistakes", "HTTP 500", "Jaeger's log",
             "fraud-api-quality mistakes", {"/api/traces": PlainTextResponse("", 500)}),
    ],
    "an SDK that loses in silence, and says it in words of its own": [
        Pain("OTEL_SDK_DISABLED", "true", "unset it", "OTEL_EXPORTER_OTLP_ENDPOINT",
             environment={"OTEL_SDK_DISABLED": "true"}),
        Pain("INFERSPAN_RECORDS", "none, under a sampler", "count in no figure", "sampling",
             environment={"INFERSPAN_RECORDS": "none", "OTEL_TRACES_SAMPLER": "traceidratio"}),
        Pain("predictions", "none among 40 spans", "mappings: [gen_ai", "predictions",
             collector='inferspan_ignored_spans_total{transport="http"} 40\n'
             'inferspan_accepted_records_total{signal="predictions",transport="http"} 0'),
    ],
}  # fmt: skip


@pytest.fixture
def served() -> Iterator[tuple[Answers, str]]:
    with answering() as found:
        yield found


@pytest.mark.parametrize(
    "pain",
    [
        pytest.param(pain, id=f"{name}: {pain.name}")
        for name, pains in PAINS.items()
        for pain in pains
    ],
)
def test_where_it_hurts_one_line_says_so(served: tuple[Answers, str], pain: Pain) -> None:
    (finding,) = wrongs(pain.examine(*served))
    assert finding.name == pain.name
    assert pain.seen in finding.seen
    assert pain.fix in finding.fix


def test_where_all_is_well_every_pain_has_a_line_that_says_so(served: tuple[Answers, str]) -> None:
    found = [*Pain("", "", "", "").examine(*served)]
    assert wrongs(found) == []
    right = {finding.name for finding in found if finding.state == RIGHT}
    assert {pain.well for pains in PAINS.values() for pain in pains} <= right


def test_an_empty_monitor_is_no_fault_where_inferspan_has_nothing_either(
    served: tuple[Answers, str],
) -> None:
    asked: list[str] = []

    def nothing(request: Request) -> Response:
        asked.append(request.query_params["query"])
        return JSONResponse({"data": {"result": []}})

    empty = Pain("", "", "", "", {CALLS: JSONResponse({"metrics": []}), QUESTIONS: nothing})
    found = [*empty.examine(*served)]
    assert wrongs(found) == []
    (monitor,) = [finding for finding in found if finding.name == "Monitor"]
    assert monitor.state == UNKNOWN
    assert "label_arrival" in monitor.fix
    assert "fraud-api-quality" in asked[0]
