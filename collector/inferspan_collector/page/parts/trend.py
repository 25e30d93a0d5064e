"""The main figure over time, with its interval and its alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.drawing.lines import chart
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings

TITLE: Final = "Quality"
OTHERS_MAX: Final = 24
"""Figures that stand beside the main one."""


def questions(choice: Choice) -> dict[str, Question]:
    """Every window, and all of them as one."""
    by = pictures.by_slice(choice)
    return {
        "windows": choice.ask("quality", every=choice.every, by=by),
        "total": choice.ask("quality", every="all", by=by),
    }


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """The chart, the figure of the whole time, and all other figures of it."""
    windows = pictures.of_slice(answers["windows"]["windows"], choice)
    totals = pictures.of_slice(answers["total"]["windows"], choice)
    total: Json | None = totals[0] if totals else None
    name = pictures.main_figure(totals or windows, choice.get("figure"))

    def figure(window: Json) -> Json | None:
        found: Json | None = window["metrics"].get(name)
        return found

    picture = None
    if any((figure(window) or {}).get("value") is not None for window in windows):
        frame = pictures.frame(
            choice, lambda value: wording.number(value, name), **pictures.edges(name)
        )
        picture = chart(
            f"{wording.label(name)} of {choice.model} over time, with its 95 % interval",
            [pictures.figure_line(windows, figure, name)],
            frame,
            *pictures.limits(windows, figure, name),
        )
    metrics: dict[str, Json] = total["metrics"] if total else {}
    return {
        "name": name,
        "picture": picture,
        "total": total,
        "figure": metrics.get(name),
        "unknown": name if total and name not in metrics else None,
        "known_names": sorted(metrics),
        "others": [(each, found) for each, found in metrics.items() if each != name][:OTHERS_MAX],
        "windows": windows[::-1],
        "read": figure,
        "alerts": [window for window in windows if (figure(window) or {}).get("alert")],
        "reference": answers["windows"].get("reference"),
        "notes": answers["windows"]["notes"],
        "minimum_n": around.minimum_n,
    }
