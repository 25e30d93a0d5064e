"""Counts → the JSON of the quality endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from inferspan_collector.publish.measuring import PER_CLASS, Measurements
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.quality import FAMILIES, classification, many_windows, quality_figures
from inferspan_collector.quality.counts import Counts, Key, declared
from inferspan_collector.quality.figure import BINARY, MACRO, Figure, Question, positive_class
from inferspan_collector.store.cells import MINUTE_NS, CellQuery

ONE_BY_ONE_MAX: Final = 50
"""Windows × groups whose figures are made one by one."""
PER_CLASS_MAX: Final = 500
"""Windows × groups that show the figures of each class unasked."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What a window shows beside its counts."""

    measurements: Measurements = field(default_factory=Measurements)
    include: tuple[str, ...] = ()
    minimum_n: int = 1


def default_average(total: Counts, configured_positive: str | None) -> str:
    """Binary if the positive class is known, else macro."""
    return MACRO if positive_class(total, configured_positive) is None else BINARY


def windows_json(
    query: CellQuery,
    cells: Mapping[Key, Counts],
    average: str,
    configured_positive: str | None,
    seen: tuple[int, int],
    rest: Rest,
) -> list[dict[str, Any]]:
    """The list `windows`, in the order of the cells.

    Args:
        query: what was asked; its `start` and `end` cut the windows at the edges, and a window
            that was cut is shown as long as it was counted.
        cells: counts per window and group.
        average: one of `AVERAGES`.
        configured_positive: the model's configured positive class.
        seen: first minute of the model and the minute after its last, Unix: the ends of a
            single window where the query leaves them open.
        rest: what is said beside the counts.
    """
    overall = positive_class(declared(cells.values()), configured_positive)
    questions = [
        Question(average, positive_class(counts, configured_positive) or overall)
        for counts in cells.values()
    ]
    many = len(cells) > ONE_BY_ONE_MAX
    known = (
        many_windows.many(
            list(cells.values()), average, [question.positive_class for question in questions]
        )
        if many
        else None
    )
    windows = []
    for number, ((window, group), counts) in enumerate(cells.items()):
        if query.every is None:
            start = seen[0] if query.start is None else query.start
            end = max(seen[1], start + 1) if query.end is None else query.end
        else:
            start = window if query.start is None else max(window, query.start)
            end = window + query.every
            end = end if query.end is None else min(end, query.end)
        question = questions[number]
        named = dict(zip(query.by, group, strict=True))
        shown = window_json(
            start,
            end,
            named,
            counts,
            question,
            rest.minimum_n,
            known[number] if known else {},
            per_class=len(cells) <= PER_CLASS_MAX or PER_CLASS in rest.include,
        )
        windows.append(_with_rest(shown, (window, group), counts, question, rest))
    return windows


def window_json(
    start: int,
    end: int,
    group: dict[str, str | None],
    counts: Counts,
    question: Question,
    minimum_n: int = 1,
    known: Mapping[str, Figure] | None = None,
    *,
    per_class: bool = True,
) -> dict[str, Any]:
    """One entry of `windows`.

    Args:
        start: first minute of the window, Unix.
        end: the minute after its last.
        group: the texts of what was grouped by, None = absent.
        counts: what was counted in it.
        question: average and positive class.
        minimum_n: a figure that rests on fewer predictions is not yet known.
        known: figures that were made with those of other windows.
        per_class: whether to show the figures of each class.
    """
    figures = quality_figures(counts, question, known or {})
    names, rows = classification.confusion_matrix(counts)
    matrix = classification.one_against_rest(counts) if per_class else {}
    latency = FAMILIES["latency"].figures(counts, question)
    return {
        "start": rfc3339(start * MINUTE_NS),
        "end": rfc3339(end * MINUTE_NS),
        "group": group,
        "predictions": counts.predictions,
        "errors": counts.errors,
        "labeled": counts.labelled,
        "coverage": figures["coverage"].value,
        "metrics": {name: figure_json(figure, minimum_n) for name, figure in figures.items()},
        "per_class": {
            name: {
                **{key: figure_json(figure, minimum_n) for key, figure in table.items()},
                "support": matrix[name].actual,
            }
            for name, table in (classification.per_class(counts) if per_class else {}).items()
        },
        "confusion": {"classes": names, "actual_by_predicted": rows},
        "latency": {
            "count": counts.predictions,
            **{name: figure.value for name, figure in latency.items()},
        },
    }


def figure_json(figure: Figure, minimum_n: int = 1) -> dict[str, Any]:
    """A figure with its interval and n, or null with the reason.

    One that rests on fewer than `minimum_n` predictions says that it is not yet known.
    """
    if figure.value is None:
        return {"value": None, "reason": figure.reason, "n": figure.n}
    found = {"value": figure.value, "low": figure.low, "high": figure.high, "n": figure.n}
    return found if figure.n >= minimum_n else {**found, "known": False}


def _with_rest(
    shown: dict[str, Any], key: Key, counts: Counts, question: Question, rest: Rest
) -> dict[str, Any]:
    """A window with the figures of its rows; of two of one name that which can be computed."""
    for name, figure in rest.measurements.figures(key, counts, question).items():
        if shown["metrics"].get(name, {"value": None})["value"] is None:
            shown["metrics"][name] = figure_json(figure, rest.minimum_n)
    for name, table in rest.measurements.per_class(key).items():
        mine = shown["per_class"].setdefault(name, {})
        mine |= {each: figure_json(figure, rest.minimum_n) for each, figure in table.items()}
    return shown | rest.measurements.more(key, rest.include)
