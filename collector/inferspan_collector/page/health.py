"""Our own health: whether what is sent arrives, is kept, and goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inferspan_collector.config import Config
from inferspan_collector.health_limits import DISK_FREE_BYTES_MIN, FULL_SHARE, MEANT_TO_FILL
from inferspan_collector.page import wording
from inferspan_collector.store import unmatched
from inferspan_collector.submission import Queries
from inferspan_collector.telemetry import (
    ACCEPTED,
    COMMIT_FAILURES,
    CONTAINED,
    HELD,
    HELD_LIMIT,
    MONITOR_UPSTREAM,
    PUBLISHED,
    PUBLISHED_METRICS,
    QUEUED,
    REFUSED,
    REFUSED_REQUESTS,
    SET_ASIDE,
    Counter,
    Telemetry,
)

OK: Final = "ok"
LOOK: Final = "look"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that is well, or that somebody should look at."""

    name: str
    value: str
    state: str = OK
    """`ok` or `look`."""
    remedy: str = ""
    """What to do about it."""


def lines(queries: Queries, telemetry: Telemetry, config: Config) -> list[Line]:
    """Everything that is worth a line, since this process started.

    Raises:
        duckdb.Error, OSError: the store cannot be read.
    """
    return [
        _writer(queries),
        Line(
            "accepted since the start",
            f"{_n(telemetry, ACCEPTED, signal='predictions')} predictions, "
            f"{_n(telemetry, ACCEPTED, signal='labels')} labels",
        ),
        _refused(telemetry),
        _failures(telemetry),
        *_waiting(queries),
        _store(queries),
        *_held(telemetry),
        _jaeger(telemetry, config),
        *_asked_and_pushed(telemetry, config),
    ]


def _n(telemetry: Telemetry, counter: Counter, **labels: str) -> str:
    return wording.count(telemetry.get(counter, **labels))


def _writer(queries: Queries) -> Line:
    if queries.alive:
        return Line("answers", "the store is read and written")
    return Line(
        "answers", "the writer does not run", LOOK, "start the collector again; its log says why"
    )


def _refused(telemetry: Telemetry) -> Line:
    records, requests = telemetry.get(REFUSED), telemetry.get(REFUSED_REQUESTS)
    value = f"{wording.count(records)} records, {wording.count(requests)} requests"
    if not records and not requests:
        return Line("refused", value)
    reasons: dict[str, int] = {}
    for counter in (REFUSED, REFUSED_REQUESTS):
        place = counter.labels.index("reason")
        for key, n in telemetry.snapshot()[counter].items():
            reasons[key[place]] = reasons.get(key[place], 0) + n
    loudest = sorted(reasons.items(), key=lambda each: -each[1])[:4]
    why = ", ".join(f"{reason} {n:,}" for reason, n in loudest)
    return Line("refused", f"{value}: {why}", LOOK, "the sender's log has the rule and the remedy")


def _failures(telemetry: Telemetry) -> Line:
    failed, contained = telemetry.get(COMMIT_FAILURES), telemetry.get(CONTAINED)
    aside = telemetry.get(SET_ASIDE)
    value = f"{failed:,} transactions failed, {contained:,} errors contained, {aside:,} rows aside"
    if failed or contained or aside:
        return Line("inside", value, LOOK, "the collector's log says what happened")
    return Line("inside", "no transaction failed, no unexpected error")


def _waiting(queries: Queries) -> list[Line]:
    waiting = queries.stored.waiting_labels(queries.now_ns() - unmatched.AFTER_NS)
    found = sorted(waiting.items(), key=lambda each: -each[1])[:5]
    return [
        Line(
            f"labels of {name or 'no model'} without a prediction",
            wording.count(n),
            LOOK,
            "compare ids and model names: inferspan labels push --dry-run says which are unknown",
        )
        for name, n in found
        if n
    ]


def _store(queries: Queries) -> Line:
    sizes = queries.stored.sizes()
    taken, free = sum(sizes.bytes.values()), sizes.disk_free
    value = f"{wording.size(taken)} on disk, {wording.size(free)} free"
    if free < DISK_FREE_BYTES_MIN:
        return Line("store", value, LOOK, "make room, or keep rows for a shorter time")
    return Line("store", value)


def _held(telemetry: Telemetry) -> list[Line]:
    gauges = telemetry.gauges()
    limits = gauges.get(HELD_LIMIT, {})
    found = []
    for key, held in gauges.get(HELD, {}).items():
        limit = limits.get(key, 0)
        if key[0] not in MEANT_TO_FILL and held > FULL_SHARE * limit > 0:
            value = f"{wording.size(held)} of {wording.size(limit)}"
            found.append(Line(f"held: {key[0]}", value, LOOK, "senders are asked to come again"))
    queued = sum(gauges.get(QUEUED, {}).values())
    return [*found, Line("waiting for the writer", f"{wording.count(queued)} requests")]


def _jaeger(telemetry: Telemetry, config: Config) -> Line:
    if config.jaeger.otlp is None:
        return Line("Jaeger", "no evaluation spans are sent (jaeger.otlp is not set)")
    sent = _n(telemetry, PUBLISHED, result="ok")
    errors = telemetry.get(PUBLISHED, result="error")
    rejected = telemetry.get(PUBLISHED, result="rejected")
    value = f"{sent} evaluation spans sent"
    if errors or rejected:
        value += f", {errors:,} to be tried again, {rejected:,} never taken"
        return Line("Jaeger", value, LOOK, f"is {config.jaeger.otlp} up, and OTLP/HTTP?")
    return Line("Jaeger", value)


def _asked_and_pushed(telemetry: Telemetry, config: Config) -> list[Line]:
    """The Prometheus behind Jaeger's Monitor, and where metrics go, where there are such."""
    found = []
    for called, address, key, counter in (
        ("Monitor's other services", config.jaeger.monitor_upstream, "jaeger.monitor_upstream",
         MONITOR_UPSTREAM),
        ("metrics pushed", config.publish.otlp, "publish.otlp", PUBLISHED_METRICS),
    ):  # fmt: skip
        if address is None:
            continue
        well = telemetry.get(counter, result="ok")
        ill = telemetry.get(counter) - well
        value = f"{well:,} requests answered" + (f", {ill:,} not" if ill else "")
        remedy = f"is {address} ({key}) up? The collector's log has its answer" if ill else ""
        found.append(Line(called, value, LOOK if ill else OK, remedy))
    return found
