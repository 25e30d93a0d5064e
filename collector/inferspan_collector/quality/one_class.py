"""One class against all others: its figures, and averages of them over classes.

Names and meanings are scikit-learn's (`precision_score`, `fbeta_score` …); specificity and the
negative predictive value are recall and precision of the other side. All range from 0 to 1.
A ratio without a denominator is missing for a class and counts 0 in an average (`zero_division=0`).

Intervals of one class: Wilson's, or carried over from Wilson's where the figure is a function of a
share. Of averages: from those of the classes; where these are not independent, the wider of that
and the delta method over the cells of the confusion matrix, on the logit scale.
Cost: O(classes) a figure, O(classes²) for the interval of an average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from inferspan_collector.batches import Float64
from inferspan_collector.quality.figure import MACRO, Figure
from inferspan_collector.quality.intervals import (
    Bounds,
    f1_wilson,
    logit,
    mover,
    wilson,
    wilson_share,
)


@dataclass(frozen=True, slots=True)
class OneClass:
    """Rows right, rows predicted as the class, rows that are it, and all rows."""

    true_positives: int
    predicted: int
    actual: int
    rows: int

    @property
    def true_negatives(self) -> int:
        """Rows that neither are the class nor were predicted as it."""
        return self.rows - self.predicted - self.actual + self.true_positives

    def precision(self) -> Figure:
        """True positives ÷ predicted as it, Wilson interval."""
        return _share(self.true_positives, self.predicted, WITHOUT["precision"])

    def recall(self) -> Figure:
        """True positives ÷ actual, Wilson interval."""
        return _share(self.true_positives, self.actual, WITHOUT["recall"])

    def specificity(self) -> Figure:
        """True negatives ÷ rows that are not the class, Wilson interval."""
        return _share(self.true_negatives, self.rows - self.actual, WITHOUT["specificity"])

    def negative_predictive_value(self) -> Figure:
        """True negatives ÷ rows not predicted as it, Wilson interval."""
        reason = WITHOUT["negative_predictive_value"]
        return _share(self.true_negatives, self.rows - self.predicted, reason)

    def f1(self) -> Figure:
        """2·tp ÷ (predicted + actual), indirect Wilson interval; n = tp + fp + fn."""
        return self.fbeta(1.0)

    def f2(self) -> Figure:
        """Fβ for β = 2: recall counts twice as much as precision."""
        return self.fbeta(2.0)

    def f0_5(self) -> Figure:
        """Fβ for β = ½: precision counts twice as much as recall."""
        return self.fbeta(0.5)

    def fbeta(self, beta: float) -> Figure:
        """(1 + β²)·tp ÷ (β²·actual + predicted); n = tp + fp + fn, among which tp is binomial."""
        if self.predicted + self.actual == 0:
            return Figure.missing(WITHOUT["f1"])
        square = beta * beta
        tp, fp, fn = self.true_positives, self.predicted, self.actual
        fp, fn = fp - tp, fn - tp
        value = (1 + square) * tp / (square * self.actual + self.predicted)
        low, high = _fbeta_interval(tp, fp, fn, square)
        return Figure(value, tp + fp + fn, low, high)

    def figures(self) -> dict[str, Figure]:
        """All of `AVERAGED`."""
        return {name: figure(self) for name, figure in AVERAGED.items()}


AVERAGED: Final[Mapping[str, Callable[[OneClass], Figure]]] = {
    "precision": OneClass.precision,
    "recall": OneClass.recall,
    "f1": OneClass.f1,
    "f2": OneClass.f2,
    "f0_5": OneClass.f0_5,
    "specificity": OneClass.specificity,
    "negative_predictive_value": OneClass.negative_predictive_value,
}
"""Figures of one class, which need an average to become one of the model."""

BETAS: Final = {"f1": 1.0, "f2": 2.0, "f0_5": 0.5}

WITHOUT: Final[Mapping[str, str]] = {
    "precision": "the class was never predicted",
    "recall": "no labelled prediction has this class as its truth",
    "specificity": "every labelled prediction has this class as its truth",
    "negative_predictive_value": "every labelled prediction was predicted as this class",
    **dict.fromkeys(BETAS, "the class was neither predicted nor true"),
}
"""Why a figure of one class is missing."""


def averages(table: Mapping[str, OneClass], cells: Float64, average: str) -> dict[str, Figure]:
    """The mean over classes of each of `AVERAGED`, plain (macro) or by support (weighted).

    Args:
        table: every class of the rows.
        cells: float64[K, K]: rows by predicted and actual class, in the order of the table.
        average: `macro` or `weighted`.
    """
    rows = int(cells.sum())
    macro = average == MACRO
    means = {}
    for name, figure in AVERAGED.items():
        values = [(figure(one).value or 0.0, one.actual) for one in table.values()]
        if macro:
            value = math.fsum(v for v, _ in values) / len(values)
        else:
            value = math.fsum(v * support for v, support in values) / rows
        value = min(1.0, value)
        low, high = _of_classes(table, figure, macro=macro)
        if name in BETAS or not macro:
            # Of one class what the other lacks: they are not independent, as precisions are.
            gradient = _gradient(name, cells / rows, macro=macro)
            by_cells = share_interval(value, cells, gradient)
            low, high = min(low, by_cells[0]), max(high, by_cells[1])
        means[name] = Figure(value, rows, max(0.0, min(low, value)), min(1.0, max(high, value)))
    return means


def _of_classes(
    table: Mapping[str, OneClass], figure: Callable[[OneClass], Figure], *, macro: bool
) -> Bounds:
    """The interval of an average from those of the classes; of a class without one, all is open."""
    rows = sum(one.actual for one in table.values())
    parts = []
    for one in table.values():
        found = figure(one)
        weight = 1 / len(table) if macro else one.actual / rows
        low = 0.0 if found.low is None else found.low
        high = 1.0 if found.high is None else found.high
        parts.append((weight, found.value or 0.0, low, high))
    return mover(parts)


def share_interval(value: float, cells: Float64, gradient: Float64) -> Bounds:
    """The interval of a figure in [0, 1] of a confusion matrix, by the delta method.

    Args:
        value: the figure.
        cells: float64[K, K] rows by cell.
        gradient: float64[K, K]: by each cell's share of the rows.
    """
    variance = cell_variance(cells, gradient)
    if not 0.0 < value < 1.0 or variance <= 1e-18:
        # No row disagrees with the others, so only their number says anything.
        low, high = wilson_share(value, float(cells.sum()))
    else:
        low, high = logit(value, variance)
    return min(low, value), max(high, value)


def cell_variance(cells: Float64, gradient: Float64) -> float:
    """The variance of a smooth function of a multinomial's shares, by the delta method.

    Arguments as `share_interval`. Agresti: "Categorical Data Analysis", 3rd ed., 16.1.
    """
    rows = cells.sum()
    shares = cells / rows
    mean = float((shares * gradient).sum())
    return max(0.0, float((shares * gradient * gradient).sum()) - mean * mean) / float(rows)


def _gradient(name: str, shares: Float64, *, macro: bool) -> Float64:
    """∂ average ÷ ∂ share of each cell: of the diagonal d, of predicted p, and of actual t."""
    d, p, t = np.diagonal(shares), shares.sum(axis=1), shares.sum(axis=0)
    value, by_d, by_p, by_t = partials(name, d, p, t)
    weight = np.full(len(d), 1 / len(d)) if macro else t
    by_d, by_p, by_t = weight * by_d, weight * by_p, weight * by_t
    if not macro:
        by_t = by_t + value
    return np.diag(by_d) + by_p[:, None] + by_t[None, :]


def partials(
    name: str, d: Float64, p: Float64, t: Float64
) -> tuple[Float64, Float64, Float64, Float64]:
    """A figure of each class by its shares, and its derivatives; 0 without a denominator.

    Args:
        name: of the figure.
        d: per class, the share of all rows that are predicted and actual; any shape, as the others.
        p: that are predicted.
        t: that are actual.

    Returns:
        The figure, and its derivatives by `d`, `p` and `t`.
    """
    zero = np.zeros_like(d)
    rest = 1 - p - t + d
    if name == "precision":
        return _over(d, p), _over(1.0, p), -_over(d, p * p), zero
    if name == "recall":
        return _over(d, t), _over(1.0, t), zero, -_over(d, t * t)
    if name == "specificity":
        left = 1 - t
        slope = _over(1.0, left)
        return _over(rest, left), slope, -slope, _over(d - p, left * left)
    if name == "negative_predictive_value":
        left = 1 - p
        slope = _over(1.0, left)
        return _over(rest, left), slope, _over(d - t, left * left), -slope
    square = BETAS[name] ** 2
    both = square * t + p
    by_both = -_over((1 + square) * d, both * both)
    return _over((1 + square) * d, both), _over(1 + square, both), by_both, square * by_both


def _over(above: Float64 | float, below: Float64) -> Float64:
    held = below > 1e-15
    return np.where(held, above, 0.0) / np.where(held, below, 1.0)


def _share(successes: int, n: int, reason: str) -> Figure:
    if n == 0:
        return Figure.missing(reason)
    return Figure(successes / n, n, *wilson(successes, n))


def _fbeta_interval(tp: int, fp: int, fn: int, square: float) -> Bounds:
    """Of F1 Wilson's, carried over; else the delta method, at the ends bounded by Wilson's."""
    n = tp + fp + fn
    if square == 1.0:
        return f1_wilson(tp, fp + fn)
    if tp == 0 or tp == n:
        # How the misses there may be divide is not known: the worst and the best of it.
        low, high = wilson(tp, n)
        least, most = min(1.0, square), max(1.0, square)
        return (
            (1 + square) * low / ((1 + square) * low + most * (1 - low)),
            (1 + square) * high / ((1 + square) * high + least * (1 - high)),
        )
    above = (1 + square) * tp
    below = above + square * fn + fp
    value = above / below
    slopes = (1 + square) * (1 - value) / below, -value / below, -square * value / below
    counts = (tp, fp, fn)
    variance = math.fsum(c * s * s for c, s in zip(counts, slopes, strict=True))
    return logit(
        value, variance - math.fsum(c * s for c, s in zip(counts, slopes, strict=True)) ** 2 / n
    )
