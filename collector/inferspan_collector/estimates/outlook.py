"""Of a window's rows: what to expect of each figure, what became true of it, and the gap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inferspan_collector.comparison.difference import Difference
from inferspan_collector.comparison.figures import any_figures
from inferspan_collector.drift.thresholds import Thresholds
from inferspan_collector.estimates.foresight import Foresight
from inferspan_collector.estimates.realised import realised
from inferspan_collector.quality.figure import Figure
from inferspan_collector.store.row_columns import RowColumns

SURE: Final = 0.01
"""A gap is called real where chance makes it in fewer than one of so many windows."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """One figure of one window."""

    estimated: Figure
    realized: Figure
    gap: Difference | None
    """What is true less what was expected: it grows where a score no longer means what it did."""
    thresholds: Thresholds
    minimum_n: int = 1
    """The least that a figure has to rest on to be known."""

    @property
    def known(self) -> bool:
        """Whether the estimate rests on enough rows."""
        return self.estimated.n >= self.minimum_n

    @property
    def alert(self) -> bool:
        """Whether the estimate is known, and outside of the thresholds."""
        value = self.estimated.value
        return self.known and value is not None and self.thresholds.outside(value)

    @property
    def significant(self) -> bool | None:
        """Whether chance makes such a gap seldom; None where nobody can say."""
        if self.gap is None or self.gap.p_value is None:
            return None
        if not self.known or self.realized.n < self.minimum_n:
            return None
        return self.gap.p_value < SURE


def outlooks(
    answering: RowColumns,
    foresight: Foresight,
    thresholds: Mapping[str, Thresholds],
    minimum_n: int = 1,
) -> dict[str, Outlook]:
    """Every figure that is estimated, by name.

    Args:
        answering: the window's predictions whose call did not raise.
        foresight: what estimates them.
        thresholds: by figure.
        minimum_n: the least that a figure has to rest on to be known.
    """
    truths = realised(answering, foresight)
    n = len(foresight.usable(answering))
    found = {}
    for name, estimate in foresight.estimates(answering).items():
        expected = Figure.missing("nothing is to be expected of these rows", n)
        if estimate.value is not None:
            expected = Figure(estimate.value, n, estimate.low, estimate.high)
        true = truths.get(name, Figure.missing("no labelled row says what this needs"))
        gap = any_figures(expected, true)
        limits = thresholds.get(name, Thresholds())
        found[name] = Outlook(expected, true, gap, limits, minimum_n)
    return found
