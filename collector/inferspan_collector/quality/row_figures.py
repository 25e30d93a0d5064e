"""Figures that need the labelled rows: which measure speaks for which of them, window by window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inferspan_collector.quality.business import plugged_in
from inferspan_collector.quality.business.expressions import FEATURE, SLICE, Expression
from inferspan_collector.quality.business.states import State as ExpressionState
from inferspan_collector.quality.counts import Key
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import MEASURES, Measure, measure_of, rankings
from inferspan_collector.store.cells import JudgedItems
from inferspan_collector.store.judged_rows import JudgedRows

_EVALUATION = "evaluation"
"""Kind of the labels that are scores of an evaluator."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The states of one window and group, by measure."""

    states: Mapping[type[Measure], Measure] = field(default_factory=dict)
    own: Mapping[str, Figure] = field(default_factory=dict)
    """Figures of the team's own."""

    def figures(self, question: Question) -> dict[str, Figure]:
        """The figures of all measures; of two of one name that which is known."""
        found: dict[str, Figure] = {}
        for state in self.states.values():
            for name, figure in state.figures(question).items():
                if name not in found or found[name].value is None:
                    found[name] = figure
        return {**found, **self.own}


@dataclass(frozen=True, slots=True)
class Own:
    """What a team measures beside: expressions by name, and measures of packages by theirs."""

    expressions: Sequence[tuple[str, Expression]] = ()
    plugged_in: Sequence[tuple[str, type[Measure]]] = ()


NOTHING_OWN: Final = Own()


def measured(
    rows: JudgedRows,
    question_of: Callable[[str | None], Question],
    own: Own = NOTHING_OWN,
) -> dict[Key, Measured]:
    """The states of every window and group.

    Args:
        rows: labelled predictions.
        question_of: the question, for rows that declare this positive class.
        own: what is measured beside.
    """
    if not len(rows):
        return {}
    order = np.argsort(rows.group, kind="stable")
    ends = np.cumsum(np.bincount(rows.group, minlength=len(rows.groups)))
    states: defaultdict[Key, dict[type[Measure], Measure]] = defaultdict(dict)
    figures: defaultdict[Key, dict[str, ExpressionState]] = defaultdict(dict)
    parts: defaultdict[Key, list[tuple[Judged, Question]]] = defaultdict(list)
    columns = _columns(rows) if own.expressions else {}
    everything = Judged(
        rows.identity, rows.predicted, rows.actual, rows.score, rows.value, rows.truth, rows.weight
    )
    for number, members in enumerate(np.split(order, ends[:-1])):
        measure = (
            MEASURES["evaluations"]
            if rows.kind[number] == _EVALUATION
            else measure_of(rows.task[number])
        )
        question = question_of(rows.positive_class[number])
        mine_alone = everything.take(members)
        if rows.classes[number]:
            mine_alone = replace(
                mine_alone,
                classes=rows.classes[number],
                probabilities=rows.probabilities(members),
            )
        key = rows.window[number], rows.groups[number]
        parts[key].append((mine_alone, question))
        taken = {name: column[members] for name, column in columns.items()}
        for name, expression in own.expressions:
            found = ExpressionState.of(expression, mine_alone, taken)
            figures[key][name] = figures[key][name] + found if name in figures[key] else found
        if measure is not None:
            state = measure.of(mine_alone, question)
            mine = states[key]
            mine[measure] = mine[measure] + state if measure in mine else state
    return {
        key: Measured(
            states[key],
            {name: state.figure() for name, state in figures[key].items()}
            | _plugged_in(own, parts[key]),
        )
        for key in parts
    }


def ranked(items: JudgedItems) -> dict[Key, Measured]:
    """The states of rankings whose items were labelled one by one, per window and group."""
    found: defaultdict[Key, dict[int, tuple[list[int], list[float], float]]] = defaultdict(dict)
    for window, group, ranking, place, relevance, weight in zip(
        items.window.tolist(),
        items.groups,
        items.ranking.tolist(),
        items.place.tolist(),
        items.relevance.tolist(),
        items.weight.tolist(),
        strict=True,
    ):
        places, gains, _ = found[window, group].setdefault(ranking, ([], [], weight))
        places.append(place)
        gains.append(relevance)
    return {
        key: Measured({rankings.State: rankings.State.of_items(each.values())})
        for key, each in found.items()
    }


def _plugged_in(own: Own, parts: Sequence[tuple[Judged, Question]]) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    for name, measure in own.plugged_in:
        found |= plugged_in.figures(name, measure, [rows for rows, _ in parts], parts[0][1])
    return found


def _columns(rows: JudgedRows) -> dict[str, NDArray[Any]]:
    """What expressions can name."""
    return {
        "predicted": rows.predicted.objects(),
        "actual": rows.actual.objects(),
        "score": rows.score,
        "value": rows.value,
        "truth": rows.truth,
        **{SLICE + key: column for key, column in rows.slices.items()},
        **{FEATURE + name: column for name, column in rows.features.texts.items()},
        **{FEATURE + name: column for name, column in rows.features.numbers.items()},
    }
