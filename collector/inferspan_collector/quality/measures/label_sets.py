"""Sets of classes, of a multilabel task: each class of each row is predicted or not, actual or not.

| figure | formula | range |
|---|---|---|
| those of `one_class.AVERAGED` | as there | 0…1 |
| `hamming_loss` | wrong (row, class) pairs ÷ all | 0…1 |
| `jaccard` | mean over rows of common ÷ joint classes, 1 where both sets are empty | 0…1 |

Source: scikit-learn's `multilabel_confusion_matrix` and its averages; `hamming_loss`,
`jaccard_score(average="samples")`. Classes are those predicted or actual in any labelled row. Unit:
none. Guarantee: integers in units of weight, hence exact; averages as elsewhere. Intervals: a
Poisson bootstrap over groups of rows, since classes of one row are not independent; of `jaccard`
that of a mean. Cost: 1.5 kB per class, O(classes of the row) a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan.semconv import MULTILABEL
from inferspan_collector.batches import Float64, Int64, Strings
from inferspan_collector.quality.figure import BINARY, MICRO, WEIGHTED, Figure, Question
from inferspan_collector.quality.judged import GROUPS, UNIT, Judged, resampled, units
from inferspan_collector.quality.means import NO_MEAN, NO_ROWS, Mean
from inferspan_collector.quality.one_class import AVERAGED, OneClass

TASKS: Final = frozenset([MULTILABEL])
FIGURES: Final = (*AVERAGED, "hamming_loss", "jaccard")
_BETAS: Final = {"f1": 1.0, "f2": 4.0, "f0_5": 0.25}


def _no_rows() -> Int64:
    return np.zeros(GROUPS, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Units of weight per class and group of rows."""

    classes: Mapping[str, Int64] = field(default_factory=dict)
    """Class → int64[GROUPS, 3]: true positives, predicted, actual."""
    rows: Int64 = field(default_factory=_no_rows)
    """int64[GROUPS]: all rows."""
    jaccard: Mean = NO_MEAN

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows whose `predicted` and `actual` are JSON arrays of classes."""
        said, true = _sets(rows.predicted), _sets(rows.actual)
        weighed, groups = units(rows.weight).tolist(), rows.groups().tolist()
        classes: dict[str, Int64] = {}
        counted, kept, shares = _no_rows(), [], []
        pairs = zip(rows.predicted.codes.tolist(), rows.actual.codes.tolist(), strict=True)
        for row, (predicted_code, actual_code) in enumerate(pairs):
            predicted, actual = said[predicted_code], true[actual_code]
            if predicted is None or actual is None:
                continue
            group, weight = groups[row], weighed[row]
            counted[group] += weight
            for name in predicted | actual:
                cells = classes.setdefault(name, np.zeros((GROUPS, 3), np.int64))
                cells[group, 0] += weight * (name in predicted and name in actual)
                cells[group, 1] += weight * (name in predicted)
                cells[group, 2] += weight * (name in actual)
            kept.append(row)
            joint = len(predicted | actual)
            shares.append(len(predicted & actual) / joint if joint else 1.0)
        jaccard = Mean.of(np.array(shares, np.float64), rows.weight[np.array(kept, np.int64)])
        return cls(classes, counted, jaccard)

    def __add__(self, other: State) -> State:
        classes = dict(self.classes)
        for name, cells in other.classes.items():
            classes[name] = classes[name] + cells if name in classes else cells
        return State(classes, self.rows + other.rows, self.jaccard + other.jaccard)

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        n = self.jaccard.weights.rows
        if n == 0:
            return dict.fromkeys(FIGURES, Figure.missing(NO_ROWS))
        if not self.classes:
            empty = Figure.missing("no labelled prediction says or holds any class", n)
            return dict.fromkeys(FIGURES, empty) | {"jaccard": self.jaccard.figure(0.0, 1.0)}
        names = sorted(self.classes)
        cells = np.stack([self.classes[name] for name in names], axis=1).astype(np.float64)
        whole = np.concatenate((cells.sum(axis=0).ravel(), [self.rows.sum()]))
        groups = np.concatenate((cells.reshape(GROUPS, -1), self.rows[:, None]), axis=1)
        drawn = resampled(groups.astype(np.float64))
        average = question.average
        if average == BINARY:
            reason = "a multilabel task has no positive class; ask average=macro, micro or weighted"
            found = dict.fromkeys(AVERAGED, Figure.missing(reason, n))
        else:
            found = {
                name: _figure(n, *(_averaged(name, each, average) for each in (whole, drawn)))
                for name in AVERAGED
            }
        found["hamming_loss"] = _figure(n, _hamming(whole), _hamming(drawn))
        return found | {"jaccard": self.jaccard.figure(0.0, 1.0)}

    def per_class(self) -> dict[str, dict[str, Figure]]:
        """The figures of each class, sorted as text; of weighted rows to the nearest row."""
        total = int(self.rows.sum())
        table = {}
        for name, cells in sorted(self.classes.items()):
            counts = [round(units / UNIT) for units in (*cells.sum(axis=0).tolist(), total)]
            table[name] = OneClass(*counts).figures()
        return table


def _figure(n: int, value: Float64, drawn: Float64) -> Figure:
    drawn = drawn[np.isfinite(drawn)]
    below, above = np.quantile(drawn, (0.025, 0.975)).tolist() if len(drawn) else (0.0, 1.0)
    found = float(value)
    if not np.isfinite(found):
        return Figure.missing("there is nothing to divide by", n)
    return Figure(found, n, min(below, found), max(above, found))


def _parts(sums: Float64) -> tuple[Float64, Float64, Float64, Float64]:
    """(tp, predicted, actual: [..., K], rows: [..., 1])."""
    cells = sums[..., :-1].reshape(*sums.shape[:-1], -1, 3)
    return cells[..., 0], cells[..., 1], cells[..., 2], sums[..., -1:]


def _averaged(name: str, sums: Float64, average: str) -> Float64:
    tp, predicted, actual, rows = _parts(sums)
    if average == MICRO:
        rows = rows * tp.shape[-1]
        tp, predicted, actual = (each.sum(axis=-1) for each in (tp, predicted, actual))
        return _ratio(name, tp, predicted, actual, rows[..., 0])
    each = _ratio(name, tp, predicted, actual, rows)
    if average != WEIGHTED:
        macro: Float64 = each.mean(axis=-1)
        return macro
    with np.errstate(invalid="ignore", divide="ignore"):
        weighted: Float64 = (each * actual).sum(axis=-1) / actual.sum(axis=-1)
    return weighted


def _ratio(name: str, tp: Float64, predicted: Float64, actual: Float64, rows: Float64) -> Float64:
    """The figure of each class, 0 without a denominator."""
    negatives = rows - predicted - actual + tp
    if name == "precision":
        above, below = tp, predicted
    elif name == "recall":
        above, below = tp, actual
    elif name == "specificity":
        above, below = negatives, rows - actual
    elif name == "negative_predictive_value":
        above, below = negatives, rows - predicted
    else:
        square = _BETAS[name]
        above, below = (1 + square) * tp, square * actual + predicted
    return np.where(below > 0, above, 0.0) / np.where(below > 0, below, 1.0)


def _hamming(sums: Float64) -> Float64:
    tp, predicted, actual, rows = _parts(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        wrong = (predicted + actual - 2 * tp).sum(axis=-1)
        loss: Float64 = wrong / (rows[..., 0] * tp.shape[-1])
    return loss


def _sets(column: Strings) -> list[frozenset[str] | None]:
    """What each text of a column lists; the last is of what is absent."""
    return [*(_set(text) for text in column.values), None]


def _set(text: str) -> frozenset[str]:
    try:
        items = json.loads(text)
    except ValueError:
        return frozenset([text])
    return frozenset(map(str, items)) if isinstance(items, list) else frozenset([text])
