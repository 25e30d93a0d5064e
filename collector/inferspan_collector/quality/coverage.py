"""Coverage: the share of the predictions that the quality figures speak for.

Formula: labelled ÷ (predictions - errors). Source: ours; the interval is Wilson's ("Probable
inference", JASA 22, 1927). Unit: none, a share. Range: 0 … 1. Guarantee: exact, from integers.
Cost: constant.
"""

from __future__ import annotations

from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.intervals import wilson


def figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """`coverage` = labelled ÷ (predictions − errors); Wilson interval.

    A call that raised said nothing that a label could judge, so it waits for none.
    """
    # /metrics counts the two by two questions to the store: a prediction superseded in between may
    # leave its label counted a moment longer.
    n = max(counts.predictions - counts.errors, counts.labelled)
    if n == 0:
        return {"coverage": Figure.missing("no predictions in this window and group")}
    return {"coverage": Figure(counts.labelled / n, n, *wilson(counts.labelled, n))}
