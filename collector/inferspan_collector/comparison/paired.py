"""Two versions that answered the same requests: only where they disagree is there news.

McNemar: "Note on the sampling error of the difference between correlated proportions or
percentages", Psychometrika 12, 1947: of the rows where just one is right, half should be each
one's. Exact (binomial) below `EXACT_BELOW` such rows, else χ² with Edwards' continuity correction;
statsmodels' `mcnemar`. The interval is Newcombe's for paired shares ("Improved confidence
intervals for the difference between binomial proportions based on paired data", Statistics in
Medicine 17, 1998, method 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from inferspan_collector.comparison.difference import Difference
from inferspan_collector.distributions import binomial_tail, chi_squared_tail
from inferspan_collector.quality.intervals import wilson

EXACT_BELOW: Final = 25
EXACT: Final = "mcnemar_exact"
CHI_SQUARED: Final = "mcnemar"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rows that both answered: who of them was right. Merges by `+`."""

    both: int = 0
    only_a: int = 0
    only_b: int = 0
    neither: int = 0

    @property
    def rows(self) -> int:
        """All of them."""
        return self.both + self.only_a + self.only_b + self.neither

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.both + other.both,
            self.only_a + other.only_a,
            self.only_b + other.only_b,
            self.neither + other.neither,
        )


def mcnemar(rows: Agreement) -> Difference | None:
    """The difference of the shares that are right; None without rows."""
    n = rows.rows
    if n == 0:
        return None
    value = (rows.only_b - rows.only_a) / n
    low, high = _interval(rows)
    apart = rows.only_a + rows.only_b
    if apart < EXACT_BELOW:
        p_value, test = binomial_tail(rows.only_a, apart), EXACT
    else:
        statistic = (abs(rows.only_a - rows.only_b) - 1) ** 2 / apart
        p_value, test = chi_squared_tail(statistic, 1), CHI_SQUARED
    return Difference(value, low, high, p_value, test, (n, n))


def _interval(rows: Agreement) -> tuple[float, float]:
    n = rows.rows
    right_a, right_b = rows.both + rows.only_a, rows.both + rows.only_b
    a, b = right_a / n, right_b / n
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n), wilson(right_b, n)
    correlation = _correlation(rows)

    def width(ours: float, theirs: float) -> float:
        return math.sqrt(max(0.0, ours**2 - 2 * correlation * ours * theirs + theirs**2))

    value = b - a
    return value - width(b - low_b, high_a - a), value + width(high_b - b, a - low_a)


def _correlation(rows: Agreement) -> float:
    """Newcombe's φ: corrected for continuity where it is positive, 0 where a margin is empty."""
    margins = (
        (rows.both + rows.only_a)
        * (rows.only_b + rows.neither)
        * (rows.both + rows.only_b)
        * (rows.only_a + rows.neither)
    )
    if margins == 0:
        return 0.0
    cross = rows.both * rows.neither - rows.only_a * rows.only_b
    half = rows.rows / 2
    corrected = max(cross - half, 0.0) if cross > 0 else float(cross)
    return corrected / math.sqrt(margins)
