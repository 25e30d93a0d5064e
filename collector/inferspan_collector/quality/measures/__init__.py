"""Measures: mergeable states of labelled predictions, and the figures of each. One file a member.

A member is a module with a class `State` (the protocol `Measure`) and the tasks it is for. All
states merge by addition: parts of the rows, in any order, split over windows or collectors, give
the same state as the whole. What a state holds is integers, or sums of floats that are never
rounded; sums per group, which intervals alone rest on, are the exception, and differ in their last
bits.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, Self

from inferspan_collector.quality.figure import Figure, Question
from inferspan_collector.quality.judged import Judged


class Measure(Protocol):
    """A mergeable state."""

    @classmethod
    def of(cls, rows: Judged, question: Question) -> Self:
        """Of rows. Of none it is the empty state, which adds nothing."""

    def __add__(self, other: Self) -> Self:
        """The state of both their rows."""

    def figures(self, question: Question) -> dict[str, Figure]:
        """All figures by name, the same names for every state and question.

        What cannot be computed is a `Figure.missing`, never an exception and never NaN.
        """


def _members() -> dict[str, Any]:
    return {
        info.name: importlib.import_module(f"{__name__}.{info.name}")
        for info in pkgutil.iter_modules(__path__)
    }


MEMBERS: Final[Mapping[str, Any]] = MappingProxyType(_members())
"""Every measure by its module's name."""
MEASURES: Final[Mapping[str, type[Measure]]] = MappingProxyType(
    {name: module.State for name, module in MEMBERS.items()}
)


def measure_of(task: str | None) -> type[Measure] | None:
    """The measure for a task; None where there is none."""
    for module in MEMBERS.values():
        if task in module.TASKS:
            state: type[Measure] = module.State
            return state
    return None
