"""The first page: every model in a card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice, chosen
from inferspan_collector.publish.metrics.noticed import Noticed

MODELS_SHOWN: Final = 24
"""Models of one page."""
ALERTS_SHOWN: Final = 3
"""Figures of one model that alert now and are named."""


def urgency(noticed: Noticed) -> int:
    """Whose card stands first: 0 = a figure alerts now, 1 = a column changed, 2 = neither."""
    if noticed.alerting:
        return 0
    return 1 if noticed.changed() else 2


def choice_of(model: Json, now_ns: int, minimum_n: int) -> Choice:
    """What a card shows: the last day, or where nothing was predicted then, all there is."""
    choice = chosen(model, {}, now_ns, minimum_n)
    return chosen(model, {"range": "all"}, now_ns, minimum_n) if choice.empty else choice


def questions(choice: Choice) -> dict[str, Question]:
    """The windows of the model's own page, so that they are known when it is opened."""
    return {
        "windows": choice.ask("quality", every=choice.every),
        "total": choice.ask("quality", every="all"),
    }


def card(answers: Mapping[str, Any], choice: Choice, minimum_n: int, noticed: Noticed) -> Json:
    """The main figure of the time and its course, alerts, latency."""
    windows: list[Json] = answers["windows"]["windows"]
    total: Json | None = next(iter(answers["total"]["windows"]), None)
    name = pictures.main_figure([total] if total else [])

    def figure(window: Json) -> Json | None:
        found: Json | None = window["metrics"].get(name)
        return found

    line = pictures.figure_line(windows, figure, name)
    picture = None
    if any(point.value is not None and point.mark != "unsure" for point in line.points):
        said = f"{wording.label(name)} of {choice.model} over time"
        limits = pictures.limits(windows, figure, name)
        picture = pictures.sparkline(said, line, choice, *limits, name=name)
    return {
        "name": name,
        "figure": figure(total) if total else None,
        "picture": picture,
        "total": total,
        "range": choice.range,
        "alerts": sum(bool((figure(window) or {}).get("alert")) for window in windows),
        "minimum_n": minimum_n,
        "now": _now(noticed),
    }


def _now(noticed: Noticed) -> list[str]:
    """Figures of the newest window that are surely outside of their thresholds."""
    said = []
    for each in noticed.alerting[:ALERTS_SHOWN]:
        figure = {"low": each.low, "high": each.high}
        said.append(
            f"{wording.label(each.figure)} {wording.number(each.value, each.figure)} "
            f"({wording.interval(figure, each.figure)}) of the last {noticed.window}, "
            f"n = {each.n:,}"
        )
    more = len(noticed.alerting) - ALERTS_SHOWN
    return [*said, f"{more} more"] if more > 0 else said
