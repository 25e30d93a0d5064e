"""What a reader chose: model, time, version, slice; and the addresses of other choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from inferspan_collector.page.asking import MODELS, Json, Question
from inferspan_collector.publish.parameters import (
    MINUTES,
    BadParameter,
    choice,
    minute,
    minutes_range,
)
from inferspan_collector.store.cells import MINUTE_NS

RANGES: Final[Mapping[str, tuple[str, int | None]]] = {
    "1h": ("hour", 60),
    "6h": ("6 hours", 360),
    "24h": ("24 hours", 1440),
    "7d": ("7 days", 7 * 1440),
    "30d": ("30 days", 30 * 1440),
    "all": ("all", None),
}
"""Name → what it is called, and minutes back from now; None = all there is."""
DEFAULT_RANGE: Final = "24h"
WINDOWS: Final = tuple(name for name, minutes in MINUTES.items() if minutes is not None)
"""Lengths of windows that charts are cut into."""
WINDOWS_LEAST: Final = 6
WINDOWS_WANTED: Final = 200
"""Windows that a chart is cut into at least and at most, where the reader says nothing."""
LISTS: Final = ("incorrect", "failed", "unlabeled", "correct")
NAMES: Final = (
    "range", "from", "to", "every", "version", "environment", "service", "target", "figure", "by",
    "value", "list", "predicted", "expected",
)  # fmt: skip
AUTOMATIC: Final = "auto"
"""Of `every` and `figure`: whatever fits."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A model in a time; everything else narrows it down."""

    model: str
    start: int
    """Unix minute."""
    end: int
    every: str
    """One of `MINUTES`, never `all`."""
    given: Mapping[str, str]
    """The parameters as they were given, empty ones left out."""
    empty: bool = False
    """Whether the model predicted nothing in the time that was asked for."""

    @property
    def minutes(self) -> int:
        """The length of a window."""
        return MINUTES[self.every] or 1

    @property
    def range(self) -> str | None:
        """The one of `RANGES` that is shown; None where `from` or `to` is given."""
        if "from" in self.given or "to" in self.given:
            return None
        return self.given.get("range", DEFAULT_RANGE)

    @property
    def slice_key(self) -> str | None:
        """The slice whose values are compared."""
        return self.given.get("by")

    @property
    def slice_value(self) -> str | None:
        """The value of that slice which everything is narrowed down to that can be."""
        return self.given.get("value") if "by" in self.given else None

    def get(self, name: str) -> str | None:
        """A parameter as it was given."""
        return self.given.get(name)

    def ask(self, endpoint: str, **parameters: str | None) -> Question:
        """A question to the API about what was chosen."""
        narrowed = {
            name: self.given.get(name) for name in ("version", "environment", "service", "target")
        }
        times = {"from_": str(self.start * 60), "to_": str(self.end * 60)}
        return Question.of(self.model, endpoint, **{**times, **narrowed, **parameters})

    def sliced(self, endpoint: str) -> str | None:
        """The address of the API's answer for the chosen slice alone; None where none is chosen."""
        if self.slice_value is None:
            return None
        slice_of = {f"slice.{self.slice_key}": self.slice_value}
        asked = self.ask(endpoint, every=self.every, **slice_of).parameters
        return f"{MODELS}/{quote(self.model, safe='')}/{endpoint}?{urlencode(asked)}"

    def url(self, part: str | None = None, **changes: str | None) -> str:
        """The address of this choice with some parameters changed; None leaves one out.

        Args:
            part: of a single part of the page, instead of the page.
            changes: `from_` is `from`.
        """
        changed = {name.rstrip("_"): value for name, value in changes.items()}
        merged: dict[str, Any] = {**self.given, **changed}
        return address(self.model, part, {k: v for k, v in merged.items() if v is not None})

    def without_time(self) -> str:
        """This choice over all there is."""
        return self.url(range="all", from_=None, to=None)


def address(
    model: str, part: str | None = None, parameters: Mapping[str, str] | None = None
) -> str:
    """The address of a model's page, or of one part of it."""
    before = "/models" if part is None else f"/parts/{part}"
    after = f"?{urlencode(parameters)}" if parameters else ""
    return f"{before}/{quote(model, safe='')}{after}"


def chosen(summary: Json, values: Mapping[str, str], now_ns: int, minimum_n: int = 1) -> Choice:
    """What a reader chose.

    Args:
        summary: of the model, as the API lists it.
        values: parameters of the address, empty ones included: forms send them.
        now_ns: Unix ns.
        minimum_n: a figure that rests on fewer predictions is not yet known.

    Raises:
        BadParameter: one is unknown, or not as it must be.
    """
    given = {name: value.strip() for name, value in values.items() if value.strip()}
    for name in given:
        if name not in NAMES:
            rule, remedy = "no such parameter", f"known here: {', '.join(NAMES)}"
            raise BadParameter(name, given[name], rule, remedy)
    for name in ("every", "figure"):
        if given.get(name) == AUTOMATIC:
            del given[name]
    choice(given, "list", LISTS)
    every = choice(given, "every", WINDOWS)
    asked = choice(given, "range", RANGES) or DEFAULT_RANGE
    first = minute({"first": summary["first_seen"]}, "first") or 0
    last = (minute({"last": summary["last_seen"]}, "last") or 0) + 1
    start, end = minutes_range(given)
    # What lies ahead of us is shown too: clocks of services may be ahead of ours.
    now = max(now_ns // MINUTE_NS + 1, last)
    if start is None and end is None:
        back = RANGES[asked][1]
        start = first if back is None else now - back
    start = first if start is None else start
    end = now if end is None else end
    empty = not (start < last and first < end)
    if not empty:
        # Where nothing was predicted there is nothing to see.
        start, end = max(start, first), min(end, last)
    rate = summary["predictions"] / max(1, last - first)
    every = every or _fitting(end - start, rate, minimum_n)
    return Choice(summary["model"], start, end, every, given, empty)


def _fitting(minutes: int, rate: float, minimum_n: int) -> str:
    """The shortest window that makes no more of them than can be looked at, and holds enough
    predictions for a figure, at so many a minute; but rather too thin ones than too few to see a
    course.
    """
    for name in WINDOWS:
        length = MINUTES[name] or 1
        longer = next((m for m in map(MINUTES.get, WINDOWS) if m and m > length), None)
        few = longer is None or minutes / longer < WINDOWS_LEAST
        if minutes / length <= WINDOWS_WANTED and (few or rate * length >= 1.5 * minimum_n):
            return name
    return WINDOWS[-1]
