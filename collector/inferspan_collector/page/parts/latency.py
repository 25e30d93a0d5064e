"""How long predictions took, and how many failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.drawing.lines import Limit, Role, chart
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings, trend

TITLE: Final = "Latency and errors"
STAGES_MAX: Final = 30
"""Stages and phases that are shown: those that take the longest."""
QUANTILES: Final[Mapping[str, Role]] = {"p50": "first", "p95": "second", "p99": "third"}


def questions(choice: Choice) -> dict[str, Question]:
    """Those of the trend, which are answered once, and how long stages took."""
    return {**trend.questions(choice), "stages": choice.ask("stages", every="all", target=None)}


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """A line for each quantile, and the whole time in words."""
    windows = pictures.of_slice(answers["windows"]["windows"], choice)
    totals = pictures.of_slice(answers["total"]["windows"], choice)
    lines = [
        pictures.plain_line(windows, _quantile(name), role, name, wording.seconds)
        for name, role in QUANTILES.items()
    ]
    total: Json | None = totals[0] if totals else None
    objective = total["latency"].get("objective") if total else None
    limits = []
    if objective:
        limits = [Limit(objective["limit"], f"objective {wording.seconds(objective['limit'])}")]
    frame = pictures.frame(choice, wording.seconds, least=0.0, shown=(0.0,))
    return {
        "picture": chart(f"Latency of {choice.model} over time", lines, frame, *limits)
        if windows
        else None,
        "total": total,
        "lines": lines,
        "objective": objective,
        "windows": windows[::-1],
        **_stages(answers["stages"]["windows"]),
    }


def _stages(windows: list[Json]) -> dict[str, Any]:
    steps: list[Json] = windows[0]["stages"] if windows else []
    longest = sorted(steps, key=lambda step: -step["n"] * step["mean"])[:STAGES_MAX]
    return {"stages": longest, "stages_left_out": len(steps) - len(longest)}


def _quantile(name: str) -> Any:
    def read(window: Json) -> float | None:
        value: float | None = window["latency"].get(name)
        return value

    return read
