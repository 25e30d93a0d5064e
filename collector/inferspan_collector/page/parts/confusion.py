"""What was said beside what was true, class by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.page import pictures
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings, trend

TITLE: Final = "Confusion"
CLASSES_MAX: Final = 12
"""Classes that are shown: those with the most labels."""
SHADES: Final = 8
"""Steps from nothing to the whole row."""


def questions(choice: Choice) -> dict[str, Question]:
    """The whole time as one window, which the trend asks for too."""
    return {"total": trend.questions(choice)["total"]}


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """The matrix, a row for each actual class."""
    totals = pictures.of_slice(answers["total"]["windows"], choice)
    total: Json | None = totals[0] if totals else None
    names: list[str] = total["confusion"]["classes"] if total else []
    counts: list[list[int]] = total["confusion"]["actual_by_predicted"] if total else []
    seen = [sum(counts[i]) + sum(row[i] for row in counts) for i in range(len(names))]
    shown = sorted(sorted(range(len(names)), key=lambda i: -seen[i])[:CLASSES_MAX])
    return {
        "classes": [names[i] for i in shown],
        "rows": [
            {
                "name": names[i],
                "cells": [
                    {
                        "n": counts[i][j],
                        "predicted": names[j],
                        "right": i == j,
                        "shade": _shade(counts[i][j], sum(counts[i])),
                    }
                    for j in shown
                ],
                "class": total["per_class"].get(names[i], {}) if total else {},
            }
            for i in shown
        ],
        "left_out": len(names) - len(shown),
        "total": total,
    }


def _shade(n: int, whole: int) -> int:
    """From 0, nothing, to `SHADES`, the whole row."""
    return 0 if n == 0 else max(1, round(n / whole * SHADES))
