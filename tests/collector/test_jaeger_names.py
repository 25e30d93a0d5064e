"""Names that Jaeger can carry: safe, different from each other, and found again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.publish.jaeger_names import (
    Meaning,
    meanings,
    quality_service,
    safe_names,
    versioned,
)

NAMES = st.sets(st.text(alphabet="ab-_./ é", min_size=1, max_size=4), max_size=8)


@given(NAMES)
def test_every_name_gets_a_safe_one_of_its_own(names: set[str]) -> None:
    chosen = safe_names(names)

    assert set(chosen) == names
    assert len(set(chosen.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", safe) for safe in chosen.values())


@given(NAMES)
def test_a_name_that_is_safe_stays_whoever_else_there_is(names: set[str]) -> None:
    chosen = safe_names({*names, "a_b"})
    assert chosen["a_b"] == "a_b"


@given(st.lists(st.text(alphabet="ab./", min_size=1, max_size=3), max_size=8))
def test_the_choice_depends_on_the_set_alone(names: list[str]) -> None:
    assert safe_names(names) == safe_names(list(reversed(names)) + names)


@given(NAMES)
def test_every_service_is_found_under_its_names(names: set[str]) -> None:
    found = meanings(names)
    for original, safe in safe_names(names).items():
        assert found[original].predictions == found[safe].predictions == original
        assert found[quality_service(safe)].evaluations == original


def test_somebodys_twin_may_be_a_service_itself() -> None:
    found = meanings({"shop-quality", "shop"})
    assert found["shop-quality"] == Meaning(predictions="shop-quality", evaluations="shop")
    assert "shop-eu" not in meanings({"shop.eu"})


@pytest.mark.parametrize(
    ("version", "shown"), [("7", "churn v7"), ("2026-11", "churn 2026-11"), (None, "churn")]
)
def test_versions_read_well(version: str | None, shown: str) -> None:
    assert versioned("churn", version) == shown
