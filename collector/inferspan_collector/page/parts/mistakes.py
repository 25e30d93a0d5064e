"""Single predictions: the newest mistakes, each with its trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from inferspan_collector.page.asking import Json, Question
from inferspan_collector.page.choices import LISTS, Choice
from inferspan_collector.page.parts import Surroundings

TITLE: Final = "Newest mistakes"
SHOWN: Final = 12
CALLED: Final = {
    "incorrect": "mistakes",
    "failed": "failed calls",
    "unlabeled": "without label",
    "correct": "right ones",
}


def questions(choice: Choice) -> dict[str, Question]:
    """The newest predictions of the kind that was chosen."""
    narrowed = {name: choice.get(name) for name in ("predicted", "expected")}
    if choice.slice_value is not None:
        narrowed[f"slice.{choice.slice_key}"] = choice.slice_value
    return {
        "newest": choice.ask("predictions", outcome=_list(choice), limit=str(SHOWN), **narrowed)
    }


def view(answers: Mapping[str, Any], choice: Choice, around: Surroundings) -> dict[str, Any]:
    """A row for each, with the address of its trace."""
    rows: list[Json] = answers["newest"]["predictions"]
    return {
        "rows": [{**row, "trace": _trace(row, around.jaeger)} for row in rows],
        "jaeger": around.jaeger,
        "list": _list(choice),
        "lists": [(name, CALLED[name], choice.url(list=name) + "#mistakes") for name in LISTS],
        "predicted": choice.get("predicted"),
        "expected": choice.get("expected"),
        "shown": SHOWN,
        "notes": answers["newest"]["notes"],
        "labeled": around.model["labeled"],
    }


def _list(choice: Choice) -> str:
    return choice.get("list") or LISTS[0]


def _trace(row: Json, jaeger: str | None) -> str | None:
    if jaeger is None or not row["trace_id"].strip("0"):
        return None
    return f"{jaeger}/trace/{row['trace_id']}?uiFind={row['span_id']}"
