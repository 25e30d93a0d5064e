"""An answer that is empty for a typo says so, with the values there are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import FilledStore, ask, labelled_predictions

from inferspan_collector.config import Config, Model, Target
from inferspan_collector.publish import api
from inferspan_collector.publish.notes import KNOWN_NAMED_MAX, listed

NOBODY = "no prediction of fraud has"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledStore]:
    directory: Path = tmp_path_factory.mktemp("notes")
    config = Config(models={"fraud": Model(targets={"chargeback": Target()})})
    filled = FilledStore(directory, config)
    pairs = [("fraud", "fraud"), ("legit", "legit")]
    filled.add(*labelled_predictions(pairs, environment="prod", slices={"country": "DE"}))
    yield filled
    filled.close()


def notes(store: FilledStore, endpoint: str, query: str) -> list[str]:
    response = ask(api.routes(store, store.config), f"/api/v1/models/fraud/{endpoint}?{query}")
    assert response.status_code == 200, response.text
    found: list[str] = response.json()["notes"]
    return found


@pytest.mark.parametrize("endpoint", ["quality", "predictions"])
@pytest.mark.parametrize(
    ("query", "note"),
    [
        ("version=9", f"version=9: {NOBODY} it; known: 7"),
        ("service=web", f"service=web: {NOBODY} it; known: fraud-api"),
        ("environment=dev", f"environment=dev: {NOBODY} it; known: prod"),
        (
            "target=tomorrow",
            "target=tomorrow: no label of fraud has joined for it; known: chargeback, default",
        ),
    ],
)
def test_a_value_that_nothing_has_is_named(
    store: FilledStore, endpoint: str, query: str, note: str
) -> None:
    assert notes(store, endpoint, query) == [note]


def test_a_slice_that_nothing_has_is_named(store: FilledStore) -> None:
    no_key = f"{NOBODY} that slice; known: slice.country"
    assert notes(store, "quality", "by=slice.celar") == [f"by=slice.celar: {no_key}"]
    assert notes(store, "predictions", "slice.celar=DE") == [f"slice.celar=DE: {no_key}"]
    no_value = f"slice.country=XX: {NOBODY} it; known: DE"
    assert notes(store, "predictions", "slice.country=XX&version=7") == [no_value]


@pytest.mark.parametrize(
    "query", ["", "version=7", "version=", "environment=", "target=chargeback", "target=default"]
)
def test_what_is_known_needs_no_note(store: FilledStore, query: str) -> None:
    assert notes(store, "quality", query) == []
    assert notes(store, "quality", f"by=version,slice.country&{query}") == []
    assert notes(store, "predictions", f"slice.country=DE&{query}") == []


def test_a_long_list_is_cut() -> None:
    names = [f"{i:03d}" for i in range(KNOWN_NAMED_MAX + 2)]
    assert listed(names).endswith(f"{KNOWN_NAMED_MAX - 1:03d} and 2 more")
