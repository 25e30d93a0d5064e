"""Jaeger: whether evaluation spans arrive, and whether Monitor and the quality page ask us."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urljoin

from inferspan import semconv
from inferspan_collector.cli.doctor.asking import Answer, ask
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong
from inferspan_collector.publish import promql

PART: Final = "jaeger"
DEFAULT: Final = "http://127.0.0.1:16686"
QUALITY: Final = "-quality"
_INCORRECT: Final = {semconv.EVALUATION_OUTCOME: "incorrect"}
_MONITOR: Final = {
    "lookback": "86400000", "step": "60000", "ratePer": "600000",
}  # fmt: skip
_DAY_SECONDS: Final = 86_400
_MINUTE_MS: Final = 60_000
"""A point counts the whole minutes before it: the one after the present has the present minute."""
_QUESTIONS: Final = "/jaeger/prometheus/api/v1/query_range"
_OTHER_NAMES: Final = re.compile(rf"(\w+) is not ({promql.NAMESPACE}\w+)")
"""How inferspan refuses a question for its metric's name; Jaeger passes the words on."""
_NAMES: Final = "normalize_calls and normalize_duration: true, no metric_namespace"
_ENDPOINT: Final = re.compile(r'"apiEndpoint"\s*:\s*"([^"]+)"')
_QUALITY_FIXES: Final = {
    401: "a browser has no token to present there: put a proxy before the API that adds one",
    403: "give the proxy's token the right `read`",
    404: "the path is /jaeger/quality-metrics of inferspan's API (4319)",
}
_MONITORED_MAX: Final = 20
"""Services of which one must have points."""


def examine(url: str | None, api: str, now_ms: int) -> Iterator[Finding]:
    """Ask Jaeger's query service.

    Args:
        url: its page; None = the usual one, which may be missing.
        api: inferspan's API, as this machine knows it.
        now_ms: the current time, Unix ms.
    """
    where = (url or DEFAULT).rstrip("/")
    answer = ask(f"{where}/api/services")
    if not answer.there and url is None:
        yield unknown(PART, DEFAULT, "no Jaeger here", "name it with --jaeger URL, or do without")
        return
    said = answer.json()
    if answer.status != 200 or not isinstance(said, dict) or "data" not in said:
        yield wrong(
            PART, where, answer.said(), "Jaeger's query service", "name it: --jaeger URL (16686)"
        )
        return
    services = sorted(str(name) for name in said["data"] or [])
    yield right(PART, where, f"{len(services)} services")
    quality = [name for name in services if name.endswith(QUALITY)]
    if not quality:
        yield wrong(
            PART, "evaluation spans", "no service called …-quality", "one for each service",
            "set jaeger.otlp of inferspan to Jaeger's OTLP/HTTP endpoint, and send labels",
        )  # fmt: skip
        return
    yield right(PART, "evaluation spans", ", ".join(quality))
    yield from _search(where, quality)
    yield from _monitor(where, api, quality, now_ms)
    yield from _page(where)


def _search(where: str, quality: Sequence[str]) -> Iterator[Finding]:
    """By our own attribute: Jaeger's `error=true` misses traces of its memory store."""
    for service in quality:
        parameters = {"service": service, "tags": json.dumps(_INCORRECT), "limit": "1"}
        answer = ask(f"{where}/api/traces", parameters)
        found = (answer.json() or {}).get("data") if answer.status == 200 else None
        if found:
            yield right(PART, f"{service} mistakes", f"found by {semconv.EVALUATION_OUTCOME}")
        elif found is None:
            yield wrong(
                PART, f"{service} mistakes", answer.said(), "HTTP 200", "look in Jaeger's log"
            )
        else:
            yield unknown(
                PART, f"{service} mistakes", "none found",
                f"search by {semconv.EVALUATION_OUTCOME}=incorrect; error=true misses some",
            )  # fmt: skip


def _monitor(where: str, api: str, quality: Sequence[str], now_ms: int) -> Iterator[Finding]:
    # Jaeger names services for as long as it keeps their traces: some may have been still for days.
    asked = quality[:_MONITORED_MAX]
    for service in asked:
        answer = _measured(where, "calls", service, now_ms)
        if answer.status != 200:
            yield _not_asked(answer)
            return
        if n := _points(answer):
            yield right(PART, "Monitor", f"{n} points of {service}, by prediction time")
            yield from _latency(where, service.removesuffix(QUALITY), now_ms)
            return
    yield _no_points(api, asked, now_ms)


def _measured(where: str, measure: str, service: str, now_ms: int) -> Answer:
    """What the tab Monitor is shown of a service, of the last day."""
    end = str(now_ms + _MINUTE_MS)
    parameters = {**_MONITOR, "endTs": end, "spanKind": "server", "service": service}
    if measure == "latencies":
        parameters["quantile"] = "0.95"
    return ask(f"{where}/api/metrics/{measure}", parameters)


