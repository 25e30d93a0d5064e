"""Lines over time, with their bands, limits and alerts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from markupsafe import Markup

from inferspan_collector.drawing.markup import Attributes, element, percent
from inferspan_collector.drawing.scales import Scale, finite, minute_ticks, round_scale

Role = Literal["main", "expected", "first", "second", "third"]
"""Which of the colours of `drawing.css` a line has; `expected` is drawn with dashes."""
Mark = Literal["", "alert", "unsure"]

PLANE: Final = 1000
"""The width of the inner picture, which is stretched to what there is."""
TOP: Final = 8
"""Pixels above the highest place, so that a point there is not cut."""
X_LABELS: Final = 22
"""Pixels below the lowest place, for the times."""
DOTS_MAX: Final = 80
"""Points of a line that are all shown as dots; of more only the marked ones."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a line.

    `value` None is a gap. `low` and `high` bound its interval. An `alert` is drawn as a diamond of
    its own colour; an `unsure` value as a hollow dot, and no line is drawn through it.
    """

    x: float
    value: float | None
    low: float | None = None
    high: float | None = None
    mark: Mark = ""
    text: str = ""
    """What a pointer over it reads."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points with rising x."""

    role: Role
    points: Sequence[Point]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Limit:
    """A level that is drawn through the whole chart: a threshold, an objective."""

    value: float
    text: str = ""
    below: bool = False
    """Whether the text stands below the level."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds the lines."""

    start: float
    """The least x, Unix minutes."""
    end: float
    written: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    """How a tick's value is written."""
    height: int = 180
    """Pixels between the lowest and the highest place."""
    least: float | None = None
    """As of `scales.round_scale`."""
    greatest: float | None = None
    gap: float | None = None
    """Two points further apart than this have no line between them."""
    bare: bool = False
    """Without ticks, readings and single points, to stand in a line of a table; alerts are strokes
    below the line."""
    shown: Sequence[float] = ()
    """Values that are to be in sight whatever the lines hold: 0, for what is compared by length."""


def chart(description: str, lines: Sequence[Line], frame: Frame, *limits: Limit) -> Markup:
    """An SVG picture, as wide as what it stands in.

    Args:
        description: what who does not see it is told.
        lines: later ones are drawn over earlier ones.
        frame: the time and the room.
        limits: levels to compare with.

    Cost: some 10 µs and 150 bytes a point.
    """
    values = [
        each
        for line in lines
        for point in line.points
        for each in finite(
            # What is not sure must not make what is look flat.
            (point.value,) if point.mark == "unsure" else (point.value, point.low, point.high)
        )
    ]
    levels = [limit.value for limit in limits]
    y, ticks = round_scale(
        [*values, *levels, *frame.shown], least=frame.least, greatest=frame.greatest
    )
    x = Scale(frame.start, max(frame.end, frame.start + 1))
    drawing = _Drawing(x, y, frame)
    inner = element(
        "svg",
        {
            "width": "100%",
            "height": frame.height + 2 * TOP,
            "viewBox": f"0 0 {PLANE} {frame.height + 2 * TOP}",
            "preserveAspectRatio": "none",
        },
        *(part for line in lines for part in drawing.strokes(line)),
        *(drawing.rug(line) for line in lines if frame.bare),
    )
    below = 0 if frame.bare else X_LABELS
    return element(
        "svg",
        {
            "class": "chart bare" if frame.bare else "chart",
            "role": "img",
            "aria-label": description,
            "width": "100%",
            "height": frame.height + 2 * TOP + below,
        },
        *([] if frame.bare else drawing.grid(ticks)),
        *(drawing.limit(limit) for limit in limits),
        inner,
        *([] if frame.bare else (dot for line in lines for dot in drawing.dots(line))),
        *([] if frame.bare else [drawing.readings(lines)]),
    )


