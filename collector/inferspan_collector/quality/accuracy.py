"""Accuracy: right ÷ judged. Defined for every task for which right and wrong are.

For classes it is scikit-learn's `accuracy_score`, for sets its subset accuracy; for a regression
with a tolerance it is the share within the tolerance.
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
