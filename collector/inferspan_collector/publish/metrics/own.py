"""About this process and its store."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from inferspan_collector.publish.metrics.families import (
    SERIES,
    Folding,
    Labels,
    capped,
    label,
    series_labels,
)
from inferspan_collector.store.reader import Reader
from inferspan_collector.store.sizes import Sizes
from inferspan_collector.telemetry import Telemetry


def counters(telemetry: Telemetry) -> Iterator[Metric]:
    """What this process has counted."""
    for counter, counts in telemetry.snapshot().items():
        family = CounterMetricFamily(counter.name, counter.help, labels=counter.labels)
        if not counter.labels and not counts:
            family.add_metric((), 0)
        for labels, n in sorted(counts.items()):
            family.add_metric([label(text) for text in labels], n * counter.scale)
        yield family


def gauges(telemetry: Telemetry) -> Iterator[Metric]:
    """How it is now."""
    for gauge, values in telemetry.gauges().items():
        family = GaugeMetricFamily(gauge.name, gauge.help, labels=gauge.labels)
        for labels, number in sorted(values.items()):
            family.add_metric(labels, number)
        yield family


def held(reader: Reader, now_ns: int, room: int, folding: Folding) -> list[Metric]:
    """Predictions in the store, and labels that wait."""
    stored: dict[Labels, int] = {}
    for cell in reader.stored_predictions():
        key = (*series_labels(cell.series), "error" if cell.failed else "ok")
        stored[key] = stored.get(key, 0) + cell.n
    waiting: dict[Labels, int] = {}
    for model, n in reader.waiting_labels(now_ns).items():
        waiting[(label(model),)] = waiting.get((label(model),), 0) + n
    return [
        capped(
            "inferspan_stored_predictions",
            "Predictions held in the store, each counted once.",
            (*SERIES, "status"),
            stored,
            room,
            folding,
        ),
        capped(
            "inferspan_join_pending",
            "Labels that wait for their prediction.",
            ("model",),
            waiting,
            room,
            folding,
        ),
    ]


def sizes(measured: Sizes) -> list[Metric]:
    """What the store takes on disk and in rows."""
    stored = GaugeMetricFamily(
        "inferspan_store_bytes", "What the store takes on disk.", labels=("part",)
    )
    free = GaugeMetricFamily(
        "inferspan_store_disk_free_bytes", "What is free where the store lies."
    )
    rows = GaugeMetricFamily(
        "inferspan_store_rows", "Rows of the store's tables.", labels=("table",)
    )
    until = GaugeMetricFamily(
        "inferspan_retention_held_until_seconds",
        "Until when nothing is erased by age, for the clock jumped (Unix time); 0 = it is.",
    )
    until.add_metric((), measured.held_until / 1e9)
    for part, n in measured.bytes.items():
        stored.add_metric((part,), n)
    free.add_metric((), measured.disk_free)
    for table, n in measured.rows.items():
        rows.add_metric((table,), n)
    return [stored, free, rows, until]
