"""What a model's newest figures show to be wrong, for whoever wants it in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferspan_collector.drift.columns import FEATURE
from inferspan_collector.drift.passes import Course

Thresholds = tuple[float | None, float | None]
"""The lower and the upper one; None = none on that side."""
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
    """A figure of a column's drift; `outside` of its thresholds or not."""

    version: str | None
    column: str
    method: str
    value: float
    thresholds: Thresholds
    outside: bool


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
            least, most = figure.get("lower_threshold"), figure.get("upper_threshold")
            if (least is not None and high < least) or (most is not None and low > most):
                found = Alerting(
                    version, name, figure["value"], low, high, figure["n"], (least, most)
                )
                self.alerting.append(found)

    def add_drift(self, version: str | None, column: str, courses: Mapping[str, Course]) -> None:
        """Note the figures of a column over one window."""
        for method, course in courses.items():
            value, limits = float(course.values[0]), course.thresholds
            if math.isfinite(value):
                self.drift.append(
                    Drifted(
                        version, column, method, value, (limits.low, limits.high),
                        bool(course.alerts[0]),
                    )
                )  # fmt: skip

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
