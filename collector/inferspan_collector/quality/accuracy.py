"""Accuracy: the share of the judged predictions that are right.

Defined for every task for which right and wrong are: of sets the whole set, of a regression within
its tolerance.

Formula: right ÷ judged. Source: scikit-learn's `accuracy_score`; the interval is Wilson's
("Probable inference", JASA 22, 1927). Unit: none, a share. Range: 0 … 1. Guarantee: exact, from
integers. Cost: constant.
"""

from __future__ import annotations

from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Figure, Question, nothing_to_judge
from inferspan_collector.quality.intervals import wilson


def figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """`accuracy`; n = judged predictions, Wilson interval."""
    if counts.judged == 0:
        return {"accuracy": Figure.missing(nothing_to_judge(counts))}
    value = counts.correct / counts.judged
    return {"accuracy": Figure(value, counts.judged, *wilson(counts.correct, counts.judged))}
