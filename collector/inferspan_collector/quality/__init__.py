"""Figures from counts: one module per family, each with the one function of `figure.Family`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from inferspan_collector.quality import accuracy, classification, coverage, latency
from inferspan_collector.quality.counts import Counts
from inferspan_collector.quality.figure import Family, Figure, Question

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


def quality_figures(counts: Counts, question: Question) -> dict[str, Figure]:
    """The figures of all families of `QUALITY`, by name."""
    return {
        name: figure
        for family in QUALITY
        for name, figure in FAMILIES[family].figures(counts, question).items()
    }
