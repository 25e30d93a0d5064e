"""Figures that need the labelled rows: which measure speaks for which of them, window by window."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from inferspan_collector.quality.counts import Key
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.measures import MEASURES, Measure, measure_of
from inferspan_collector.store.judged_rows import JudgedRows

_EVALUATION = "evaluation"
"""Kind of the labels that are scores of an evaluator."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The states of one window and group, by measure."""

    states: Mapping[type[Measure], Measure] = field(default_factory=dict)

    def figures(self, question: Question) -> dict[str, Figure]:
        """The figures of all measures; of two of one name that which is known."""
        found: dict[str, Figure] = {}
        for state in self.states.values():
            for name, figure in state.figures(question).items():
                if name not in found or found[name].value is None:
                    found[name] = figure
        return found


def measured(
    rows: JudgedRows, question_of: Callable[[str | None], Question]
) -> dict[Key, Measured]:
    """The states of every window and group.

    Args:
        rows: labelled predictions.
        question_of: the question, for rows that declare this positive class.
    """
    if not len(rows):
        return {}
    order = np.argsort(rows.group, kind="stable")
    ends = np.cumsum(np.bincount(rows.group, minlength=len(rows.groups)))
    states: defaultdict[Key, dict[type[Measure], Measure]] = defaultdict(dict)
    everything = Judged(
        rows.identity, rows.predicted, rows.actual, rows.score, rows.value, rows.truth, rows.weight
    )
    for number, members in enumerate(np.split(order, ends[:-1])):
        measure = (
            MEASURES["evaluations"]
            if rows.kind[number] == _EVALUATION
            else measure_of(rows.task[number])
        )
        if measure is None:
            continue
        question = question_of(rows.positive_class[number])
        mine_alone = everything.take(members)
        if rows.classes[number]:
            mine_alone = replace(
                mine_alone,
                classes=rows.classes[number],
                probabilities=rows.probabilities(members),
            )
        state = measure.of(mine_alone, question)
        mine = states[rows.window[number], rows.groups[number]]
        mine[measure] = mine[measure] + state if measure in mine else state
    return {key: Measured(found) for key, found in states.items()}
