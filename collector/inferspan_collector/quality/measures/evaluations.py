"""Scores that evaluators give: people, checks, other models. One target is one evaluator.

| figure | formula | range |
|---|---|---|
| `score_mean` | mean of the evaluation's number | that of the score |
| `score_p05` … `score_p95` | its quantiles | the same |
| `pass_rate` | share of evaluations that pass | 0…1 |

An evaluation passes if its class is one of `PASSES`, fails if it is one of `FAILS`; with another
class or none, it passes from `passes_from` on (`models.<name>.targets.<evaluator>.passes_from`).
Source: `gen_ai.evaluation.result` of OpenTelemetry's GenAI conventions. Unit: that of the score, of
the rate none. Guarantee: the mean and the rate are exact, quantiles within 0.55 %. Intervals: those
of a mean, Wilson's, and binomial ranks. Cost: 16 bytes per occupied bucket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inferspan_collector.batches import Bool, Strings
from inferspan_collector.quality.exact_sums import ZERO, ExactSum, exact_sum
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.intervals import wilson_share
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.means import NO_MEAN, NO_WEIGHTS, Mean, Weights
from inferspan_collector.quality.quantiles import Quantiles

TASKS: Final[frozenset[str | None]] = frozenset()
"""Not by the model's task, but by the target's kind."""
PASSES: Final = frozenset(["pass", "passed", "true", "yes", "correct", "good", "relevant"])
FAILS: Final = frozenset(["fail", "failed", "false", "no", "incorrect", "bad", "irrelevant"])
QUANTILES: Final[Mapping[str, float]] = {
    "score_p05": 0.05,
    "score_p25": 0.25,
    "score_p50": 0.5,
    "score_p75": 0.75,
    "score_p95": 0.95,
}
FIGURES: Final = ("score_mean", *QUANTILES, "pass_rate")
_UNSCORED: Final = "no evaluation has a number; send labels with a value"
_UNJUDGED: Final = (
    "no evaluation says whether it passes; send the class pass or fail, or set "
    "models.<name>.targets.<evaluator>.passes_from"
)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Exact sums, a histogram of the scores, and the weight of what passes."""

    score: Mean = NO_MEAN
    quantiles: Quantiles = field(default_factory=Quantiles)
    passed: ExactSum = ZERO
    judged: Weights = NO_WEIGHTS

    @classmethod
    def of(cls, rows: Judged, question: Question) -> State:
        """Of rows with `truth`, `actual`, or both; `question.passes_from` says from where on."""
        scored = np.isfinite(rows.truth)
        weight = rows.weight[scored]
        passes, fails = _says(rows.actual, PASSES), _says(rows.actual, FAILS)
        if question.passes_from is not None:
            silent = ~(passes | fails) & scored
            passes |= silent & (rows.truth >= question.passes_from)
            fails |= silent & (rows.truth < question.passes_from)
        return cls(
            Mean.of(rows.truth[scored], weight),
            Quantiles.of(rows.truth[scored], weight),
            exact_sum(rows.weight[passes]),
            Weights.of(rows.weight[passes | fails]),
        )

    def __add__(self, other: State) -> State:
        return State(
            self.score + other.score,
            self.quantiles + other.quantiles,
            self.passed + other.passed,
            self.judged + other.judged,
        )

    def figures(self, question: Question) -> dict[str, Figure]:
        """Those of `FIGURES`."""
        found = dict.fromkeys(FIGURES, Figure.missing(_UNSCORED))
        if self.score.weights.rows:
            found["score_mean"] = self.score.figure()
            quantiles = self.quantiles.figures(tuple(QUANTILES.values()))
            found |= dict(zip(QUANTILES, quantiles, strict=True))
        found["pass_rate"] = Figure.missing(_UNJUDGED)
        if self.judged.rows:
            value = self.passed.over(self.judged.total)
            ends = wilson_share(value, self.judged.effective())
            found["pass_rate"] = Figure(value, self.judged.rows, *ends)
        return found


def _says(column: Strings, texts: frozenset[str]) -> Bool:
    codes = [code for code, value in enumerate(column.values) if value.lower() in texts]
    return np.isin(column.codes, codes)
