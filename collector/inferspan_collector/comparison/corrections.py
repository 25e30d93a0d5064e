"""What many comparisons at once do to p-values.

Benjamini, Hochberg: "Controlling the false discovery rate: a practical and powerful approach to
multiple testing", JRSS B 57, 1995: of all differences called real, the expected share that is
chance stays below the level. scipy's `false_discovery_control`, statsmodels'
`multipletests("fdr_bh")`.
"""

from __future__ import annotations

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p-values, in the order given; None stays None and is no comparison."""
    places = sorted(((p, place) for place, p in enumerate(p_values) if p is not None), reverse=True)
    adjusted: list[float | None] = [None] * len(p_values)
    least = 1.0
    for passed, (p, place) in enumerate(places):
        least = min(least, p * len(places) / (len(places) - passed))
        adjusted[place] = least
    return adjusted
