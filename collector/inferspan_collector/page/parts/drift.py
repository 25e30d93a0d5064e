"""What changed since the reference, feature by feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.drawing.lines import Line, Point
from inferspan_collector.drift.passes import range_of
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings

TITLE: Final = "Drift"
COLUMNS_MAX: Final = 25
"""Columns that are shown: those with the newest alerts first."""
FIRST: Final = "jensen_shannon"
"""The distance that is shown where no other one alerts."""
CHANGES_MAX: Final = 5


def questions(choice: Choice) -> dict[str, Question]:
    """Every figure of every column over the windows."""
    return {"drift": choice.ask("drift", every=choice.every)}


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """A line for each column: its loudest figure, and how often it was outside."""
    answer: Json = answers["drift"]
    windows: list[Json] = [window for window in answer["windows"] if window.get("start")]
    columns = [_column(name, column, windows, choice) for name, column in answer["columns"].items()]
    columns.sort(key=lambda column: (-column["last_alert"], column["column"]))
    return {
        "columns": columns[:COLUMNS_MAX],
        "left_out": max(0, len(columns) - COLUMNS_MAX),
        "alerting": sum(column["last_alert"] >= 0 for column in columns),
        "windows": windows,
        "reference": answer["reference"],
        "changes": answer["error_changes"][::-1][:CHANGES_MAX],
        "notes": answer["notes"],
        "narrowed": choice.sliced("drift"),
    }


def _column(name: str, column: Json, windows: list[Json], choice: Choice) -> Json:
    figures: dict[str, Json] = column["figures"]

    def newest_alert(figure: Json) -> int:
        return max((i for i, alert in enumerate(figure["alerts"]) if alert), default=-1)

    def rank(each: str) -> tuple[int, bool]:
        return newest_alert(figures[each]), each == FIRST

    loudest = max(figures, key=rank, default=None)
    if loudest is None:
        return {"column": name, "kind": column["kind"], "figure": None, "last_alert": -1}
    figure = figures[loudest]
    points = [
        Point(
            pictures.middle(window),
            value,
            mark="alert" if alert else "",
        )
        for window, value, alert in zip(windows, figure["values"], figure["alerts"], strict=False)
    ]
    limits = pictures.limits_of(figure, loudest, range_of(loudest))
    said = f"{wording.label(loudest)} of {name} over time"
    values = [value for value in figure["values"] if value is not None]
    return {
        "column": name,
        "kind": column["kind"],
        "figure": loudest,
        "picture": pictures.sparkline(said, Line("main", points), choice, *limits),
        "value": values[-1] if values else None,
        "threshold": limits[-1].value if limits else None,
        "alerts": sum(figure["alerts"]),
        "alerting": [each for each in figures if newest_alert(figures[each]) >= 0],
        "last_alert": newest_alert(figure),
    }
