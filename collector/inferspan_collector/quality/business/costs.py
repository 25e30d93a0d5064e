"""What mistakes cost: a price per cell of the confusion matrix.

| figure | formula | range |
|---|---|---|
| `cost_total` | Σ over cells of rows · price | any |
| `cost_mean` | `cost_total` ÷ judged rows | any |

Source: the model's configuration. Unit: that of the prices, of the mean a prediction. Guarantee:
from exact counts; each product of count and price is rounded. Intervals: of the mean the delta
method over the cells, which is that of a mean of rows; of the total the same, times the rows. Rows
that stand for others cost what all of those do. Cost: O(cells).
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
CellWeights = Mapping[tuple[str, str], tuple[float, float]]
"""(Predicted, actual) → Σw and Σw² of the rows."""


def figures(counts: Counts, costs: Costs, weights: CellWeights | None = None) -> dict[str, Figure]:
    """Those of `FIGURES`.

    Args:
        counts: of the confusion matrix.
        costs: the prices.
        weights: what the rows of each cell weigh; None = one each.
    """
    n = sum(counts.confusion.values())
    if n == 0:
        return dict.fromkeys(FIGURES, Figure.missing(nothing_to_judge(counts)))
    if any(OTHER in pair for pair in counts.confusion):
        reason = f"classes are folded into {OTHER}, so what they cost is not known"
        return dict.fromkeys(FIGURES, Figure.missing(reason, n))
    each = {pair: (rows, rows) for pair, rows in counts.confusion.items()}
    prices = [
        (weight, square, costs.get(actual, {}).get(predicted, 0.0))
        for (predicted, actual), (weight, square) in (weights or each).items()
    ]
    rows = math.fsum(weight for weight, _, _ in prices)
    total = math.fsum(weight * price for weight, _, price in prices)
    mean = total / rows
    if not math.isfinite(total):
        return dict.fromkeys(FIGURES, Figure.missing("the sum is beyond what a double holds", n))
    spread = math.fsum(square * (price - mean) ** 2 for _, square, price in prices)
    if n < 2 or not math.isfinite(spread):
        return {"cost_total": Figure(total, n), "cost_mean": Figure(mean, n)}
    low, high = normal(mean, spread / rows / rows * n / (n - 1))
    return {
        "cost_total": Figure(total, n, min(low * rows, total), max(high * rows, total)),
        "cost_mean": Figure(mean, n, low, high),
    }
