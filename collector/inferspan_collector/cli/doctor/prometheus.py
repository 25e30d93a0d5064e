"""Prometheus: whether it scrapes us, once, under the right names, and what it does to counters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from inferspan_collector.cli.doctor.asking import ask
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong
from inferspan_collector.publish import promql

PART: Final = "prometheus"
DEFAULT: Final = "http://127.0.0.1:9090"
COUNTER: Final = "inferspan_quality_outcomes_total"
GAUGE: Final = "inferspan_quality_score"
_OWN: Final = "environment, service, model, version, variant, target, outcome, predicted, actual"
"""All labels that we give it: those of a scrape tell copies apart."""
_COPIES: Final = f"count by ({_OWN}) ({COUNTER}) > 1"
_RESETS: Final = f"sum(resets({COUNTER}[1d]))"
_SPANMETRICS: Final = (
    'count({__name__=~"traces_span_metrics_calls(_total)?",service_name=~".+-quality"})'
)
_SLOW: Final = 0.5
_DURATION: Final = re.compile(r"([0-9.]+)(ms|[smhd])")
_EXPORTED: Final = f'count({COUNTER}{{exported_service!=""}})'


def examine(url: str | None) -> Iterator[Finding]:
    """Ask its API.

    Args:
        url: its address; None = the usual one, which may be missing.
    """
    where = (url or DEFAULT).rstrip("/")
    answer = ask(f"{where}/api/v1/targets", {"state": "active"})
    if not answer.there and url is None:
        yield unknown(
            PART, DEFAULT, "no Prometheus here", "name it with --prometheus URL, or do without"
        )
        return
    said = answer.json()
    if answer.status != 200 or not isinstance(said, dict) or said.get("status") != "success":
        yield wrong(
            PART, where, answer.said(), "Prometheus' API", "name it: --prometheus URL (9090)"
        )
        return
    yield from _targets(where, said["data"].get("activeTargets") or [])
    n = _value(where, f"count({COUNTER})")
    if n is None:
        yield wrong(
            PART, COUNTER, "not there", "one series or more",
            "add the scrape job of collector/prometheus/prometheus.yml: inferspan's API, /metrics",
        )  # fmt: skip
        return
    yield right(PART, COUNTER, f"{n:.0f} series, by arrival: a late label counts when it comes")
    yield from _gauges(where)
    yield from _series(where)
    yield from _flags(where)


def _gauges(where: str) -> Iterator[Finding]:
    """The corrected state: what a counter by arrival cannot say."""
    if n := _value(where, f"count({GAUGE})"):
        yield right(PART, GAUGE, f"{n:.0f} series, by prediction time, corrections applied")
    else:
        yield unknown(
            PART, GAUGE, "not there: no figure of publish.quality_windows is known",
            "labels of the last hour and day make it; alert on it, not on counters",
        )  # fmt: skip


def _targets(where: str, targets: list[dict[str, Any]]) -> Iterator[Finding]:
    ours = [
        target
        for target in targets
        if "inferspan" in str(target.get("labels", {}).get("job", ""))
        or ":4319/" in str(target.get("scrapeUrl", ""))
    ]
    if not ours:
        jobs = sorted({str(target.get("labels", {}).get("job")) for target in targets})
        yield wrong(
            PART, "scrape job", ", ".join(jobs) or "none", "one of inferspan's API, /metrics",
            "add it: collector/prometheus/prometheus.yml",
        )  # fmt: skip
    for target in ours:
        name = str(target.get("scrapeUrl"))
        if target.get("health") == "up":
            yield right(PART, name, "up")
            yield from _scrape(where, name, target)
        else:
            yield wrong(
                PART, name, f"{target.get('health')}: {target.get('lastError', '')}", "up",
                "correct its address; with tokens: authorization with the right `read`",
            )  # fmt: skip


def _scrape(where: str, name: str, target: dict[str, Any]) -> Iterator[Finding]:
    """How long a scrape takes, of what it may take, and how many series one brings."""
    labels = target.get("labels", {})
    chosen = ",".join(f"{key}={json.dumps(labels.get(key, ''))}" for key in ("job", "instance"))
    samples = _value(where, f"scrape_samples_scraped{{{chosen}}}")
    took, allowed = target.get("lastScrapeDuration"), _seconds(target.get("scrapeTimeout"))
    if took is None or allowed is None or samples is None:
        return
    seen = f"{samples:,.0f} samples every {target.get('scrapeInterval')}, in {took:.2f} s"
    if took > _SLOW * allowed:
        yield wrong(
            PART, f"{name} scrape", f"{seen} of {allowed:g} s", f"below {_SLOW:.0%} of "
            "scrape_timeout", "raise scrape_interval and scrape_timeout, or lower "
            "limits.metric_series",
        )  # fmt: skip
    else:
        yield right(PART, f"{name} scrape", seen)


def _seconds(text: object) -> float | None:
    """A duration of Prometheus' configuration; None where it is none, or absent."""
    found = _DURATION.findall(str(text))
    return sum(float(n) * promql.UNIT_SECONDS[unit] for n, unit in found) if found else None


def _series(where: str) -> Iterator[Finding]:
    if _value(where, _EXPORTED):
        yield wrong(
            PART, "honor_labels", "series have exported_service", "honor_labels: true",
            "set it in the scrape job: `service` and `environment` are the model's",
        )  # fmt: skip
    else:
        yield right(PART, "honor_labels", "labels are the model's own")
    copies = _value(where, f"count({_COPIES})")
    if copies:
        yield wrong(
            PART, "copies", f"{copies:.0f} series come from more than one target", "0",
            "scrape each collector once; sums over them count twice",
        )  # fmt: skip
    else:
        yield right(PART, "copies", "every series comes from one collector")
    resets = _value(where, _RESETS)
    if resets:
        yield wrong(
            PART, "resets of counters", f"{resets:.0f} in a day", "0",
            "counters are kept in the store: is its directory a volume that lasts, or do two "
            "collectors answer at one address?",
        )  # fmt: skip
    else:
        yield right(PART, "resets of counters", "none in a day")
    double = _value(where, _SPANMETRICS)
    if double:
        yield wrong(
            PART, "spanmetrics", f"{double:.0f} series of evaluation spans", "0",
            "leave the scopes inferspan.* out of that connector: Monitor counts them twice",
        )  # fmt: skip


def _flags(where: str) -> Iterator[Finding]:
    flags = (ask(f"{where}/api/v1/status/flags").json() or {}).get("data") or {}
    if "exemplar-storage" in str(flags.get("enable-feature", "")):
        yield right(PART, "exemplars", "kept: mistakes link to their traces")
    else:
        yield unknown(
            PART, "exemplars", "not kept", "start it with --enable-feature=exemplar-storage"
        )


def _value(where: str, query: str) -> float | None:
    """The one number of an instant query; None where it finds nothing."""
    said = ask(f"{where}/api/v1/query", {"query": query}).json()
    try:
        return float(said["data"]["result"][0]["value"][1])
    except (KeyError, IndexError, TypeError, ValueError):
        return None