class _Drawing:
    """The parts of one chart."""

    def __init__(self, x: Scale, y: Scale, frame: Frame) -> None:
        self._x, self._y, self._frame = x, y, frame

    def _across(self, x: float) -> str:
        return percent(self._x.place(x))

    def _down(self, value: float) -> float:
        return TOP + (1 - self._y.place(value)) * self._frame.height

    def _at(self, x: float, value: float) -> str:
        return f"{self._x.place(x) * PLANE:.1f},{self._down(value):.1f}"

    def grid(self, ticks: Sequence[float]) -> Iterator[Markup]:
        for tick in ticks:
            down = self._down(tick)
            ends: Attributes = {"x1": "0", "x2": "100%", "y1": down, "y2": down}
            yield element("line", {"class": "grid", **ends})
            place: Attributes = {"class": "tick", "x": "0", "y": down, "dx": "-8", "dy": "4"}
            yield element("text", {**place, "text_anchor": "end"}, self._frame.written(tick))
        lowest = TOP * 2 + self._frame.height + 14
        for minute, text in minute_ticks(self._frame.start, self._frame.end):
            below: Attributes = {"class": "tick", "x": self._across(minute), "y": lowest}
            yield element("text", {**below, "text_anchor": "middle"}, text)

    def limit(self, limit: Limit) -> Markup:
        down = self._down(limit.value)
        line = element("line", {"class": "limit", "x1": "0", "x2": "100%", "y1": down, "y2": down})
        if self._frame.bare or not limit.text:
            return line
        place: Attributes = {
            "class": "limit-text",
            "x": "100%",
            "y": down,
            "dy": "14" if limit.below else "-4",
            "text_anchor": "end",
        }
        return line + element("text", place, limit.text)

    def strokes(self, line: Line) -> Iterator[Markup]:
        for run in self._runs(line):
            banded = [(p.x, p.low, p.high) for p in run if p.low is not None and p.high is not None]
            if len(banded) > 1:
                above = [self._at(x, high) for x, _, high in banded]
                under = [self._at(x, low) for x, low, _ in reversed(banded)]
                outline = " ".join(above + under)
                yield element("polygon", {"class": f"band {line.role}", "points": outline})
            drawn = [self._at(p.x, p.value) for p in run if p.value is not None]
            if len(drawn) > 1:
                yield element("polyline", {"class": f"line {line.role}", "points": " ".join(drawn)})

    def _runs(self, line: Line) -> Iterator[list[Point]]:
        """Points between which a line is drawn."""
        run: list[Point] = []
        gap = self._frame.gap
        for point in line.points:
            if run and (gap is not None and point.x - run[-1].x > gap * 1.001):
                yield run
                run = []
            if point.value is None or point.mark == "unsure":
                yield run
                run = []
            else:
                run.append(point)
        yield run

    def rug(self, line: Line) -> Markup:
        """A short stroke at the lower edge for every alert."""
        edge = self._frame.height + 2 * TOP
        found = "".join(
            f"M{self._x.place(point.x) * PLANE:.0f} {edge}v-6"
            for point in line.points
            if point.mark == "alert"
        )
        return element("path", {"class": "rug", "d": found}) if found else Markup("")

    def dots(self, line: Line) -> Iterator[Markup]:
        few = sum(point.value is not None for point in line.points) <= DOTS_MAX
        alone = {run[0].x for run in self._runs(line) if len(run) == 1}
        for point in line.points:
            if point.value is None:
                continue
            across, down = self._across(point.x), self._down(point.value)
            if point.mark == "alert":
                # Another form, too: colour alone says nothing to one reader in twelve.
                yield element(
                    "svg",
                    {"class": "alert", "x": across, "y": down, "overflow": "visible"},
                    element("path", {"d": "M0-6L6 0L0 6L-6 0Z"}),
                )
            elif few or point.mark or point.x in alone:
                place: Attributes = {"cx": across, "cy": down, "r": "3"}
                yield element(
                    "circle", {"class": f"dot {line.role} {point.mark}".rstrip(), **place}
                )

    def readings(self, lines: Sequence[Line]) -> Markup:
        """Upright strips, one for each x, that say what all lines are there."""
        texts: dict[float, list[str]] = {}
        for line in lines:
            for point in line.points:
                if point.text:
                    texts.setdefault(point.x, []).append(point.text)
        places = sorted(texts)
        if not places:
            return Markup("")
        middles = [(left + right) / 2 for left, right in pairwise(places)]
        height = self._frame.height + 2 * TOP
        strips = []
        for x, left, right in zip(
            places, [self._x.low, *middles], [*middles, self._x.high], strict=True
        ):
            begin, end = self._x.place(left), self._x.place(right)
            strip: Attributes = {"x": percent(begin), "width": percent(end - begin)}
            said = element("title", {}, "\n".join(texts[x]))
            strips.append(element("rect", {**strip, "height": height}, said))
        return element("g", {"class": "readings"}, *strips)
