"""Scores of a binary task, P(positive): ranking, probability and calibration.

| figure | formula | range |
|---|---|---|
| `roc_auc` | share of (positive, negative) pairs in the right order, ties a half | 0…1 |
| `average_precision` | Σ (Rₙ - Rₙ₋₁)·Pₙ over falling thresholds | 0…1 |
| `log_loss` | mean of -ln P(actual), P cut to [ε, 1 - ε] | ≥ 0 nats |
| `brier_score` | mean of (P(positive) - [actual is positive])² | 0…1 |
| `expected_calibration_error` | Σ over ten bins of share · abs(mean score - share positive) | 0…1 |

Source: scikit-learn's `roc_auc_score`, `average_precision_score`, `log_loss`, `brier_score_loss`;
Naeini, Cooper, Hauskrecht: "Obtaining well calibrated probabilities using Bayesian binning", 2015.
Unit: of log loss nats, else none. Guarantee: log loss, Brier and the calibration error are exact;
AUC and average precision are exact up to 131,072 distinct scores, and within 1e-4 beyond
(`score_bins`). Intervals: DeLong (AUC), Boyd, Eng, Page: "Area under the precision-recall curve",
2013 (AP), means of rows (log loss, Brier), a Poisson bootstrap of the calibration's cells. Cost: 24
bytes per occupied bin, some 0.3 µs a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan.semconv import BINARY
from inferspan_collector.quality.calibration import Calibration
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged, is_text
from inferspan_collector.quality.means import NO_MEAN, Mean
from inferspan_collector.quality.one_against_rest import OneAgainstRest

TASKS: Final = frozenset([BINARY])
FIGURES: Final = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
)
_EPSILON: Final = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Histograms of both classes, and exact sums.

    `unscored` counts rows left out: without a score, or with one outside [0, 1].
    """

    scores: OneAgainstRest = field(default_factory=OneAgainstRest)
    log_loss: Mean = NO_MEAN
    brier: Mean = NO_MEAN
    calibration: Calibration = field(default_factory=Calibration)
    unscored: int = 0

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows with `score` and `actual`; `question.positive_class` says which is positive."""
        if question.positive_class is None:
            return cls(unscored=len(rows))
        scored = (rows.score >= 0) & (rows.score <= 1) & (rows.actual.codes >= 0)
        score, weight = rows.score[scored], rows.weight[scored]
        actual = is_text(rows.actual, question.positive_class)[scored]
        of_actual = np.clip(np.where(actual, score, 1 - score), _EPSILON, 1 - _EPSILON)
        return cls(
            scores=OneAgainstRest.of(score, actual, weight),
            log_loss=Mean.of(-np.log(of_actual), weight),
            brier=Mean.of((score - actual) ** 2, weight),
            calibration=Calibration.of(score, actual, weight),
            unscored=int((~scored).sum()),
        )

    def __add__(self, other: State) -> State:
        return State(
            self.scores + other.scores,
            self.log_loss + other.log_loss,
            self.brier + other.brier,
            self.calibration + other.calibration,
            self.unscored + other.unscored,
        )

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        if self.scores.rows == 0:
            return dict.fromkeys(FIGURES, Figure.missing(self._nothing(question)))
        return {
            "roc_auc": self.scores.area(),
            "average_precision": self.scores.average_precision(),
            "log_loss": self.log_loss.figure(0.0),
            "brier_score": self.brier.figure(0.0, 1.0),
            "expected_calibration_error": self.calibration.figure(),
        }

    def _nothing(self, question: Question) -> str:
        if question.positive_class is None:
            return (
                "the positive class is not known; declare inferspan.predict(positive=…) or "
                "models.<name>.positive_class"
            )
        if self.unscored:
            return (
                "no score in [0, 1] is recorded; answer P(positive) beside the class, as "
                '{"label": …, "score": 0.93}'
            )
        return "no label has joined yet; see coverage"
