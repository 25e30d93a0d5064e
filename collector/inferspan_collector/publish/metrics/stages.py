"""How long the steps of predictions took, by arrival: a histogram that only grows.

The store has counted them since it began, each run once, so a restart loses nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from inferspan_collector.batches import Int64
from inferspan_collector.config import Config
from inferspan_collector.latency_sketch import bucket_values_ns
from inferspan_collector.publish.metrics.arrivals import EDGES_NS, LE
from inferspan_collector.publish.metrics.families import (
    SERIES,
    Admission,
    Folding,
    Labels,
    fold,
    label,
    series_labels,
)
from inferspan_collector.store.reader import Reader

STEP: Final = (*SERIES, "stage", "phase")


@dataclass(slots=True, eq=False)
class _Runs:
    """Runs of one step."""

    buckets: Int64
    covered: int = 0
    duration_ns: float = 0.0

    @classmethod
    def none(cls) -> _Runs:
        return cls(np.zeros(len(LE), np.int64))

    def add(self, other: _Runs) -> None:
        self.buckets += other.buckets
        self.covered += other.covered
        self.duration_ns += other.duration_ns


class Stages:
    """Makes the series anew at every scrape.

    Args:
        config: limits.
        folding: counts what a limit folds.
    """

    def __init__(self, config: Config, folding: Folding) -> None:
        self._folding = folding
        # A histogram's buckets are series, too.
        self._admitted = Admission(max(1, config.limits.metric_series // (len(LE) + 2)))

    def families(self, reader: Reader) -> list[Metric]:
        """The histogram, and how many predictions it has seen a run of.

        Raises:
            duckdb.Error: the store cannot be read.
        """
        steps = _steps(reader)
        admitted = self._admitted.admit({key: int(r.buckets.sum()) for key, r in steps.items()})
        self._folding.count("stages", len(steps.keys() - admitted))
        durations = HistogramMetricFamily(
            "inferspan_stage_duration_seconds",
            "How long stages and phases of recorded traces took, by arrival.",
            labels=STEP,
            unit="seconds",
        )
        covered = CounterMetricFamily(
            "inferspan_stage_predictions",
            "Predictions of which a run of the stage or phase was recorded, by arrival.",
            labels=STEP,
        )
        for key, parts in fold(steps, admitted).items():
            total = _Runs.none()
            for part in parts:
                total.add(part)
            cumulative = np.cumsum(total.buckets).tolist()
            shown = list(zip(LE, map(float, cumulative), strict=True))
            durations.add_metric(key, shown, total.duration_ns / 1e9)
            covered.add_metric(key, total.covered)
        return [durations, covered]


def _steps(reader: Reader) -> dict[Labels, _Runs]:
    found = reader.stage_arrivals()
    # Of a bucket that an edge lies in, the value that stands for it decides.
    places = np.searchsorted(np.array(EDGES_NS), bucket_values_ns(found.bucket), "left")
    steps: dict[Labels, _Runs] = {}
    for row, (texts, stage, phase) in enumerate(
        zip(found.series, found.stage, found.phase, strict=True)
    ):
        key = (*series_labels(texts), label(stage), label(phase))
        runs = steps.setdefault(key, _Runs.none())
        runs.buckets[places[row]] += found.n[row]
        runs.covered += int(found.covered[row])
        runs.duration_ns += float(found.duration_ns[row])
    return steps
