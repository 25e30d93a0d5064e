"""Our own counters: what was accepted, refused, duplicate, late, unmatched or dropped.

Everything that is limited has a counter here. Counters only grow, by arrival, since this
process started; `publish/prometheus.py` shows them. How long a stage takes is counted too: that
is the one thing here that reads a clock, and it is never the time of day.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from inferspan_collector.slow_calls import SlowCalls

SERIES_MAX: Final = 64
"""Distinct label combinations of one counter; more fold into `__other__`, so that no input can
grow us without bound."""
OTHER: Final = "__other__"
CPU_SAMPLED: Final = 16
"""Of so many uses of a stage, the CPU time of one is taken."""


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter's name (Prometheus form, without `_total`), its labels and its one-line help."""

    name: str
    labels: tuple[str, ...]
    help: str
    scale: float = 1
    """What one of it is in the unit that `/metrics` shows: 1e-9 of what is added up in ns."""


ACCEPTED = Counter(
    "inferspan_accepted_records",
    ("signal", "transport"),
    "Predictions, labels and runs of stages that were committed, and slim records that held some.",
)
REFUSED = Counter(
    "inferspan_refused_records",
    ("signal", "transport", "reason"),
    "Spans, log records or label lines refused for what they contain.",
)
REQUESTS = Counter(
    "inferspan_requests",
    ("transport", "code"),
    "Uploads answered, by transport and status code; of api only what was refused unread.",
)
REFUSED_REQUESTS = Counter(
    "inferspan_refused_requests",
    ("transport", "reason"),
    "Whole requests refused, by the reason; nothing of them was stored.",
)
IGNORED = Counter("inferspan_ignored_spans", ("transport",), "Spans that are not predictions.")
MAPPED = Counter(
    "inferspan_mapped_spans",
    ("mapping",),
    "Spans of other SDKs and servers that a mapping took for predictions or labels.",
)
CLOCK_SKEWED = Counter(
    "inferspan_clock_skewed_predictions",
    ("transport",),
    "Predictions dated more than ten minutes ahead of us; counted at the time of receipt.",
)
DUPLICATES = Counter(
    "inferspan_duplicate_predictions",
    ("kind",),
    "Predictions seen before: retry (same span or its slim record), superseded (another span).",
)
LABELS = Counter(
    "inferspan_labels",
    ("result",),
    "Labels by what became of them; docs/metrics.md says what each result means.",
)
STAGE_RUNS = Counter(
    "inferspan_stage_runs",
    ("result",),
    "Runs of stages and phases by what became of them; docs/metrics.md says what each means.",
)
COMMITS = Counter("inferspan_store_commits", (), "Transactions committed.")
ERASED = Counter(
    "inferspan_erased_rows",
    ("table", "reason"),
    "Rows that left the store by age, size or request; figures of kept windows do not change.",
)
LOGS_CUT = Counter(
    "inferspan_store_logs_cut",
    (),
    "Logs, the journal's among them, that ended in what was never acknowledged, at the start.",
)
SET_ASIDE = Counter(
    "inferspan_store_set_aside_rows",
    (),
    "Acknowledged rows that the store could not take; each is kept in a file of the journal.",
)
COMMIT_FAILURES = Counter("inferspan_store_commit_failures", (), "Transactions that failed.")
PUBLISHED = Counter(
    "inferspan_published_evaluations",
    ("result",),
    "Evaluation spans sent (ok), to be tried again (error), or never taken by Jaeger (rejected).",
)
MONITOR_UPSTREAM = Counter(
    "inferspan_monitor_upstream_requests",
    ("result",),
    "Questions of Jaeger's Monitor asked of jaeger.monitor_upstream: answered (ok) or not (error).",
)
PUBLISHED_METRICS = Counter(
    "inferspan_published_metrics",
    ("result",),
    "Requests of metrics pushed to publish.otlp: taken (ok), in part (rejected) or not (error).",
)
SKIPPED_EVALUATIONS = Counter(
    "inferspan_skipped_evaluations",
    ("reason",),
    "Evaluations that no span was sent for (sampled, rate, outbox_full); all are in the figures.",
)
REBUILT_SPANS = Counter(
    "inferspan_rebuilt_spans",
    ("result",),
    "Wrong predictions without a sampled span: rebuilt beside the evaluation, or left out (rate).",
)
FOLDED = Counter(
    "inferspan_folded_values", ("label",), "Values folded into __other__ by a cardinality limit."
)
CONTAINED = Counter(
    "inferspan_contained_errors", ("where",), "Unexpected errors of ours that were contained."
)
STAGE_TIME = Counter(
    "inferspan_stage_seconds",
    ("stage",),
    "Time that requests and transactions spent in each stage, waiting for the disk included.",
    scale=1e-9,
)
STAGE_CPU = Counter(
    "inferspan_stage_cpu_seconds",
    ("stage",),
    "CPU time of each stage, sampled, of the thread that ran it; the store's own are not in it.",
    scale=1e-9,
)
COUNTERS: Final = (
    ACCEPTED,
    REFUSED,
    REQUESTS,
    REFUSED_REQUESTS,
    IGNORED,
    MAPPED,
    CLOCK_SKEWED,
    DUPLICATES,
    LABELS,
    STAGE_RUNS,
    COMMITS,
    COMMIT_FAILURES,
    ERASED,
    LOGS_CUT,
    SET_ASIDE,
    PUBLISHED,
    MONITOR_UPSTREAM,
    PUBLISHED_METRICS,
    SKIPPED_EVALUATIONS,
    REBUILT_SPANS,
    FOLDED,
    CONTAINED,
    STAGE_TIME,
    STAGE_CPU,
)


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure of this moment, asked for when it is shown: as `Counter`, but it may fall."""

    name: str
    labels: tuple[str, ...]
    help: str


HELD = Gauge(
    "inferspan_held_bytes",
    ("part",),
    "Bytes held now: requests_under_way (bodies and their rows), queue (decoded, not stored yet), "
    "recent_ids (index), links (spans that labels name by a link alone), journal (on disk).",
)
HELD_LIMIT = Gauge(
    "inferspan_held_bytes_limit", ("part",), "What each part may hold; links and journal have none."
)
CONNECTIONS = Gauge("inferspan_connections", (), "HTTP connections open now.")
CONNECTIONS_LIMIT = Gauge("inferspan_connections_limit", (), "How many may be.")
QUEUED = Gauge("inferspan_queued_requests", (), "Requests that wait for the writer.")
GAUGES: Final = (HELD, HELD_LIMIT, CONNECTIONS, CONNECTIONS_LIMIT, QUEUED)


class Telemetry:
    """Thread-safe counters of one collector, and its gauges."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses: dict[str, int] = {}
        self._counts: dict[Counter, dict[tuple[str, ...], int]] = {c: {} for c in COUNTERS}
        self._gauges: dict[tuple[Gauge, tuple[str, ...]], Callable[[], float]] = {}
        self.slow_calls = SlowCalls()
        """Traces of slow calls, for exemplars."""

    def watch(self, gauge: Gauge, read: Callable[[], float], **labels: str) -> None:
        """Show what `read` says, from any thread, whenever somebody asks."""
        key = (gauge, tuple(labels[name] for name in gauge.labels))
        with self._lock:
            self._gauges[key] = read

    def gauges(self) -> Mapping[Gauge, Mapping[tuple[str, ...], float]]:
        """All gauges at one moment."""
        with self._lock:
            watched = dict(self._gauges)
        shown: dict[Gauge, dict[tuple[str, ...], float]] = {}
        for (gauge, labels), read in watched.items():
            shown.setdefault(gauge, {})[labels] = read()
        return shown

    def add(self, counter: Counter, n: int = 1, **labels: str) -> None:
        """Count n more; the labels are those the counter declares, each exactly once."""
        if n == 0:
            return
        key = tuple(labels[name] for name in counter.labels)
        with self._lock:
            counts = self._counts[counter]
            if key not in counts and len(counts) >= SERIES_MAX:
                key = (OTHER,) * len(key)
            counts[key] = counts.get(key, 0) + n

    def begin(self, counter: Counter, **labels: str) -> None:
        """Show a series from the start, at 0: the first that it counts is then an increase."""
        key = tuple(labels[name] for name in counter.labels)
        with self._lock:
            self._counts[counter].setdefault(key, 0)

    @contextmanager
    def timed(self, stage: str, *, rare: bool = False) -> Iterator[None]:
        """Count the time and the CPU time of a block, whether it fails or not.

        Costs some 2 µs, so it stands around whole requests and statements, never around rows.
        A block within another one counts for both. The CPU's clock is read for the first use of a
        stage and for one in `CPU_SAMPLED` after it, which stands for all between: to read it is a
        system call at which a thread loses its turn where others wait for the core. A `rare` one's
        is read each time.
        """
        uses = self._uses.get(stage, 0)
        # Threads may count one use for two: the share that is sampled changes, by nothing.
        self._uses[stage] = uses + 1
        stands_for = 1 if rare or uses == 0 else 0 if uses % CPU_SAMPLED else CPU_SAMPLED
        cpu = time.thread_time_ns() if stands_for else 0
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(STAGE_TIME, time.perf_counter_ns() - began, stage=stage)
            if stands_for:
                self.add(STAGE_CPU, (time.thread_time_ns() - cpu) * stands_for, stage=stage)

    def get(self, counter: Counter, **labels: str) -> int:
        """What one series has counted; labels left out are summed over."""
        wanted = [(i, labels[name]) for i, name in enumerate(counter.labels) if name in labels]
        with self._lock:
            counts = dict(self._counts[counter])
        return sum(n for key, n in counts.items() if all(key[i] == text for i, text in wanted))

    def snapshot(self) -> Mapping[Counter, Mapping[tuple[str, ...], int]]:
        """All counters at one moment."""
        with self._lock:
            return MappingProxyType({c: dict(counts) for c, counts in self._counts.items()})
