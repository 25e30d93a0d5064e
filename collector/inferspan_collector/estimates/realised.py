"""The same figures that are estimated, from the labels that have come: what the estimate is held
to.

From single rows, so that both speak of the same ones; a row that weighs counts as what it weighs,
scikit-learn's `sample_weight`. Shares have Wilson's intervals of as many rows as the weights are
worth, areas DeLong's, as the quality's figures have, mean errors those of a mean. Means over
classes have the means of their intervals, as estimates have: wide rather than narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Int64
from inferspan_collector.estimates.boosted_trees import Float64
from inferspan_collector.estimates.confidence_based import Binary, Multiclass
from inferspan_collector.estimates.direct_loss import (
    ERROR_MAX,
    FIGURES,
    LOSSES,
    ROOTS,
    DirectLoss,
    errors_of,
)
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.intervals import Z, effective_n, wilson_share
from inferspan_collector.quality.one_against_rest import OneAgainstRest
from inferspan_collector.store.row_columns import RowColumns

_NONE: Final = "no label has joined yet"
AVERAGED: Final = ("precision", "recall", "specificity", "f1")
"""Figures of many classes that are means of those of each; one that a class lacks is 0 there."""


def realised(rows: RowColumns, foresight: Foresight) -> dict[str, Figure]:
    """Every figure that `foresight` estimates, of the labelled ones among the rows."""
    if isinstance(foresight.fitted, DirectLoss):
        labelled = rows.take(rows.correct >= -1)
        return _errors(labelled.truth, labelled.value, labelled.weight)
    judged = rows.take(rows.correct >= 0)
    if foresight.fitted is None:
        return {}
    found = {"accuracy": _share(judged.correct == 1, np.ones(len(judged), bool), judged.weight)}
    if isinstance(foresight.fitted, Binary):
        positive = str(foresight.positive)
        predicted, actual = judged.predicted == positive, judged.actual == positive
        found |= _of_class(predicted, actual, judged.score, judged.weight)
    if isinstance(foresight.fitted, Multiclass):
        said = judged.take(judged.probabilities.known)
        if said.probabilities.classes == foresight.fitted.classes:
            found |= _of_classes(said)
    return found


def realised_windows(
    rows: RowColumns, places: Int64, n: int, foresight: Foresight
) -> dict[str, Float64]:
    """Figure → its value in each window, NaN where it is not defined.

    Args:
        rows: N rows.
        places: int64[N]: the window of each, 0 … n - 1.
        n: how many windows.
        foresight: what estimates the figures.
    """
    figures: dict[str, list[float]] = {}
    for window in range(n):
        for name, figure in realised(rows.take(places == window), foresight).items():
            figures.setdefault(name, []).append(np.nan if figure.value is None else figure.value)
    return {name: np.array(values) for name, values in figures.items()}


def _of_classes(said: RowColumns) -> dict[str, Figure]:
    """Means over the classes, as they are estimated."""
    probabilities = said.probabilities
    actual, predicted = (probabilities.places(text) for text in (said.actual, said.predicted))
    each = [
        _of_class(predicted == k, actual == k, probabilities.table[:, k], said.weight)
        for k in range(len(probabilities.classes))
    ]
    found = {name: _mean([figures[name] for figures in each], len(said)) for name in AVERAGED}
    areas = [figures["roc_auc"] for figures in each]
    missing = next((area for area in areas if area.value is None), None)
    return {**found, "roc_auc": _mean(areas, len(said)) if missing is None else missing}


def _mean(parts: Sequence[Figure], n: int) -> Figure:
    if n == 0:
        return Figure.missing(_NONE)
    ends = [
        math.fsum(missing if end is None else end for end in column) / len(parts)
        for missing, column in (
            (0.0, [part.value for part in parts]),
            (0.0, [part.low for part in parts]),
            (1.0, [part.high for part in parts]),
        )
    ]
    return Figure(ends[0], n, ends[1], ends[2])


def _of_class(predicted: Bool, actual: Bool, score: Float64, weight: Float64) -> dict[str, Figure]:
    """Those of one class against the rest; the score is of the class, NaN where there is none."""
    concerned = predicted | actual
    shared = _share(predicted & actual, concerned, weight)
    scored = np.isfinite(score)
    area = OneAgainstRest.of(_within_one(score[scored]), actual[scored], weight[scored]).area()
    return {
        "precision": _share(actual, predicted, weight),
        "recall": _share(predicted, actual, weight),
        "specificity": _share(~predicted, ~actual, weight),
        "f1": _as_f1(shared),
        "roc_auc": area,
    }


def _within_one(score: Float64) -> Float64:
    """Scores that order rows as these do, from 0 to 1; probabilities as they are.

    Margins lie anywhere, and an area knows their order alone.
    """
    if ((score >= 0) & (score <= 1)).all():
        return score
    distinct, place = np.unique(score, return_inverse=True)
    found: Float64 = place / len(distinct)
    return found


def _share(hit: Bool, among: Bool, weight: Float64) -> Figure:
    n = int(among.sum())
    if n == 0:
        return Figure.missing(_NONE)
    total = math.fsum(weight[among])
    share = math.fsum(weight[hit & among]) / total
    worth = effective_n(total, math.fsum(weight[among] ** 2))
    return Figure(share, n, *wilson_share(share, worth))


def _as_f1(shared: Figure) -> Figure:
    """F1 = 2J ÷ (1 + J) of the share J of the rows that concern the class (`f1_wilson`)."""
    if shared.value is None or shared.low is None or shared.high is None:
        return shared
    value, low, high = (2 * j / (1 + j) for j in (shared.value, shared.low, shared.high))
    return Figure(value, shared.n, low, high)


def _errors(truth: Float64, value: Float64, weight: Float64) -> dict[str, Figure]:
    finite = np.isfinite(truth) & np.isfinite(value)
    found = dict.fromkeys(FIGURES, Figure.missing(_NONE))
    for name in LOSSES:
        errors = errors_of(name, truth[finite], value[finite])
        if np.isnan(errors).any():
            found[name] = Figure.missing("not defined for a truth or a value of -1 or less")
        elif (errors >= ERROR_MAX).any():
            found[name] = Figure.missing(f"an error is {ERROR_MAX:g} or more")
        elif len(errors):
            found[name] = _mean_error(errors, weight[finite])
    for name, square in ROOTS.items():
        figure = found[square]
        found[name] = figure
        if figure.value is not None and figure.low is not None and figure.high is not None:
            ends = (math.sqrt(figure.low), math.sqrt(figure.high))
            found[name] = Figure(math.sqrt(figure.value), figure.n, *ends)
    return found


def _mean_error(errors: Float64, weight: Float64) -> Figure:
    """With the linearised variance of a weighted mean, as `means.Mean` has it."""
    share = weight / weight.sum()
    mean = float((share * errors).sum())
    half = Z * math.sqrt(float((share**2 * (errors - mean) ** 2).sum()))
    return Figure(mean, len(errors), max(0.0, mean - half), mean + half)
