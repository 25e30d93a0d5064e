"""Jaeger: whether evaluation spans arrive, and whether Monitor and the quality page ask us."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import quote

from inferspan import semconv
from inferspan_collector.cli.doctor.asking import ask
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong

PART: Final = "jaeger"
DEFAULT: Final = "http://127.0.0.1:16686"
QUALITY: Final = "-quality"
_INCORRECT: Final = {semconv.EVALUATION_OUTCOME: "incorrect"}
_MONITOR: Final = {
    "endTs": "", "lookback": "86400000", "step": "60000", "ratePer": "600000",
}  # fmt: skip
_NAMES: Final = "normalize_calls and normalize_duration: true, no metric_namespace"
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
    yield from _monitor(where, quality, now_ms)
    yield from _page(where, api)


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


def _monitor(where: str, quality: Sequence[str], now_ms: int) -> Iterator[Finding]:
    parameters = {**_MONITOR, "endTs": str(now_ms), "spanKind": "server"}
    # Jaeger names services for as long as it keeps their traces: some may have been still for days.
    asked = quality[:_MONITORED_MAX]
    for service in asked:
        answer = ask(f"{where}/api/metrics/calls", {**parameters, "service": service})
        if answer.status in (501, 404):
            yield wrong(
                PART, "jaeger_query.storage.metrics", answer.said(), "a metrics storage",
                "name one under jaeger_storage.metric_backends whose prometheus.endpoint is "
                "inferspan's API/jaeger/prometheus: collector/jaeger/jaeger.yaml",
            )  # fmt: skip
            return
        if answer.status != 200:
            yield wrong(
                PART, "metric_backends.prometheus.endpoint", answer.said(),
                "an answer of inferspan's", "correct the endpoint: API/jaeger/prometheus",
            )  # fmt: skip
            return
        points = [
            point
            for metric in (answer.json() or {}).get("metrics") or []
            for point in metric.get("metricPoints") or []
        ]
        if points:
            yield right(PART, "Monitor", f"{len(points)} points of {service}, by prediction time")
            return
    yield wrong(
        PART, "Monitor", f"no points of {', '.join(asked)}, span kind server, in a day", "some",
        f"its backend must ask inferspan, with {_NAMES}; and jaeger.span_kind is what the "
        "page shows",
    )  # fmt: skip


def _page(where: str, api: str) -> Iterator[Finding]:
    """The page carries its configuration; a build without assets carries none."""
    answer = ask(f"{where}/")
    text = answer.body.decode("utf-8", "replace")
    if "JAEGER_CONFIG" not in text:
        yield unknown(PART, "Model Quality", "the page shows no configuration")
    elif "qualityMetrics" in text and "/jaeger/quality-metrics" in text:
        path = f"{api}/jaeger/quality-metrics"
        own = ask(path, {"service": "x"}, headers={"Origin": where})
        allowed = own.headers.get("access-control-allow-origin") or own.headers.get(
            "Access-Control-Allow-Origin"
        )
        if own.status in (200, 404) and allowed not in (where, "*"):
            yield wrong(
                PART, "Model Quality", f"inferspan lets {allowed or 'no other page'} read", where,
                f"set jaeger.ui: {where}",
            )  # fmt: skip
        else:
            yield right(PART, "Model Quality", f"asks {quote(path, safe=':/')}")
    else:
        yield wrong(
            PART, "Model Quality", "no qualityMetrics in the page's configuration",
            "apiEndpoint: API/jaeger/quality-metrics",
            "ui.config_file: collector/jaeger/ui.json",
        )  # fmt: skip
