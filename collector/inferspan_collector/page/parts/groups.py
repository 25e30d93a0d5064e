"""Versions, and the values of a slice, beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from inferspan_collector.drawing import bars
from inferspan_collector.page import pictures, wording
from inferspan_collector.page.asking import MODELS, Json, Question
from inferspan_collector.page.choices import Choice
from inferspan_collector.page.parts import Surroundings
from inferspan_collector.quality.ranges import WITHIN_ONE

TITLE: Final = "Versions and slices"
GROUPS_MAX: Final = 30
"""Values of a slice that are shown: those with the most predictions."""


def questions(choice: Choice) -> dict[str, Question]:
    """By version, by the chosen slice, and one prediction to see which slices there are."""
    asked = {
        "version": choice.ask("quality", every="all", by="version"),
        "newest": choice.ask("predictions", limit="100"),
    }
    if choice.slice_key is not None:
        asked["slice"] = choice.ask("quality", every="all", by=f"slice.{choice.slice_key}")
    return asked


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """A table of versions, and one of the chosen slice."""
    newest: list[Json] = answers["newest"]["predictions"]
    keys = sorted(
        {key for row in newest for key in row["slices"]} | {choice.slice_key or ""} - {""}
    )
    tables = [_table("version", answers["version"]["windows"], choice)]
    if "slice" in answers:
        tables.append(_table(f"slice.{choice.slice_key}", answers["slice"]["windows"], choice))
    notes = answers["slice"]["notes"] if "slice" in answers else []
    return {
        "tables": tables,
        "keys": keys,
        "notes": notes,
        "compared": _compared(answers["version"]["windows"], choice),
    }


def _compared(windows: list[Json], choice: Choice) -> Json | None:
    """The two versions that predicted most, in order, and where the API compares them."""
    most = sorted(windows, key=lambda window: -window["predictions"])
    versions = [version for w in most if (version := w["group"].get("version"))]
    if len(versions) < 2:
        return None
    a, b = sorted(versions[:2])
    given = {"a": a, "b": b, "from": choice.start * 60, "to": choice.end * 60}
    given |= {
        name: value for name in ("environment", "service", "target") if (value := choice.get(name))
    }
    url = f"{MODELS}/{quote(choice.model, safe='')}/compare?{urlencode(given)}"
    return {"a": a, "b": b, "url": url}


def _table(key: str, windows: list[Json], choice: Choice) -> Json:
    name = pictures.main_figure(windows, choice.get("figure"))
    most = sorted(windows, key=lambda window: -window["predictions"])
    return {
        "key": key,
        "called": key.removeprefix("slice."),
        "name": name,
        "rows": [_row(key, name, window, choice) for window in most[:GROUPS_MAX]],
        "left_out": max(0, len(most) - GROUPS_MAX),
    }


def _row(key: str, name: str, window: Json, choice: Choice) -> Json:
    value = window["group"].get(key)
    figure: Json | None = window["metrics"].get(name)
    bar = None
    if figure is not None and figure["value"] is not None and name in WITHIN_ONE:
        said = f"{wording.label(name)} {wording.number(figure['value'], name)}"
        bar = bars.share(said, figure["value"], figure.get("low"), figure.get("high"))
    narrowed, parameter = (
        (choice.get("version"), "version") if key == "version" else (choice.slice_value, "value")
    )
    # Where nothing was chosen, that is not those without a version.
    chosen = value is not None and narrowed == value
    url = choice.url(**{parameter: None if chosen else value})
    return {
        "value": value,
        "window": window,
        "figure": figure,
        "bar": bar,
        "chosen": chosen,
        # There is no address of those that lack the key.
        "url": url if value else None,
    }
