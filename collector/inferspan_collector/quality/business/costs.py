"""What mistakes cost: a price per cell of the confusion matrix.

| figure | formula | range |
|---|---|---|
| `cost_total` | Σ over cells of rows · price | the unit of the prices |
| `cost_mean` | `cost_total` ÷ judged rows | the same, a prediction |

Source: the model's configuration. Guarantee: from exact counts; each
product of count and price is rounded. Intervals: of the mean the delta
method over the cells, which is that of a mean of rows; of the total the same, times the rows. Cost:
O(cells).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Figure, nothing_to_judge
from inferspan_collector.quality.intervals import normal
from inferspan_collector.telemetry import OTHER

FIGURES: Final = ("cost_total", "cost_mean")
Costs = Mapping[str, Mapping[str, float]]
"""Actual class → predicted class → price; 0 where none is given."""


def figures(counts: Counts, costs: Costs) -> dict[str, Figure]:
    """Those of `FIGURES`."""
    n = sum(counts.confusion.values())
    if n == 0:
        return dict.fromkeys(FIGURES, Figure.missing(nothing_to_judge(counts)))
    if any(OTHER in pair for pair in counts.confusion):
        reason = f"classes are folded into {OTHER}, so what they cost is not known"
        return dict.fromkeys(FIGURES, Figure.missing(reason, n))
    prices = [
        (rows, costs.get(actual, {}).get(predicted, 0.0))
        for (predicted, actual), rows in counts.confusion.items()
    ]
    total = math.fsum(rows * price for rows, price in prices)
    mean = total / n
    if not math.isfinite(total):
        return dict.fromkeys(FIGURES, Figure.missing("the sum is beyond what a double holds", n))
    spread = math.fsum(rows * (price - mean) ** 2 for rows, price in prices)
    if n < 2 or not math.isfinite(spread):
        return {"cost_total": Figure(total, n), "cost_mean": Figure(mean, n)}
    low, high = normal(mean, spread / (n - 1) / n)
    return {
        "cost_total": Figure(total, n, min(low * n, total), max(high * n, total)),
        "cost_mean": Figure(mean, n, low, high),
    }
