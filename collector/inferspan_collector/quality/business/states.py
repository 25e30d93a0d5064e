"""A team's own figures as mergeable states.

Source: the expression (`parsing`). Guarantee: sums are exact and rounded once, so the figure is the
same in any order of the rows. Units and range: those of the expression. Interval: of a Poisson
bootstrap of the rows, whose totals are normal with the covariances Σ xᵢyᵢ of the rows; 1,000 such
totals are drawn, by a fixed seed, and the expression is made of each. Cost: 1 kB per aggregate, and
what its columns take a row.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from inferspan_collector.batches import Float64
from inferspan_collector.quality.business.expressions import Aggregate, Columns, Expression
from inferspan_collector.quality.figure import Figure
from inferspan_collector.quality.judged import Judged
from inferspan_collector.quality.means import NO_MEAN, Mean

DRAWS: Final = 1_000
_NOTHING = "no labelled prediction is in it, or all lack a value of it: {text}"
_UNDEFINED = "it divides by 0: {text}"


@lru_cache(16)
def _normals(columns: int) -> Float64:
    return np.random.default_rng(2).standard_normal((DRAWS, columns))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Of one expression: a mean and sums per group for each of its aggregates."""

    expression: Expression
    means: Mapping[Aggregate, Mean]
    products: Float64
    """float64[2A, 2A]: Σ over rows of the products of wx and w of all A aggregates."""
    rows: int

    @classmethod
    def of(cls, expression: Expression, rows: Judged, columns: Columns) -> State:
        """Of rows, and their columns by name."""
        # Products are floats: in the order of identities they are the same in any order.
        order = np.argsort(rows.identity, kind="stable")
        weight = rows.weight[order]
        means, parts = {}, []
        used = np.zeros(len(rows), np.bool_)
        for aggregate in expression.aggregates:
            values = aggregate.rows(columns, len(rows))[order]
            held = np.isfinite(values)
            used |= held
            means[aggregate] = Mean.of(values[held], weight[held])
            parts += [np.where(held, values, 0.0) * weight, np.where(held, weight, 0.0)]
        added = np.stack(parts, axis=1)
        return cls(expression, means, added.T @ added, int(used.sum()))

    def __add__(self, other: State) -> State:
        each = self.expression.aggregates
        return State(
            self.expression,
            {a: self.means.get(a, NO_MEAN) + other.means.get(a, NO_MEAN) for a in each},
            self.products + other.products,
            self.rows + other.rows,
        )

    def figure(self) -> Figure:
        """The figure; sums of nothing are 0, means of nothing undefined."""
        text = self.expression.text
        if self.rows == 0 and any(a.how == "mean" for a in self.expression.aggregates):
            return Figure.missing(_NOTHING.format(text=text))
        value = float(self.expression.value({a: _exact(a, m) for a, m in self.means.items()}))
        if not math.isfinite(value):
            return Figure.missing(_UNDEFINED.format(text=text), self.rows)
        if self.rows == 0:
            return Figure.missing(_NOTHING.format(text=text))
        drawn = self.expression.value(self._drawn())
        drawn = np.asarray(drawn)[np.isfinite(drawn)]
        if self.rows < 2 or drawn.size < 2:
            return Figure(value, self.rows)
        low, high = np.quantile(drawn, (0.025, 0.975)).tolist()
        return Figure(value, self.rows, min(low, value), max(high, value))

    def _drawn(self) -> dict[Aggregate, Float64]:
        """The values of each aggregate in resamples: float64[DRAWS]."""
        spread, axes = np.linalg.eigh(np.nan_to_num(self.products))
        normals = _normals(len(spread)) * np.sqrt(np.maximum(spread, 0.0))
        away = normals @ axes.T
        found = {}
        for place, (aggregate, mean) in enumerate(self.means.items()):
            total = float(mean.total) + away[:, 2 * place]
            weight = float(mean.weights.total) + away[:, 2 * place + 1]
            with np.errstate(all="ignore"):
                found[aggregate] = total / weight if aggregate.how == "mean" else total
        return found


def _exact(aggregate: Aggregate, mean: Mean) -> Any:
    if aggregate.how == "mean":
        return np.float64(mean.value()) if mean.weights.rows else np.float64(np.nan)
    return np.float64(float(mean.total))
