"""Figures from counts: one module per family, each with the one function of `figure.Family`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from inferspan_collector.quality import accuracy, classification, coverage, latency
from inferspan_collector.quality.business import costs
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import AVERAGES, Family, Figure, Question
from inferspan_collector.quality.measures import MEMBERS

FAMILIES: Final[Mapping[str, Family]] = MappingProxyType(
    {
        "accuracy": accuracy,
        "classification": classification,
        "coverage": coverage,
        "latency": latency,
    }
)
"""Every family by its module's name."""

QUALITY: Final = ("accuracy", "classification", "coverage")
"""The families that speak of right and wrong; latency is shown apart."""


@cache
def names() -> frozenset[str]:
    """The names of all figures that there are for any model."""
    shown = {
        name
        for family in FAMILIES.values()
        for name in family.figures(Counts(), Question(AVERAGES[0]))
    }
    measured = {name for member in MEMBERS.values() for name in member.FIGURES}
    return frozenset(shown | measured | set(costs.FIGURES))


def quality_figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """The figures of all families of `QUALITY`, by name; `many_windows` has them in columns."""
    found: dict[str, Figure] = {}
    for family in QUALITY:
        found |= FAMILIES[family].figures(counts, question)
    return found
