"""Figures of a confusion matrix, with scikit-learn's names and meanings.

Classes are the union of those predicted and those actual in the labelled rows, sorted as text. A
ratio without a denominator is null for one class and counts 0 inside an average over classes
(scikit-learn's `zero_division=0`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from inferspan.semconv import BINARY as BINARY_TASK
from inferspan.semconv import MULTICLASS as MULTICLASS_TASK
from inferspan_collector.quality.counts import CLASS_TASKS, Counts
from inferspan_collector.quality.figure import (
    BINARY,
    MACRO,
    MICRO,
    Figure,
    Question,
    nothing_to_judge,
)
from inferspan_collector.quality.intervals import f1_wilson, wilson
from inferspan_collector.telemetry import OTHER

AVERAGED = ("precision", "recall", "f1")
"""Figures of one class, which need an average to become one of the model."""
SINGLE = ("balanced_accuracy", "matthews_corrcoef", "cohen_kappa")

_FOLDED = (
    "the labelled rows hold more classes than limits.classes and the rest is folded into "
    f"{OTHER}; raise limits.classes, or ask for accuracy or average=micro, which stay exact"
)


@dataclass(frozen=True, slots=True)
class OneClass:
    """One class against all others: rows right, rows predicted as it, rows that are it."""

    true_positives: int
    predicted: int
    actual: int

    def precision(self) -> Figure:
        """True positives ÷ predicted as it, Wilson interval."""
        if self.predicted == 0:
            return Figure.missing("the class was never predicted")
        value = self.true_positives / self.predicted
        return Figure(value, self.predicted, *wilson(self.true_positives, self.predicted))

    def recall(self) -> Figure:
        """True positives ÷ actual, Wilson interval."""
        if self.actual == 0:
            return Figure.missing("no labelled prediction has this class as its truth")
        value = self.true_positives / self.actual
        return Figure(value, self.actual, *wilson(self.true_positives, self.actual))

    def f1(self) -> Figure:
        """2·tp ÷ (predicted + actual), indirect Wilson interval; n = tp + fp + fn."""
        both = self.predicted + self.actual
        if both == 0:
            return Figure.missing("the class was neither predicted nor true")
        misses = both - 2 * self.true_positives
        low, high = f1_wilson(self.true_positives, misses)
        value = 2 * self.true_positives / both
        return Figure(value, self.true_positives + misses, low, high)

    def figures(self) -> dict[str, Figure]:
        """The three of `AVERAGED`."""
        return {"precision": self.precision(), "recall": self.recall(), "f1": self.f1()}


def classes(counts: Counts) -> list[str]:
    """The classes of the labelled rows, predicted or actual, sorted as text."""
    return sorted({text for pair in counts.confusion for text in pair})


def confusion_matrix(counts: Counts) -> tuple[list[str], list[list[int]]]:
    """(classes, rows): rows are actual classes, columns predicted ones, both in that order."""
    names = classes(counts)
    rows = [[counts.confusion.get((predicted, actual), 0) for predicted in names]
            for actual in names]  # fmt: skip
    return names, rows


def one_against_rest(counts: Counts) -> dict[str, OneClass]:
    """Every class of the labelled rows, sorted as text."""
    right = dict.fromkeys(classes(counts), 0)
    predicted_as, actually = dict(right), dict(right)
    for (predicted, actual), n in counts.confusion.items():
        predicted_as[predicted] += n
        actually[actual] += n
        if predicted == actual:
            right[actual] += n
    return {name: OneClass(right[name], predicted_as[name], actually[name]) for name in right}


def per_class(counts: Counts) -> dict[str, dict[str, Figure]]:
    """precision, recall and f1 of each class; empty where the task has no classes.

    Classes folded together by `limits.classes` have no figures, only the reason.
    """
    if _unfit(counts) is not None:
        return {}
    table = {name: one.figures() for name, one in one_against_rest(counts).items()}
    if OTHER in table:
        table[OTHER] = dict.fromkeys(AVERAGED, Figure.missing(_FOLDED))
    return table


def figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """precision, recall, f1 by the question's average; balanced_accuracy, MCC and kappa."""
    unfit = _unfit(counts)
    if unfit is not None:
        return dict.fromkeys((*AVERAGED, *SINGLE), Figure.missing(unfit))
    table = one_against_rest(counts)
    folded = OTHER in table
    if question.average == BINARY:
        averaged = _binary(counts, table, question)
    elif question.average == MICRO:
        # Every row has one class, so each wrong one is a false positive once and a false
        # negative once: all three are the share of right rows.
        share = Figure(
            counts.correct / counts.judged, counts.judged, *wilson(counts.correct, counts.judged)
        )
        averaged = dict.fromkeys(AVERAGED, share)
    elif folded:
        averaged = dict.fromkeys(AVERAGED, Figure.missing(_FOLDED, counts.judged))
    else:
        averaged = {
            "precision": _mean(table, OneClass.precision, question.average),
            "recall": _mean(table, OneClass.recall, question.average),
            "f1": _mean(table, OneClass.f1, question.average),
        }
    if folded:
        return averaged | dict.fromkeys(SINGLE, Figure.missing(_FOLDED, counts.judged))
    return averaged | _singles(table)


