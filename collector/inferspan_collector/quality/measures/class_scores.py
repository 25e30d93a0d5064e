"""Probabilities of a multiclass task, one per class and row.

| figure | formula | range |
|---|---|---|
| `roc_auc` | one-vs-rest AUC, averaged over the classes that are actual | 0…1 |
| `average_precision` | of each class against the rest, averaged likewise | 0…1 |
| `log_loss` | mean of -ln P(actual), P cut to [ε, 1 - ε] | ≥ 0 nats |
| `brier_score` | mean of Σ over classes of (P(class) - [actual is it])² | 0…2 |
| `top_2_accuracy`, `top_3_accuracy`, `top_5_accuracy` | actual among the k most probable | 0…1 |
| `expected_calibration_error` | of P(predicted) against right or wrong, ten bins | 0…1 |

Source: scikit-learn's `roc_auc_score(multi_class="ovr")`, `log_loss`, `brier_score_loss`,
`top_k_accuracy_score` (of equal probabilities the class later in the order of texts comes first);
Guo et al.: "On calibration of modern neural networks", 2017. Unit: of log loss nats, else none.
Guarantee: as of `binary_scores`, and so are intervals; an average of AUCs has the average of their
ends, as if all erred together, which is too wide rather than too narrow. Averages are macro; by
support, or over all pairs of row and class (`micro`: twice the variance, for every row is on both
sides), if that is asked for. Cost: 16 bytes per class and occupied bin, some 0.5 µs a row and
class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from inferspan.semconv import MULTICLASS
from inferspan_collector.batches import Float64
from inferspan_collector.quality.calibration import Calibration
from inferspan_collector.quality.exact_sums import ExactSum, exact_sums
from inferspan_collector.quality.figure import MICRO, WEIGHTED, Figure, Question
from inferspan_collector.quality.intervals import wilson_share
from inferspan_collector.quality.judged import Judged, is_text
from inferspan_collector.quality.means import NO_MEAN, NO_WEIGHTS, Mean, Weights
from inferspan_collector.quality.one_against_rest import OneAgainstRest

TASKS: Final = frozenset([MULTICLASS])
TOP: Final = (2, 3, 5)
FIGURES: Final = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_score",
    *(f"top_{k}_accuracy" for k in TOP),
    "expected_calibration_error",
)
_EPSILON: Final = float(np.finfo(np.float64).eps)
_UNRECORDED: Final = (
    "probabilities in [0, 1] are not recorded; answer one per class, "
    'with classes=[…] declared or as {"probabilities": …}'
)
_SAMPLED: Final = (
    "probabilities came with {} of {} labelled predictions; send those of all, in spans or in slim "
    "records (record_classes=256)"
)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Sparse histograms per class, exact sums, and how far down the actual class stood."""

    classes: Mapping[str, OneAgainstRest] = field(default_factory=dict)
    weights: Weights = NO_WEIGHTS
    ranks: Mapping[int, ExactSum] = field(default_factory=dict)
    """Weight of the rows whose actual class was the k-th most probable, by k from 1; 0 = it has no
    probability."""
    log_loss: Mean = NO_MEAN
    brier: Mean = NO_MEAN
    calibration: Calibration = field(default_factory=Calibration)
    without: int = 0
    """Labelled rows with a score and no probabilities."""

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows with `probabilities` and `actual`; the calibration needs `score` alone."""
        certain = (rows.score >= 0) & (rows.score <= 1) & (rows.actual.codes >= 0)
        calibration = Calibration.of(
            rows.score[certain], rows.right()[certain], rows.weight[certain]
        )
        if not rows.classes:
            return cls(calibration=calibration, without=int(certain.sum()))
        order = np.argsort(np.array(rows.classes, np.object_), kind="stable")
        names = [rows.classes[column] for column in order.tolist()]
        known = np.isfinite(rows.probabilities).all(axis=1) & (rows.actual.codes >= 0)
        # Margins are no probabilities; rounded ones, which do not quite sum to 1, are.
        known &= ((rows.probabilities >= 0) & (rows.probabilities <= 1)).all(axis=1)
        matrix, weight = rows.probabilities[known][:, order], rows.weight[known]
        actual = rows.actual.take(known)
        is_it = np.stack([is_text(actual, name) for name in names], axis=1)
        of_actual = np.where(is_it, matrix, 0.0).sum(axis=1)
        surprise = -np.log(np.clip(of_actual, _EPSILON, 1 - _EPSILON))
        gaps = ((matrix - is_it) ** 2).sum(axis=1) + ~is_it.any(axis=1)
        return cls(
            classes={
                name: OneAgainstRest.of(matrix[:, column], is_it[:, column], weight)
                for column, name in enumerate(names)
            }
            if len(weight)
            else {},
            weights=Weights.of(weight),
            ranks=_ranks(matrix, is_it, weight),
            log_loss=Mean.of(surprise, weight),
            brier=Mean.of(gaps, weight),
            calibration=calibration,
        )

    def __add__(self, other: State) -> State:
        classes = dict(self.classes)
        for name, one in other.classes.items():
            classes[name] = classes[name] + one if name in classes else one
        ranks = dict(self.ranks)
        for rank, total in other.ranks.items():
            ranks[rank] = ranks.get(rank, ExactSum()) + total
        return State(
            classes,
            self.weights + other.weights,
            ranks,
            self.log_loss + other.log_loss,
            self.brier + other.brier,
            self.calibration + other.calibration,
            self.without + other.without,
        )

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        calibration = {"expected_calibration_error": self.calibration.figure()}
        if self.weights.rows == 0 or self.without:
            # Of a part of the rows they would be another figure at each sampling ratio.
            some = _SAMPLED.format(self.weights.rows, self.weights.rows + self.without)
            reason = some if self.weights.rows else _UNRECORDED
            return dict.fromkeys(FIGURES, Figure.missing(reason)) | calibration
        return {
            "roc_auc": self._average(OneAgainstRest.area, question),
            "average_precision": self._average(OneAgainstRest.average_precision, question),
            "log_loss": self.log_loss.figure(0.0),
            "brier_score": self.brier.figure(0.0, 2.0),
            **{f"top_{k}_accuracy": self._top(k) for k in TOP},
            **calibration,
        }

    def per_class(self) -> dict[str, dict[str, Figure]]:
        """AUC and average precision of each class against the rest, classes sorted as text."""
        if self.without:
            return {}
        return {
            name: {"roc_auc": one.area(), "average_precision": one.average_precision()}
            for name, one in sorted(self.classes.items())
        }

    def _average(self, figure: Callable[[OneAgainstRest], Figure], question: Question) -> Figure:
        n = self.weights.rows
        if question.average == MICRO:
            return self._pooled(figure)
        parts = []
        for _, one in sorted(self.classes.items()):
            found = figure(one)
            if found.value is not None:
                weight = float(one.positives.total) if question.average == WEIGHTED else 1.0
                parts.append((weight, found.value, found.low or 0.0, found.high or 0.0))
        if not parts:
            return Figure.missing("the labelled rows hold one class only", n)
        columns = np.array(parts)
        weight = columns[:, 0] / columns[:, 0].sum()
        value, low, high = (float(weight @ columns[:, column]) for column in (1, 2, 3))
        return Figure(min(1.0, value), n, min(low, value), min(1.0, max(high, value)))

    def _pooled(self, figure: Callable[[OneAgainstRest], Figure]) -> Figure:
        """Of every (row, class) pair as one row of two classes."""
        pooled = OneAgainstRest()
        for _, one in sorted(self.classes.items()):
            pooled += one
        if pooled.negatives.rows:
            # The pairs of a row err together: all of its others are worth one row, and as a row is
            # on both sides, the variance is at most twice the sum of theirs.
            pooled = replace(
                pooled, positives=_half(pooled.positives), negatives=_half(self.weights)
            )
        return replace(figure(pooled), n=self.weights.rows)

    def _top(self, k: int) -> Figure:
        if len(self.classes) <= k:
            reason = f"there are {len(self.classes)} classes: the actual one is always among {k}"
            return Figure.missing(reason, self.weights.rows)
        hits = ExactSum()
        for rank, total in self.ranks.items():
            hits += total if 1 <= rank <= k else ExactSum()
        value = hits.over(self.weights.total)
        low, high = wilson_share(value, self.weights.effective())
        return Figure(value, self.weights.rows, low, high)


def _half(weights: Weights) -> Weights:
    """The same rows, worth half as many."""
    return replace(weights, squares=weights.squares + weights.squares)


def _ranks(matrix: Float64, is_it: np.ndarray, weight: Float64) -> dict[int, ExactSum]:
    """Weight by how far down the actual class stood."""
    place = np.argmax(is_it, axis=1)
    mine = np.take_along_axis(matrix, place[:, None], axis=1)
    later = np.arange(matrix.shape[1])[None, :] > place[:, None]
    rank = 1 + ((matrix > mine) | ((matrix == mine) & later)).sum(axis=1)
    rank = np.where(is_it.any(axis=1), rank, 0)
    distinct, group = np.unique(rank, return_inverse=True)
    return dict(zip(distinct.tolist(), exact_sums(weight, group, len(distinct)), strict=True))
