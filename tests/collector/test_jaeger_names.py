"""Names that Jaeger can carry: safe, different from each other, and found again."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferspan_collector.publish.jaeger_names import (
    UNKNOWN_SERVICE,
    Meaning,
    Names,
    meanings,
    quality_service,
    safe_name,
    safe_names,
    service_names,
    versioned,
)
from inferspan_collector.store.cells import ModelSummary

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


def test_a_name_that_looks_like_a_told_apart_one_is_told_apart_too() -> None:
    told = safe_name("a b", {"a_b"})
    chosen = safe_names({"a_b", "a b", told})
    assert (chosen["a_b"], chosen[told]) == ("a_b", told)
    assert re.fullmatch(r"a_b-[0-9a-f]{6}", chosen["a b"])


def summary(model: str, *versions: str, services: tuple[str, ...] = ()) -> ModelSummary:
    return ModelSummary(model, versions, services, (), 0, 0, 1)


MODELS = st.dictionaries(
    st.text(alphabet="ab_ v7", min_size=1, max_size=5),
    st.sets(st.text(alphabet="v7", min_size=1, max_size=3), max_size=4),
    max_size=6,
)


@given(MODELS)
def test_models_and_versions_have_names_of_their_own(models: dict[str, set[str]]) -> None:
    names = Names.of([summary(model, *versions) for model, versions in models.items()])

    assert len({names.evaluation(model) for model in models}) == len(models)
    pairs = [(model, version) for model in models for version in (None, *models[model])]
    assert len({names.version(*pair) for pair in pairs}) == len(pairs)


def test_versions_that_read_the_same_are_told_apart() -> None:
    names = Names.of([summary("churn", "7", "v7", "8")])
    assert names.version("churn", "7") == "churn v7"
    assert re.fullmatch(r"churn v7-[0-9a-f]{4}", names.version("churn", "v7"))
    assert names.version("churn", "8") == "churn v8"


def test_what_is_not_known_yet_is_called_as_if_it_were_alone() -> None:
    names = Names()
    assert names.service("shop.eu") == "shop_eu"
    assert names.service(None) == names.service("") == UNKNOWN_SERVICE
    assert names.evaluation("a b") == "evaluate a_b"
    assert names.version("churn", "7") == "churn v7"


def test_predictions_without_a_service_have_one_in_jaeger() -> None:
    assert service_names([])[""] == UNKNOWN_SERVICE
    assert meanings([])[UNKNOWN_SERVICE].predictions == ""
    assert meanings([])[quality_service(UNKNOWN_SERVICE)] == Meaning(evaluations="")
    assert meanings([])[quality_service(UNKNOWN_SERVICE)].service == ""
    assert "" not in meanings(["shop"])


def test_a_service_that_is_called_unknown_is_another() -> None:
    names = Names.of([summary("fraud", services=(UNKNOWN_SERVICE,))])
    assert names.service(UNKNOWN_SERVICE) == UNKNOWN_SERVICE
    assert names.service(None) not in ("", UNKNOWN_SERVICE)
    found = meanings([UNKNOWN_SERVICE])
    assert found[quality_service(UNKNOWN_SERVICE)].evaluations == UNKNOWN_SERVICE
    assert found[quality_service(names.service(None))].evaluations == ""


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
