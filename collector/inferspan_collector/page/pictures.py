"""The figures of windows as charts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from inferspan_collector.drawing.lines import Frame, Limit, Line, Point, Role, chart
from inferspan_collector.page import wording
from inferspan_collector.page.asking import Json
from inferspan_collector.page.choices import Choice
from inferspan_collector.quality.main_figure import FALLBACK
from inferspan_collector.quality.main_figure import main_figure as first_known
from inferspan_collector.quality.ranges import WITHIN_ONE, Range, range_of

BARE_HEIGHT: Final = 36

Figures = Mapping[str, Json]


def main_figure(windows: Sequence[Json], asked: str | None = None) -> str:
    """The figure that is shown of these windows: the one asked for, else the first known one."""
    return asked or first_known(windows) or FALLBACK


def of_slice(windows: Sequence[Json], choice: Choice) -> list[Json]:
    """The windows of the slice that was chosen; all of them where none was."""
    if choice.slice_value is None:
        return list(windows)
    key = f"slice.{choice.slice_key}"
    return [window for window in windows if window["group"].get(key) == choice.slice_value]


def by_slice(choice: Choice) -> str | None:
    """The parameter `by` that lets `of_slice` find the slice."""
    return None if choice.slice_value is None else f"slice.{choice.slice_key}"


def frame(choice: Choice, written: Callable[[float], str], **more: Any) -> Frame:
    """A frame around the time that was chosen."""
    # Points stand in the middle of their windows.
    return Frame(choice.start, choice.end, written=written, gap=choice.minutes, **more)


def figure_line(
    windows: Sequence[Json],
    read: Callable[[Json], Json | None],
    name: str,
    role: Role = "main",
    said: str = "",
) -> Line:
    """One figure of every window as a line.

    Args:
        windows: as the API shows them.
        read: from a window to the figure, as `figure_json` writes it; `alert` may stand in it.
        name: the figure's name.
        role: of the line.
        said: what the line is called; the figure's name by itself.
    """
    called = said or wording.label(name)
    return Line(role, [_point(window, read(window), name, called) for window in windows], called)


def plain_line(
    windows: Sequence[Json],
    read: Callable[[Json], float | None],
    role: Role,
    said: str,
    written: Callable[[float | None], str],
) -> Line:
    """Numbers without interval as a line."""
    return Line(
        role,
        [
            Point(
                middle(window),
                value,
                text=f"{wording.short(window['start'])}: {said} {written(value)}",
            )
            for window in windows
            for value in [read(window)]
        ],
        said,
    )


def sparkline(
    description: str, line: Line, choice: Choice, *limits: Limit, name: str = ""
) -> Markup:
    """A line without axes, for a table or a card."""
    bare = frame(choice, str, height=BARE_HEIGHT, bare=True, **edges(name))
    return chart(description, [line], bare, *limits)


def edges(name: str) -> dict[str, float]:
    """The ends that a figure's axis has."""
    return {"least": 0.0, "greatest": 1.0} if name in WITHIN_ONE else {}


def limits(windows: Sequence[Json], read: Callable[[Json], Json | None], name: str) -> list[Limit]:
    """The thresholds that the newest window has."""
    return limits_of(
        next((found for window in reversed(windows) if (found := read(window))), {}), name
    )


def limits_of(
    figure: Mapping[str, Any] | None, name: str, ends: Range | None = None
) -> list[Limit]:
    """The thresholds that a figure says of itself, if it does, and that it can cross.

    Args:
        figure: as the API has it.
        name: of the figure.
        ends: between which values it lies; None = as a figure of quality of that name does.
    """
    figure, (least, greatest) = figure or {}, ends or range_of(name)
    return [
        Limit(figure[key], f"{word} threshold {wording.number(figure[key], name)}", word == "lower")
        for key, word, end in (
            ("lower_threshold", "lower", least),
            ("upper_threshold", "upper", greatest),
        )
        if figure.get(key) not in (None, end)
    ]


def middle(window: Json) -> float:
    """The middle of a window, Unix minutes."""
    return (wording.minute_of(window["start"]) + wording.minute_of(window["end"])) / 2


def _point(window: Json, figure: Json | None, name: str, called: str) -> Point:
    if figure is None:
        return Point(middle(window), None)
    mark = "alert" if figure.get("alert") else "unsure" if figure.get("known") is False else ""
    value, x = figure["value"], middle(window)
    when = wording.short(window["start"])
    if value is None:
        return Point(x, None, text=f"{when}: {called} not known: {figure.get('reason')}")
    bounds = wording.interval(figure, name)
    words = f"{when}: {called} {wording.number(value, name)}"
    words += f" ({bounds})" if bounds else ""
    words += f", n = {figure['n']:,}" + {"alert": ", alert", "unsure": ", not yet known"}.get(
        mark, ""
    )
    return Point(x, value, figure.get("low"), figure.get("high"), mark, words)  # type: ignore[arg-type]
