"""A server that answers as a gateway, a collector, Jaeger and Prometheus, for the doctor to ask."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from inferspan_collector.cli.doctor import prometheus
from inferspan_collector.cli.doctor.finding import WRONG, Finding
from servers.running import free_addresses
from servers.serving import serving

Answers = dict[str, Response | Callable[[Request], Response]]
NOWHERE = "http://127.0.0.1:1"
GATEWAY = """
otelcol_receiver_accepted_spans_total{{receiver="otlp"}} {accepted}
otelcol_exporter_sent_spans_total{{exporter="{exporter}"}} {sent}
otelcol_exporter_send_failed_spans_total{{exporter="{exporter}"}} {failed}
otelcol_exporter_queue_size{{exporter="{exporter}"}} {size}
otelcol_exporter_queue_capacity{{exporter="{exporter}"}} {capacity}
"""
HEALTHY_GATEWAY: dict[str, Any] = {
    "exporter": "otlphttp/inferspan", "accepted": 100, "sent": 100, "failed": 0, "size": 0,
    "capacity": 1000,
}  # fmt: skip
COLLECTOR = """
inferspan_accepted_records_total{signal="predictions",transport="http"} 5
inferspan_accepted_records_total{signal="labels",transport="labels"} 5
inferspan_store_disk_free_bytes 5e10
inferspan_held_bytes{part="queue"} 10
inferspan_held_bytes_limit{part="queue"} 100
inferspan_published_evaluations_total{result="ok"} 5
"""
SERVICES = {"data": ["fraud-api", "fraud-api-quality"]}
TRACES = {"data": [{"traceID": "1"}]}
POINTS = {"metrics": [{"metricPoints": [{"gaugeValue": {"doubleValue": 1}}]}]}


def page_of(endpoint: str) -> Response:
    """Jaeger's page, whose configuration names where the browser asks."""
    settings = {"qualityMetrics": {"apiEndpoint": endpoint}}
    return PlainTextResponse(f"JAEGER_CONFIG = {json.dumps(settings)}")


def page(request: Request) -> Response:
    """One that asks another origin: the same server, by another name."""
    other = str(request.base_url).replace("127.0.0.1", "localhost")
    return page_of(f"{other}jaeger/quality-metrics")


HEALTHY_JAEGER: Answers = {
    "/api/services": JSONResponse(SERVICES),
    "/api/traces": JSONResponse(TRACES),
    "/api/metrics/calls": JSONResponse(POINTS),
    "/api/metrics/latencies": JSONResponse(POINTS),
    "/": page,
    "/jaeger/quality-metrics": JSONResponse({}, headers={"access-control-allow-origin": "*"}),
}
UP = {"labels": {"job": "inferspan"}, "scrapeUrl": "http://x:4319/metrics", "health": "up"}
SERIES = {f"count({prometheus.COUNTER})": 8.0}


@contextlib.contextmanager
def answering() -> Iterator[tuple[Answers, str]]:
    """What a server answers by path, to be filled in, and its address."""
    answers: Answers = {}

    def answer(request: Request) -> Response:
        found = answers.get(request.url.path, PlainTextResponse("no such path", 404))
        return found if isinstance(found, Response) else found(request)

    (address,) = free_addresses(1)
    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    with serving(Starlette(routes=routes), address) as url:
        yield answers, url


def wrongs(found: Iterable[Finding]) -> list[Finding]:
    """Those that are wrong; each has all that a reader needs."""
    wrong = [finding for finding in found if finding.state == WRONG]
    for finding in wrong:
        assert finding.seen
        assert finding.expected
        assert finding.fix
        assert "\n" not in finding.line()
    return wrong


def prometheus_answers(values: Mapping[str, float], targets: list[dict[str, Any]]) -> Answers:
    """Its API, of instant queries by a part of them."""

    def query(request: Request) -> Response:
        text = request.query_params["query"]
        found = [v for part, v in values.items() if part in text]
        result = [{"metric": {}, "value": [0, str(found[0])]}] if found else []
        return JSONResponse({"status": "success", "data": {"result": result}})

    return {
        "/api/v1/targets": JSONResponse({"status": "success", "data": {"activeTargets": targets}}),
        "/api/v1/query": query,
        "/api/v1/status/flags": JSONResponse({"data": {"enable-feature": "exemplar-storage"}}),
    }
