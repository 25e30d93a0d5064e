"""What a model's newest figures show to be wrong, for whoever wants it in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from inferspan_collector.drift.columns import FEATURE
from inferspan_collector.drift.passes import Course
from inferspan_collector.drift.thresholds import Thresholds

METHODS_MIN = 2
"""Methods that must find a column changed: one in many windows goes astray by chance."""


@dataclass(frozen=True, slots=True)
class Alerting:
    """A figure of quality whose whole 95 % interval, [low, high], is outside of its thresholds."""

    version: str | None
    figure: str
    value: float
    low: float
    high: float
    n: int
    thresholds: Thresholds


@dataclass(frozen=True, slots=True)
class Drifted:
    """A figure of a column's drift."""

    version: str | None
    column: str
    method: str
    value: float
    thresholds: Thresholds

    @property
    def outside(self) -> bool:
        """Whether it is outside of its thresholds."""
        return self.thresholds.outside(self.value)


@dataclass(slots=True)
class Noticed:
    """What the newest window of a model shows, in whatever environment and version."""

    window: str = ""
    minimum_n: int = 1
    """How many rows a figure of quality has to rest on."""
    alerting: list[Alerting] = field(default_factory=list)
    drift: list[Drifted] = field(default_factory=list)

    def add_quality(self, version: str | None, figures: Mapping[str, Mapping[str, Any]]) -> None:
        """Note the figures of a window, as the API has them, that are surely outside."""
        for name, figure in figures.items():
            low, high = figure.get("low"), figure.get("high")
            if (
                low is None
                or high is None
                or not figure.get("alert")
                or figure["n"] < self.minimum_n
            ):
                continue
            limits = Thresholds(figure.get("lower_threshold"), figure.get("upper_threshold"))
            if (limits.low is not None and high < limits.low) or (
                limits.high is not None and low > limits.high
            ):
                found = Alerting(version, name, figure["value"], low, high, figure["n"], limits)
                self.alerting.append(found)

    def add_drift(self, version: str | None, column: str, courses: Mapping[str, Course]) -> None:
        """Note the figures of a column over one window that rest on enough rows."""
        for method, course in courses.items():
            value = float(course.values[0])
            if math.isfinite(value) and course.known[0]:
                self.drift.append(Drifted(version, column, method, value, course.thresholds))

    def changed(self) -> dict[tuple[str | None, str], list[Drifted]]:
        """(Version, column) → the methods that find it changed, where those are enough.

        Features come first, those with the most methods before the others: they are likeliest to
        be why.
        """
        found: dict[tuple[str | None, str], list[Drifted]] = {}
        for each in self.drift:
            if each.outside:
                found.setdefault((each.version, each.column), []).append(each)
        enough = {key: each for key, each in found.items() if len(each) >= METHODS_MIN}

        def place(item: tuple[tuple[str | None, str], list[Drifted]]) -> tuple[bool, int]:
            (_, column), methods = item
            return not column.startswith(FEATURE), -len(methods)

        return dict(sorted(enough.items(), key=place))


Notices = Callable[[str], Noticed]
"""From a model to what its newest figures show to be wrong."""
