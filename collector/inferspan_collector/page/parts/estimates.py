"""What to expect before the labels come, beside what became true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.drawing.lines import chart
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings
from inferspan_collector.quality.main_figure import FALLBACK

TITLE: Final = "Expected and true"


def questions(choice: Choice) -> dict[str, Question]:
    """The estimates of every window."""
    return {"estimates": choice.ask("estimates", every=choice.every)}


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """The chart of one figure, and the newest window in words."""
    answer: Json = answers["estimates"]
    windows: list[Json] = [window for window in answer["windows"] if window.get("start")]
    names = [name for window in windows[-1:] for name in window["metrics"]]
    asked = choice.get("figure") or ""
    name = asked if asked in names else FALLBACK
    if name not in names:
        name = names[0] if names else name

    def expected(window: Json) -> Json | None:
        metric = window["metrics"].get(name)
        return None if metric is None else {**metric["estimated"], "alert": metric["alert"]}

    def true(window: Json) -> Json | None:
        return _with_minimum(window["metrics"].get(name, {}).get("realized"), around.minimum_n)

    known = [w for w in windows if (expected(w) or {}).get("value") is not None]
    picture = None
    if known:
        lines = [
            pictures.figure_line(windows, expected, name, "expected", "expected"),
            pictures.figure_line(windows, true, name, "main", "true so far"),
        ]
        limits = pictures.limits_of(answer["thresholds"].get(name), name)
        frame = pictures.frame(
            choice, lambda value: wording.number(value, name), **pictures.edges(name)
        )
        description = f"{wording.label(name)} of {choice.model}: expected, and true so far"
        picture = chart(description, lines, frame, *limits)
    newest = known[-1] if known else None
    return {
        "name": name,
        "picture": picture,
        "newest": newest,
        "expected": expected(newest) if newest else None,
        "realized": true(newest) if newest else None,
        "gap": newest["metrics"][name]["gap"] if newest else None,
        "alerts": [w for w in windows if (expected(w) or {}).get("alert")],
        "apart": [w for w in known if (w["metrics"][name]["gap"] or {}).get("significant")],
        "reason": answer["reason"],
        "method": {"cbpe": "confidence-based (CBPE)", "dle": "direct loss estimation"}.get(
            answer["method"], answer["method"]
        ),
        "reference": answer["reference"],
        "windows": windows[::-1],
        "read": {"expected": expected, "true": true},
        "notes": answer["notes"],
        "narrowed": choice.sliced("estimates"),
    }


def _with_minimum(figure: Json | None, minimum_n: int) -> Json | None:
    if figure is None or figure["value"] is None or figure["n"] >= minimum_n:
        return figure
    return {**figure, "known": False}
