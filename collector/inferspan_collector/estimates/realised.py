"""The same figures that are estimated, from the labels that have come: what the estimate is held
to.

From single rows, so that both speak of the same ones. Shares have Wilson's intervals, areas
Hanley's and McNeil's, mean errors those of a mean.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from inferspan_collector.batches import Int64
from inferspan_collector.estimates.boosted_trees import Float64
from inferspan_collector.estimates.calibration import AS_GIVEN
from inferspan_collector.estimates.confidence_based import Binary, Multiclass, roc_auc
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
from inferspan_collector.quality.intervals import Z, f1_wilson, wilson
from inferspan_collector.store.row_columns import RowColumns

_NONE: Final = "no label has joined yet"
AVERAGED: Final = ("precision", "recall", "specificity", "f1")
"""Figures of many classes that are means of those of each."""


def realised(rows: RowColumns, foresight: Foresight) -> dict[str, Figure]:
    """Every figure that `foresight` estimates, of the labelled ones among the rows."""
    if isinstance(foresight.fitted, DirectLoss):
        return _errors(rows.truth[rows.correct >= -1], rows.value[rows.correct >= -1])
    judged = rows.take(rows.correct >= 0)
    if foresight.fitted is None:
        return {}
    right = int((judged.correct == 1).sum())
    found = {"accuracy": _share(right, len(judged))}
    if isinstance(foresight.fitted, Binary):
        found |= _of_class(judged, str(foresight.positive))
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
    """Means over the classes, as they are estimated; no closed interval of them is known."""
    classes, table = said.probabilities.classes, said.probabilities.table
    actual, predicted = (said.probabilities.places(text) for text in (said.actual, said.predicted))
    # A truth is a probability of 0 or 1, so what is expected of it is what it is.
    sure = Multiclass(classes, (AS_GIVEN,) * len(classes))
    truths = (actual[:, None] == np.arange(len(classes))).astype(np.float64)
    found = sure.estimates(truths, predicted)
    areas = [roc_auc(table[:, k], truths[:, k]).value for k in range(len(classes))]
    known = [area for area in areas if area is not None]
    values = {name: found[name].value for name in AVERAGED}
    values["roc_auc"] = sum(known) / len(known) if len(known) == len(areas) else None
    return {
        name: Figure.missing(_NONE) if value is None else Figure(value, len(said))
        for name, value in values.items()
    }


def _of_class(judged: RowColumns, positive: str) -> dict[str, Figure]:
    predicted, actual = judged.predicted == positive, judged.actual == positive
    right = int((predicted & actual).sum())
    misses = int((predicted ^ actual).sum())
    f1 = Figure.missing(_NONE)
    if right + misses:
        value = 2 * right / (2 * right + misses)
        f1 = Figure(value, right + misses, *f1_wilson(right, misses))
    scored = np.isfinite(judged.score)
    area = roc_auc(judged.score[scored], actual[scored].astype(np.float64))
    return {
        "precision": _share(right, int(predicted.sum())),
        "recall": _share(right, int(actual.sum())),
        "specificity": _share(int((~predicted & ~actual).sum()), int((~actual).sum())),
        "f1": f1,
        "roc_auc": Figure.missing("both classes are needed")
        if area.value is None
        else Figure(area.value, int(scored.sum()), area.low, area.high),
    }


def _share(successes: int, n: int) -> Figure:
    return Figure(successes / n, n, *wilson(successes, n)) if n else Figure.missing(_NONE)


def _errors(truth: Float64, value: Float64) -> dict[str, Figure]:
    finite = np.isfinite(truth) & np.isfinite(value)
    found = dict.fromkeys(FIGURES, Figure.missing(_NONE))
    for name in LOSSES:
        errors = errors_of(name, truth[finite], value[finite])
        if np.isnan(errors).any():
            found[name] = Figure.missing("not defined for a truth or a value of -1 or less")
        elif (errors >= ERROR_MAX).any():
            found[name] = Figure.missing(f"an error is {ERROR_MAX:g} or more")
        elif len(errors):
            mean = float(errors.mean())
            half = Z * float(errors.std()) / math.sqrt(len(errors))
            found[name] = Figure(mean, len(errors), max(0.0, mean - half), mean + half)
    for name, square in ROOTS.items():
        figure = found[square]
        found[name] = figure
        if figure.value is not None and figure.low is not None and figure.high is not None:
            ends = (math.sqrt(figure.low), math.sqrt(figure.high))
            found[name] = Figure(math.sqrt(figure.value), figure.n, *ends)
    return found
