"""Figures of a confusion matrix, with scikit-learn's names and meanings.

Classes are the union of those predicted and those actual in the labelled rows, sorted as text. A
ratio without a denominator is null for one class and counts 0 inside an average over classes
(scikit-learn's `zero_division=0`).

| figure | formula | range |
|---|---|---|
| those of `one_class.AVERAGED` | as there | 0…1 |
| `balanced_accuracy` | mean recall of the classes that are actual | 0…1 |
| `matthews_corrcoef` | (c·s - Σ pₖtₖ) ÷ √((s² - Σ pₖ²)(s² - Σ tₖ²)) | -1…1 |
| `cohen_kappa` | 1 - s(s - c) ÷ (s² - Σ pₖtₖ) | -1…1 |

s are all rows, c the right ones, pₖ and tₖ those predicted as and of class k. Source:
scikit-learn's `balanced_accuracy_score`, `matthews_corrcoef`, `cohen_kappa_score`; intervals: Zou,
Donner, Statistics in Medicine 27, 2008; Fleiss, Cohen, Everitt, Psychological Bulletin 72, 1969.
Unit: none. Guarantee: from integers, rounded at the end. Cost: O(classes²).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from inferspan.semconv import BINARY as BINARY_TASK
from inferspan.semconv import MULTICLASS as MULTICLASS_TASK
from inferspan_collector.batches import Float64
from inferspan_collector.quality.counts import CLASS_TASKS, Counts
from inferspan_collector.quality.figure import (
    BINARY,
    MICRO,
    Figure,
    Question,
    nothing_to_judge,
)
from inferspan_collector.quality.intervals import fisher, mover, wilson
from inferspan_collector.quality.one_class import AVERAGED, OneClass, averages, cell_variance
from inferspan_collector.telemetry import OTHER

SINGLE = ("balanced_accuracy", "matthews_corrcoef", "cohen_kappa")
FIGURES: Final = (*AVERAGED, *SINGLE)
_OF_NEGATIVES: Final = ("specificity", "negative_predictive_value")

POSITIVE_UNKNOWN: Final = (
    "the positive class is not known; declare inferspan.predict(positive=…) or "
    "models.<name>.positive_class, or ask average=macro"
)
ONE_CLASS: Final = "the labelled rows hold one class only"
SAME_CLASS: Final = "predicted and actual hold one and the same class only"
_FOLDED = (
    "the labelled rows hold more classes than limits.classes and the rest is folded into "
    f"{OTHER}; raise limits.classes, or ask for accuracy or average=micro, which stay exact"
)


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
    rows = sum(counts.confusion.values())
    return {name: OneClass(right[name], predicted_as[name], actually[name], rows) for name in right}


def per_class(counts: Counts) -> dict[str, dict[str, Figure]]:
    """The figures of `AVERAGED` of each class; empty where the task has no classes.

    Classes folded together by `limits.classes` have no figures, only the reason.
    """
    if _unfit(counts) is not None:
        return {}
    table = {name: one.figures() for name, one in one_against_rest(counts).items()}
    if OTHER in table:
        table[OTHER] = dict.fromkeys(AVERAGED, Figure.missing(_FOLDED))
    return table


def figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """Those of `AVERAGED` by the question's average; balanced_accuracy, MCC and kappa."""
    unfit = _unfit(counts)
    if unfit is not None:
        return dict.fromkeys((*AVERAGED, *SINGLE), Figure.missing(unfit))
    table = one_against_rest(counts)
    folded = OTHER in table
    if question.average == BINARY:
        averaged = _binary(counts, table, question)
    elif question.average == MICRO:
        averaged = _micro(counts, table, folded=folded)
    elif folded:
        averaged = dict.fromkeys(AVERAGED, Figure.missing(_FOLDED, counts.judged))
    else:
        averaged = averages(table, _cells(counts, table), question.average)
    if folded:
        return averaged | dict.fromkeys(SINGLE, Figure.missing(_FOLDED, counts.judged))
    return averaged | _singles(table, _cells(counts, table))


def has_classes(tasks: frozenset[str | None]) -> bool:
    """Whether figures of classes are defined for predictions of some tasks."""
    return tasks <= {BINARY_TASK, MULTICLASS_TASK}


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
            else POSITIVE_UNKNOWN
        )
        return dict.fromkeys(AVERAGED, Figure.missing(reason))
    if positive not in table and OTHER in table:
        return dict.fromkeys(AVERAGED, Figure.missing(_FOLDED, counts.judged))
    return table.get(positive, OneClass(0, 0, 0, counts.judged)).figures()


