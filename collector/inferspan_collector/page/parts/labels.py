"""How long labels take, and how many of them are there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.drawing.lines import Limit, chart
from inferspan_collector.health_limits import MONITOR_SECONDS
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings, estimates

TITLE: Final = "Labels: lag and coverage"


def questions(choice: Choice) -> dict[str, Question]:
    """Those of the estimates: they are answered once."""
    return estimates.questions(choice)


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """Coverage of every window beside what has settled, and the lag in words."""
    answer: Json = answers["estimates"]
    windows: list[Json] = [window for window in answer["windows"] if window.get("start")]
    lag: Json = answer["label_lag"]

    def share(value: float | None) -> str:
        return wording.number(value, "coverage")

    picture = None
    if windows and lag["labels"]:
        lines = [
            pictures.plain_line(
                windows, lambda w: w["settled"], "expected", "of labels to come, here", share
            ),
            pictures.plain_line(windows, lambda w: w["coverage"], "main", "labelled", share),
        ]
        final = lag["final_coverage"]
        limits = [] if final is None else [Limit(final, f"in the end {share(final)}")]
        frame = pictures.frame(choice, share, least=0.0, greatest=1.0)
        picture = chart(f"Labels of {choice.model} over time", lines, frame, *limits)
    by_arrival = around.model["time_axis"] == "label_arrival"
    return {
        "picture": picture,
        "lag": lag,
        "windows": windows[::-1],
        "by_arrival": by_arrival,
        "beyond_monitor": not by_arrival and (lag["p50"] or 0.0) > MONITOR_SECONDS,
    }
