"""Names that Jaeger can carry: safe, different from each other, and found again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.publish.jaeger_names import (
    quality_service,
    safe_names,
    services_named,
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
    for original, safe in safe_names(names).items():
        assert services_named(safe, names)[0] == original
        assert services_named(quality_service(safe), names)[1] == original


def test_who_is_unknown_is_not_found() -> None:
    assert services_named("shop", {"shop.eu", "shop-eu"}) == (None, None)
    assert services_named("shop-quality", {"shop-quality"}) == ("shop-quality", None)
    assert services_named("shop-quality", {"shop-quality", "shop"}) == ("shop-quality", "shop")


@pytest.mark.parametrize(
    ("version", "shown"), [("7", "churn v7"), ("2026-11", "churn 2026-11"), (None, "churn")]
)
def test_versions_read_well(version: str | None, shown: str) -> None:
    assert versioned("churn", version) == shown