def _unfit(counts: Counts) -> str | None:
    """Why these counts have no figures of classes, or None if they do."""
    if counts.judged == 0:
        return nothing_to_judge(counts)
    if not counts.confusion and counts.tasks <= CLASS_TASKS:
        return "the labelled predictions hold no class"
    if None in counts.tasks:
        return (
            "the task is not declared, so only equality is known; declare it: "
            f'inferspan.predict(task="{MULTICLASS_TASK}")'
        )
    others = sorted(task or "" for task in counts.tasks - {BINARY_TASK, MULTICLASS_TASK})
    if others:
        return (
            f"not defined for the task {', '.join(others)}; only {BINARY_TASK}, {MULTICLASS_TASK}"
        )
    return None


def _binary(counts: Counts, table: dict[str, OneClass], question: Question) -> dict[str, Figure]:
    """The positive class against all others (scikit-learn's `average="binary"`)."""
    positive = question.positive_class
    if positive is None:
        declared = ", ".join(sorted(counts.positive_classes))
        reason = (
            f"predictions declare several positive classes ({declared}); group by version, or set "
            "models.<name>.positive_class"
            if declared
            else "the positive class is not known; declare inferspan.predict(positive=…) or "
            "models.<name>.positive_class, or ask average=macro"
        )
        return dict.fromkeys(AVERAGED, Figure.missing(reason))
    if positive not in table and OTHER in table:
        return dict.fromkeys(AVERAGED, Figure.missing(_FOLDED, counts.judged))
    return table.get(positive, OneClass(0, 0, 0)).figures()


def _mean(table: dict[str, OneClass], figure: Callable[[OneClass], Figure], average: str) -> Figure:
    """The mean over classes, plain (macro) or by support; no closed interval is known to us."""
    rows = sum(one.actual for one in table.values())
    values = [(figure(one).value or 0.0, one.actual) for one in table.values()]
    if average == MACRO:
        return Figure(math.fsum(value for value, _ in values) / len(values), rows)
    return Figure(math.fsum(value * support for value, support in values) / rows, rows)


def _singles(table: dict[str, OneClass]) -> dict[str, Figure]:
    """The figures of `SINGLE`, from integers until the last division."""
    rows = sum(one.actual for one in table.values())
    right = sum(one.true_positives for one in table.values())
    recalls = [one.true_positives / one.actual for one in table.values() if one.actual]
    chance = sum(one.predicted * one.actual for one in table.values())
    spread_predicted = rows**2 - sum(one.predicted**2 for one in table.values())
    spread_actual = rows**2 - sum(one.actual**2 for one in table.values())
    spread = spread_predicted * spread_actual
    covariance = right * rows - chance
    return {
        "balanced_accuracy": Figure(math.fsum(recalls) / len(recalls), rows),
        # As scikit-learn has it, a constant prediction or truth correlates with nothing: 0.
        "matthews_corrcoef": Figure(covariance / math.sqrt(spread) if spread else 0.0, rows),
        "cohen_kappa": Figure(1 - (rows - right) * rows / (rows**2 - chance), rows)
        if rows**2 > chance
        else Figure.missing("predicted and actual hold one and the same class only", rows),
    }
