"""The gateway: a stock OpenTelemetry Collector, by the metrics that it has of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from inferspan_collector.cli.doctor.asking import Samples, ask, samples, total
from inferspan_collector.cli.doctor.finding import Finding, right, unknown, wrong

PART: Final = "gateway"
DEFAULT: Final = "http://127.0.0.1:8888/metrics"
OURS: Final = "inferspan"
_FULL: Final = 0.8
_LOST: Final = 0.99


def examine(url: str | None) -> Iterator[Finding]:
    """Ask for its metrics; one that nobody named may be missing.

    Args:
        url: its metrics' address; None = the usual one.
    """
    answer = ask(url or DEFAULT)
    if not answer.there and url is None:
        yield unknown(
            PART, DEFAULT, "no gateway here", "name one with --gateway URL, or do without"
        )
        return
    found = samples(answer.body.decode("utf-8", "replace")) if answer.status == 200 else {}
    if not any(name.startswith("otelcol_") for name in found):
        yield wrong(
            PART, url or DEFAULT, answer.said(), "metrics named otelcol_…",
            "name its telemetry address: service.telemetry.metrics, GATEWAY_METRICS_PORT",
        )  # fmt: skip
        return
    yield right(PART, url or DEFAULT, "a Collector's metrics")
    names = {
        labels["exporter"]
        for series in found.values()
        for labels, _ in series
        if "exporter" in labels
    }
    ours = sorted(name for name in names if OURS in name)
    if not ours:
        yield wrong(
            PART, "exporters", ", ".join(sorted(names)) or "none", f"one called …/{OURS}",
            "send to inferspan before any sampler: collector/otelcol/gateway.yaml",
        )  # fmt: skip
        return
    for exporter in ours:
        yield from _exporter(found, exporter)


def _exporter(found: Samples, exporter: str) -> Iterator[Finding]:
    failed = sum(
        total(found, f"otelcol_exporter_send_failed_{signal}", exporter=exporter)
        for signal in ("spans", "log_records")
    )
    if failed:
        yield wrong(
            PART, f"{exporter} send_failed", f"{failed:,.0f} lost", "0",
            "a 4xx answer is for good, and max_elapsed_time gives up: set retry_on_failure."
            "max_elapsed_time: 0s; its log says which answer it was",
        )  # fmt: skip
    else:
        yield right(PART, f"{exporter} send_failed", "nothing lost")
    full = sum(
        total(found, f"otelcol_exporter_enqueue_failed_{signal}", exporter=exporter)
        for signal in ("spans", "log_records")
    )
    size = total(found, "otelcol_exporter_queue_size", exporter=exporter)
    capacity = total(found, "otelcol_exporter_queue_capacity", exporter=exporter)
    if capacity == 0:
        yield wrong(
            PART, f"{exporter} sending_queue", "none", "one on disk",
            "an outage of inferspan loses spans: sending_queue.storage: file_storage",
        )  # fmt: skip
    elif full or size > _FULL * capacity:
        yield wrong(
            PART, f"{exporter} sending_queue", f"{size:,.0f} of {capacity:,.0f}, {full:,.0f} did "
            "not fit", f"below {_FULL:.0%} of it",
            "inferspan is away or too slow; raise queue_size, and look at its /readyz",
        )  # fmt: skip
    else:
        yield right(
            PART, f"{exporter} sending_queue", f"{size:,.0f} of {capacity:,.0f}; that it is on "
            "disk says sending_queue.storage, no metric does",
        )  # fmt: skip
    accepted = total(found, "otelcol_receiver_accepted_spans")
    sent = total(found, "otelcol_exporter_sent_spans", exporter=exporter)
    if size == 0 and not failed and accepted and sent < _LOST * accepted:
        yield wrong(
            PART, f"{exporter} sent_spans", f"{sent:,.0f} of {accepted:,.0f} received", "all",
            "a sampler or a filter stands before it; accuracy of sampled traces is biased: put it "
            "into the pipeline of Jaeger alone",
        )  # fmt: skip
    else:
        yield right(PART, f"{exporter} sent_spans", f"{sent:,.0f} of {accepted:,.0f} received")