def _micro(counts: Counts, table: dict[str, OneClass], *, folded: bool) -> dict[str, Figure]:
    """Of all (row, class) pairs together.

    Every row has one class, so each wrong one is a false positive once and a false negative once:
    precision, recall and Fβ are the share of right rows, the other two follow from it.
    """
    n = counts.judged
    right = Figure(counts.correct / n, n, *wilson(counts.correct, n))
    averaged = dict.fromkeys(AVERAGED, right)
    others = len(table) - 1
    if folded or others < 1:
        reason = _FOLDED if folded else ONE_CLASS
        return averaged | dict.fromkeys(_OF_NEGATIVES, Figure.missing(reason, n))
    low, high = wilson(counts.incorrect, n)
    value = 1 - counts.incorrect / (n * others)
    negatives = Figure(value, n, 1 - high / others, 1 - low / others)
    return averaged | dict.fromkeys(_OF_NEGATIVES, negatives)


def _cells(counts: Counts, table: dict[str, OneClass]) -> Float64:
    """float64[K, K]: rows by predicted and actual class, in the order of the table."""
    place = {name: i for i, name in enumerate(table)}
    cells = np.zeros((len(place), len(place)))
    for (predicted, actual), n in counts.confusion.items():
        cells[place[predicted], place[actual]] += n
    return cells


def _singles(table: dict[str, OneClass], cells: Float64) -> dict[str, Figure]:
    """The figures of `SINGLE`, from integers until the last division.

    Intervals: of the balanced accuracy from those of the recalls, which are independent shares; of
    kappa Fleiss', Cohen's and Everitt's variance ("Large sample standard errors of kappa and
    weighted kappa", Psychological Bulletin 72, 1969), of MCC the delta method, both in Fisher's z.
    """
    rows = sum(one.actual for one in table.values())
    right = sum(one.true_positives for one in table.values())
    recalls = [one.recall() for one in table.values() if one.actual]
    return {
        "balanced_accuracy": _balanced(recalls, rows),
        "matthews_corrcoef": _matthews(table, cells, rows, right),
        "cohen_kappa": _kappa(table, cells, rows, right),
    }


def _balanced(recalls: list[Figure], rows: int) -> Figure:
    share = 1 / len(recalls)
    low, high = mover([(share, f.value or 0.0, f.low or 0.0, f.high or 0.0) for f in recalls])
    value = math.fsum(figure.value or 0.0 for figure in recalls) / len(recalls)
    return Figure(value, rows, max(0.0, low), min(1.0, high))


def _matthews(table: dict[str, OneClass], cells: Float64, rows: int, right: int) -> Figure:
    chance = sum(one.predicted * one.actual for one in table.values())
    spread_predicted = rows**2 - sum(one.predicted**2 for one in table.values())
    spread_actual = rows**2 - sum(one.actual**2 for one in table.values())
    spread = spread_predicted * spread_actual
    if spread == 0:
        # As scikit-learn has it, a constant prediction or truth correlates with nothing. How sure
        # that is, its rows cannot say.
        return Figure(0.0, rows)
    covariance = right * rows - chance
    value = max(-1.0, min(1.0, covariance / math.sqrt(spread)))
    shares = cells / rows
    p, t = shares.sum(axis=1), shares.sum(axis=0)
    above, a, b = covariance / rows**2, spread_predicted / rows**2, spread_actual / rows**2
    root = math.sqrt(a * b)
    gradient = (np.eye(len(p)) - t[:, None] - p[None, :]) / root
    gradient += above / root * (p[:, None] / a + t[None, :] / b)
    return _coefficient(value, rows, cells, gradient, 1 - chance / rows**2)


def _kappa(table: dict[str, OneClass], cells: Float64, rows: int, right: int) -> Figure:
    chance = sum(one.predicted * one.actual for one in table.values())
    if rows**2 <= chance:
        return Figure.missing(SAME_CLASS, rows)
    value = 1 - (rows - right) * rows / (rows**2 - chance)
    shares = cells / rows
    p, t = shares.sum(axis=1), shares.sum(axis=0)
    left = 1 - chance / rows**2
    wrong = 1 - right / rows
    gradient = np.eye(len(p)) / left - wrong * (t[:, None] + p[None, :]) / left**2
    return _coefficient(value, rows, cells, gradient, left)


def _coefficient(
    value: float, rows: int, cells: Float64, gradient: Float64, beyond_chance: float
) -> Figure:
    """A coefficient in [-1, 1] with its interval in Fisher's z, at the ends Wilson's of errors."""
    variance = cell_variance(cells, gradient)
    if abs(value) > 1 - 1e-12 or variance < 1e-15:
        # No row disagrees with another: as many others may yet as Wilson's interval allows.
        away = wilson(0, rows)[1] / beyond_chance
        low, high = max(-1.0, value - away), min(1.0, value + away)
    else:
        low, high = fisher(value, variance)
    return Figure(value, rows, min(low, value), max(high, value))
