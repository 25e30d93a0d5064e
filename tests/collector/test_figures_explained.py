"""Every figure's module says where it is from, how it is computed, and what it promises."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest

from inferspan_collector import quality
from inferspan_collector.drift import adaptive_windowing
from inferspan_collector.drift.checks import CHECKS
from inferspan_collector.drift.methods import METHODS
from inferspan_collector.quality.business import costs
from inferspan_collector.quality.measures import MEMBERS

SAID = ("source", "formula", "unit", "range", "guarantee", "cost")
DISCOVERED = [*quality.FAMILIES.values(), *MEMBERS.values(), *METHODS.values(), *CHECKS.values()]
MODULES = [
    *(module for module in DISCOVERED if isinstance(module, ModuleType)),
    costs,
    adaptive_windowing,
]


def says(text: str, what: str) -> bool:
    """Whether a docstring says it: `Cost: …`, or by a column of a table."""
    return re.search(rf"(^|\s)({what}:\s+\S|\|\s*{what}\b[^|\n]*\|)", text, re.I) is not None


def test_every_member_is_looked_at() -> None:
    assert len(MODULES) == len(DISCOVERED) + 2


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_says_source_formula_unit_range_guarantee_and_cost(module: ModuleType) -> None:
    text = module.__doc__ or ""
    assert [what for what in SAID if not says(text, what)] == []


def test_what_a_docstring_lacks_is_found() -> None:
    text = importlib.import_module("inferspan_collector.quality.short_names").__doc__ or ""
    assert not any(says(text, what) for what in SAID)
    assert says("| figure | formula, of one | range |", "formula")
    assert not says("It costs: nothing", "cost")
