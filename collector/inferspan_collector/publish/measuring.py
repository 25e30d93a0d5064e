"""Figures of the quality endpoint that need the labelled rows, not their counts alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from inferspan_collector.config import Model
from inferspan_collector.quality import quality_figures
from inferspan_collector.quality.business import costs, parsing, plugged_in
from inferspan_collector.quality.business.costs import CellWeights, Costs
from inferspan_collector.quality.counted_windows import CountedWindows
from inferspan_collector.quality.counts import Counts, Key
from inferspan_collector.quality.figure import Figure, Question, nothing_to_judge
from inferspan_collector.quality.measures import MEMBERS, binary_scores, class_scores, label_sets
from inferspan_collector.quality.row_figures import Measured, Own, measured, ranked
from inferspan_collector.quality.short_names import SHORT_NAMES
from inferspan_collector.store.cells import CellQuery
from inferspan_collector.store.reader import Reader

WINDOWS_MAX: Final = 500
"""Windows × groups whose rows are read: each costs some 10 ms."""
CALIBRATION: Final = "calibration"
THRESHOLDS: Final = "thresholds"
PER_CLASS: Final = "per_class"
INCLUDE: Final = (CALIBRATION, THRESHOLDS, PER_CLASS)
"""What an answer holds only where it is asked for."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The measures of an answer's windows; `reason` is why there are none."""

    states: Mapping[Key, Measured] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    """Figures that any of the windows has."""
    reason: str | None = None
    costs: Costs = field(default_factory=dict)
    weighs: bool = False
    """Whether any of the rows stands for more or less than itself."""

    def says(self, include: tuple[str, ...]) -> bool:
        """Whether it has anything to say of any window."""
        return bool(
            self.states or self.names or self.costs or {CALIBRATION, THRESHOLDS} & {*include}
        )

    def figures(
        self,
        key: Key,
        counts: Counts,
        question: Question,
        weights: CellWeights | None = None,
    ) -> dict[str, Figure]:
        """The figures of a window and group, the same names in every one.

        `weights` are those of the cells of the confusion matrix, where rows do not all weigh one.
        """
        mine = self.states.get(key, Measured()).figures(question)
        missing = Figure.missing(self.reason or nothing_to_judge(counts))
        found = {name: mine.get(name, missing) for name in self.names}
        if self.costs:
            found |= costs.figures(counts, self.costs, weights)
        return found | {short: found[long] for long, short in SHORT_NAMES.items() if long in found}

    def per_class(self, key: Key) -> dict[str, dict[str, Figure]]:
        """Figures of each class."""
        for state in self.states.get(key, Measured()).states.values():
            if isinstance(state, class_scores.State | label_sets.State):
                return state.per_class()
        return {}

    def more(self, key: Key, include: tuple[str, ...]) -> dict[str, Any]:
        """Those of `INCLUDE` that are asked for."""
        states = list(self.states.get(key, Measured()).states.values())
        found: dict[str, Any] = {}
        if CALIBRATION in include:
            curves = [
                state.calibration.curve()
                for state in states
                if isinstance(state, binary_scores.State | class_scores.State)
            ]
            found[CALIBRATION] = [
                {"mean_score": score, "share": share, "n": n}
                for score, share, n in (curves[0] if curves else ())
            ]
        if THRESHOLDS in include:
            tables = [s.scores.thresholds() for s in states if isinstance(s, binary_scores.State)]
            names = ("threshold", "tp", "fp", "fn", "tn")
            found[THRESHOLDS] = [
                dict(zip(names, row, strict=True)) for row in (tables[0] if tables else ())
            ]
        return found


def measurements(
    reader: Reader,
    query: CellQuery,
    windows: CountedWindows,
    section: Model,
    rows_max: int,
) -> Measurements:
    """Read the labelled rows of a query, and measure them.

    Args:
        reader: the store.
        query: as for the counts.
        windows: what was counted: it says how many rows there are to read.
        section: the model's configuration.
        rows_max: `limits.query_rows`.
    """
    labelled = int(windows.labelled.sum())
    tasks: frozenset[str | None] = frozenset().union(*windows.tasks)
    target = section.targets.get(query.target)

    def question_of(declared: str | None) -> Question:
        positive = section.canonical(section.positive_class) or declared
        return Question("macro", positive, None if target is None else target.passes_from)

    if labelled > rows_max or len(windows) > WINDOWS_MAX:
        # Said once in the notes, not in each of very many windows.
        names = (*_names(tasks), *section.figures) if len(windows) <= WINDOWS_MAX else ()
        reason = _too_many(labelled, rows_max, len(windows))
        return Measurements(names=names, reason=reason, costs=section.costs)
    own = Own(
        [(name, parsing.parsed(text)) for name, text in section.figures.items()],
        [(name, plugged_in.load(name)) for name in section.measures],
    )
    rows = reader.judged_rows(query, rows_max, features=bool(own.expressions))
    states = measured(rows, question_of, own)
    for key, found in ranked(reader.judged_items(query)).items():
        # Where a whole ranking has a label of its own, too, that is what is shown.
        mine = states.get(key, Measured())
        states[key] = replace(mine, states={**found.states, **mine.states})
    shown: dict[str, None] = {}
    if not states:
        # Before the first label, what the tasks can have: names that stay once labels come.
        seen = reader.prediction_cells(replace(query, by=("task",), every=None))
        shown |= dict.fromkeys(_names(frozenset(task for (task,) in seen.groups)))
    for state in states.values():
        shown |= dict.fromkeys(state.figures(question_of(None)))
    shown |= dict.fromkeys(section.figures)
    weighs = bool((rows.weight != 1).any())
    return Measurements(states, tuple(shown), costs=section.costs, weighs=weighs)


def all_figures(
    measurements: Measurements,
    key: Key,
    counts: Counts,
    question: Question,
    weighed: Mapping[str, Figure] | None = None,
    weights: CellWeights | None = None,
) -> dict[str, Figure]:
    """Each figure of a window and group once, by its long name, of counts and of rows.

    Where both know one of a name, that of the counts is given, unless it has no value. Where rows
    weigh, `weighed` are those of the counts, and `weights` what the cells of the matrix weigh.
    """
    found = dict(weighed) if weighed is not None else quality_figures(counts, question)
    for name, figure in measurements.figures(key, counts, question, weights).items():
        if name not in SHORT_NAMES.values() and (name not in found or found[name].value is None):
            found[name] = figure
    return found


def _too_many(labelled: int, rows_max: int, windows: int) -> str:
    if labelled > rows_max:
        return (
            f"{labelled} labelled predictions would have to be read, at most {rows_max} are "
            "(limits.query_rows); ask for a shorter time with `from` and `to`"
        )
    return (
        f"figures of scores and numbers are made for at most {WINDOWS_MAX} windows × groups, "
        f"this answer has {windows}; ask for a coarser `every`, or a shorter time"
    )


def _names(tasks: frozenset[str | None]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for member in MEMBERS.values():
        if member.TASKS & tasks:
            names |= dict.fromkeys(member.FIGURES)
    return tuple(names)
