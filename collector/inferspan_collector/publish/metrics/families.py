"""Series of a metric held within a limit: the rest is folded into `__other__`, never lost."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Final, TypeVar

from prometheus_client.core import GaugeMetricFamily

from inferspan_collector.store.cells import SERIES_KEYS
from inferspan_collector.telemetry import FOLDED, OTHER, Telemetry

Labels = tuple[str, ...]
"""Label values, in the order of the metric's label names."""
SERIES: Final = ("environment", "service", "model", "version", "variant")
"""Labels of what is counted by arrival."""
GROUP: Final = ("environment", "model", "version")
"""Labels of gauges."""
_SERIES_AT: Final = [SERIES_KEYS.index(key) for key in SERIES]
_GROUP_AT: Final = [SERIES_KEYS.index(key) for key in GROUP]
_T = TypeVar("_T")


def label(text: str | None) -> str:
    """A label's value: absent is empty, as Prometheus has it; always encodable as UTF-8."""
    return (text or "").encode("utf-8", "replace").decode("utf-8")


def series_labels(texts: tuple[str | None, ...]) -> Labels:
    """The values of `SERIES`, of texts of `SERIES_KEYS`."""
    return tuple(label(texts[at]) for at in _SERIES_AT)


def group_labels(texts: tuple[str | None, ...]) -> Labels:
    """The values of `GROUP`, of texts of `SERIES_KEYS`."""
    return tuple(label(texts[at]) for at in _GROUP_AT)


def top(sizes: Mapping[Labels, int], room: int, beside: Collection[Labels] = ()) -> set[Labels]:
    """The `room` largest series beside those in `beside`, ties in the order of their texts."""
    others = [key for key in sizes if key not in beside]
    others.sort(key=lambda key: (-sizes[key], key))
    return set(others[: max(0, room)])


def fold(series: Mapping[Labels, _T], own: Collection[Labels]) -> dict[Labels, list[_T]]:
    """Gather what stands outside `own` under one series, all of whose labels are `__other__`.

    Returns:
        Label values → what is to be added up: one value, or all the folded ones.
    """
    folded: dict[Labels, list[_T]] = {}
    for key, value in series.items():
        place = key if key in own else (OTHER,) * len(key)
        folded.setdefault(place, []).append(value)
    return folded


class Admission:
    """Which series of a counter have their own place: first come, first served, for good.

    A series of a counter must not wander in and out of the rest; of those that come together the
    largest are first.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._lock = threading.Lock()
        self._admitted: set[Labels] = set()

    def admit(self, sizes: Mapping[Labels, int]) -> frozenset[Labels]:
        """All that have a place, these among them as far as there is room."""
        with self._lock:
            left = self._room - len(self._admitted)
            self._admitted |= top(sizes, left, beside=self._admitted)
            return frozenset(self._admitted)


class Folding:
    """Counts values that a limit folds, each once and not once a scrape."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._lock = threading.Lock()
        self._most: dict[str, int] = {}

    def count(self, what: str, folded: int) -> None:
        """Note that so many values of a kind are folded now: what is beyond the most so far."""
        with self._lock:
            more = folded - self._most.get(what, 0)
            if more > 0:
                self._most[what] = folded
        if more > 0:
            self._telemetry.add(FOLDED, more, label=f"metrics:{what}")


def leave_out(values: dict[Labels, float], room: int, folding: Folding, what: str) -> None:
    """Leave out what is beyond the limit, and count it: for values that do not add up."""
    beyond = sorted(values)[room:]
    folding.count(what, len(beyond))
    for key in beyond:
        del values[key]


def gauge(
    name: str, text: str, labels: tuple[str, ...], values: Mapping[Labels, float]
) -> GaugeMetricFamily:
    """A gauge and its samples."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def capped(
    name: str,
    text: str,
    labels: tuple[str, ...],
    values: Mapping[Labels, int],
    room: int,
    folding: Folding,
) -> GaugeMetricFamily:
    """A gauge of numbers that add up: the largest have their own series, the rest share one."""
    own = top(values, room)
    folding.count(name.removeprefix("inferspan_"), len(values) - len(own))
    added = {key: float(sum(parts)) for key, parts in fold(values, own).items()}
    return gauge(name, text, labels, added)
