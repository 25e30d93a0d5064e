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

    @property
    def alert(self) -> bool:
        """Whether the estimate is outside of the thresholds."""
        return self.estimated.value is not None and self.thresholds.outside(self.estimated.value)

    @property
    def significant(self) -> bool | None:
        """Whether chance makes such a gap seldom; None where nobody can say."""
        if self.gap is None or self.gap.p_value is None:
            return None
        return self.gap.p_value < SURE


def outlooks(
    answering: RowColumns, foresight: Foresight, thresholds: Mapping[str, Thresholds]
) -> dict[str, Outlook]:
    """Every figure that is estimated, by name.

    Args:
        answering: the window's predictions whose call did not raise.
        foresight: what estimates them.
        thresholds: by figure.
    """
    truths = realised(answering, foresight)
    found = {}
    for name, estimate in foresight.estimates(answering).items():
        expected = Figure.missing("nothing is to be expected of these rows", len(answering))
        if estimate.value is not None:
            expected = Figure(estimate.value, len(answering), estimate.low, estimate.high)
        gap = any_figures(expected, truths[name])
        found[name] = Outlook(expected, truths[name], gap, thresholds.get(name, Thresholds()))
    return found