def _points(answer: Answer) -> int:
    metrics = (answer.json() or {}).get("metrics") or []
    return sum(len(metric.get("metricPoints") or []) for metric in metrics)


def _not_asked(answer: Answer) -> Finding:
    """Jaeger cannot answer: it has no metrics storage, asks somebody else, or by other names."""
    if answer.status in (501, 404):
        return wrong(
            PART, "jaeger_query.storage.metrics", answer.said(), "a metrics storage",
            "name one under jaeger_storage.metric_backends whose prometheus.endpoint is "
            "inferspan's API/jaeger/prometheus: collector/jaeger/jaeger.yaml",
        )  # fmt: skip
    body = answer.body.decode("utf-8", "replace")
    if (names := _OTHER_NAMES.search(body)) is not None:
        return wrong(
            PART, "names of Monitor's metrics", f"Jaeger asks for {names[1]}", names[2],
            f"set in its metric_backends.prometheus: {_NAMES}, and no latency_unit",
        )  # fmt: skip
    return wrong(
        PART, "metric_backends.prometheus.endpoint", answer.said(), "an answer of inferspan's",
        "correct the endpoint: API/jaeger/prometheus",
    )  # fmt: skip


def _no_points(api: str, asked: Sequence[str], now_ms: int) -> Finding:
    """An empty tab: whether inferspan, asked the same without Jaeger, has anything to show."""
    question = promql.MonitorQuery("calls", tuple(asked), frozenset(("SERVER",)), 600.0, False)
    parameters = {
        "query": promql.render(question, asked),
        "start": str(now_ms // 1000 - _DAY_SECONDS), "end": str((now_ms + _MINUTE_MS) // 1000),
        "step": "60",
    }  # fmt: skip
    own = ask(f"{api}{_QUESTIONS}", parameters)
    seen = f"no points of {', '.join(asked)}, span kind server, in a day"
    if own.status != 200:
        return wrong(
            PART, "Monitor", seen, "some", f"its backend must ask inferspan, with {_NAMES}; and "
            "jaeger.span_kind is what the page shows",
        )  # fmt: skip
    series = ((own.json() or {}).get("data") or {}).get("result") or []
    if series:
        n = sum(len(one.get("values") or []) for one in series)
        return wrong(
            PART, "Monitor", f"{seen}, where inferspan has {n}", "those of inferspan",
            f"its backend asks somebody else: metric_backends.prometheus.endpoint: {api}"
            "/jaeger/prometheus",
        )  # fmt: skip
    return unknown(
        PART, "Monitor", f"{seen}, and inferspan has none",
        "no prediction of a day has its label yet; where labels take longer: "
        "jaeger.time_axis: label_arrival",
    )  # fmt: skip


def _latency(where: str, service: str, now_ms: int) -> Iterator[Finding]:
    """Durations have names and a unit of their own, which can be wrong where calls are right."""
    answer = _measured(where, "latencies", service, now_ms)
    if answer.status != 200:
        yield _not_asked(answer)
    elif n := _points(answer):
        yield right(PART, "Monitor, latency", f"{n} points of {service}, in ms")
    else:
        yield unknown(PART, "Monitor, latency", f"no call of {service} in a day")


def _page(where: str) -> Iterator[Finding]:
    """The page carries its configuration; a build without assets carries none."""
    name = "Model Quality"
    text = ask(f"{where}/").body.decode("utf-8", "replace")
    if "JAEGER_CONFIG" not in text:
        yield unknown(PART, name, "the page shows no configuration")
        return
    found = _ENDPOINT.search(text)
    if found is None:
        yield wrong(
            PART, name, "no qualityMetrics in the page's configuration",
            "apiEndpoint: API/jaeger/quality-metrics",
            "ui.config_file: collector/jaeger/ui.json",
        )  # fmt: skip
        return
    # As the browser asks it: with the page's origin, and without a token.
    endpoint = urljoin(f"{where}/", found[1])
    answer = ask(endpoint, {"service": "x"}, headers={"Origin": where})
    named = {key.lower(): value for key, value in answer.headers.items()}
    allowed = named.get("access-control-allow-origin")
    if not answer.there:
        # Here is not where browsers are.
        yield unknown(
            PART, name, f"{endpoint}: {answer.said()}", "apiEndpoint is inferspan's API, as "
            "browsers reach it",
        )  # fmt: skip
    elif answer.status != 200 or not isinstance(answer.json(), dict):
        fix = _QUALITY_FIXES.get(answer.status, "look in inferspan's log")
        yield wrong(PART, name, f"{endpoint}: {answer.said()}", "HTTP 200 and JSON", fix)
    elif not endpoint.startswith(f"{where}/") and allowed not in (where, "*"):
        yield wrong(
            PART, name, f"inferspan lets {allowed or 'no other page'} read", where,
            f"set jaeger.ui: {where}",
        )  # fmt: skip
    else:
        yield right(PART, name, f"asks {endpoint}")
