"""Pearson's χ² of the table reference × window.

It grows with n: compare windows of like size, or read `p_values`. Rows that weigh count as their
effective number does (Rao, Scott: "The analysis of categorical data from complex sample surveys",
JASA 76, 1981). Categories that the reference does not hold are one bin, `__other__` (NannyML gives
each its own).

Formula: Σ (observed - expected)² ÷ expected over both rows and all bins that hold a value; with two
bins and so one degree of freedom with Yates' correction, as scipy does by default. Source: Pearson:
Philosophical Magazine 50(302), 1900; scipy's `chi2_contingency` and NannyML's. Unit: none. Range:
0 … the number of values. Guarantee: exact for the bins. Cost: some 10 ns a bin.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from inferspan_collector.distributions import chi_squared_quantile, chi_squared_tail
from inferspan_collector.drift.bins import Bins, CategoryBins
from inferspan_collector.drift.counts import Amounts, Counts, Float64, Int64

KINDS: Final = frozenset(("category",))
LIMIT: Final = None
LEVEL: Final = 0.05
"""A p-value below it alerts: NannyML's, which is one window in twenty of data that is as it was."""


def distances(reference: Counts, windows: Counts, bins: Bins) -> Float64:
    """float64[W]; NaN where a side holds no value."""
    return _statistic(_worth(reference, bins), _worth(windows, bins))[0]


def p_values(reference: Counts, windows: Counts, bins: Bins) -> Float64:
    """float64[W]: how likely so great a χ² is if both come from one distribution."""
    statistic, freedom = _statistic(_worth(reference, bins), _worth(windows, bins))
    return np.array(
        [chi_squared_tail(x, int(k)) for x, k in zip(statistic, freedom, strict=True)]
    ).reshape(len(windows))


def critical(bins: Bins) -> float:
    """The χ² of which the p-value is `LEVEL`, where a window holds nothing but known categories.

    Not learnt from the reference's windows: they are parts of what they are compared with.
    """
    assert isinstance(bins, CategoryBins)
    return _critical(len(bins.categories) - 1)


@lru_cache(maxsize=1_024)
def _critical(freedom: int) -> float:
    # Of one category alone nothing can be told, whatever the threshold.
    return chi_squared_quantile(LEVEL, max(1, freedom))


def _worth(counts: Counts, bins: Bins) -> Amounts:
    """[W, C]: counts of the bins, as if each row weighed one."""
    table: Amounts = bins.coarsened(counts) * counts.worth[:, None]
    return table


def _statistic(p: Amounts, q: Amounts) -> tuple[Float64, Int64]:
    """(χ², degrees of freedom), both [W], of counts [1, C] and [W, C]."""
    both = (p + q).astype(np.float64)
    n_p, n_q = float(p.sum()), q.sum(axis=1).astype(np.float64)
    freedom: Int64 = (both > 0).sum(axis=1) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = both * (n_p / (n_p + n_q))[:, None]
        # Both rows of a column are off by the same, in opposite directions.
        off = np.abs(p - expected)
        yates = np.where(freedom == 1, 0.5, 0.0)[:, None]
        off = off - np.minimum(yates, off)
        terms = off * off * (1 / expected + 1 / (both - expected))
    statistic = np.where(both > 0, terms, 0.0).sum(axis=1)
    statistic[(n_q == 0) | (n_p == 0)] = np.nan
    return statistic, freedom
