"""Predictions that are right and wrong in turn, each labelled: `unsampled_workload.py RATIO`.

Prints a line of JSON for each: trace, span, whether it is wrong, whether its span was sampled.
"""

from __future__ import annotations

import json
import sys

from opentelemetry import trace

import inferspan
from inferspan import PredictionRef

inferspan.configure(sample_ratio=float(sys.argv[1]), keep=[])


@inferspan.predict(
    model="fraud",
    version="7",
    task="binary_classification",
    positive="fraud",
    slices=["country"],
    features=["amount"],
)
def score(amount: float, country: str, made: list[PredictionRef | None]) -> dict[str, object]:
    made.append(inferspan.current_prediction())
    return {"label": "fraud", "score": 0.75}


for number in range(20):
    made: list[PredictionRef | None] = []
    score(number + 0.5, "DE", made)
    (reference,) = made
    assert reference is not None
    inferspan.label(reference, ("legit", "fraud")[number % 2], model="fraud")
    context = reference.span_context
    print(
        json.dumps(
            {
                "trace": trace.format_trace_id(context.trace_id),
                "span": trace.format_span_id(context.span_id),
                "wrong": number % 2 == 0,
                "sampled": context.trace_flags.sampled,
                "amount": number + 0.5,
            }
        )
    )
assert inferspan.flush(30)
