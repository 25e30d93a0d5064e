"""An answer is about one moment, however much arrives while it is made."""

from __future__ import annotations

import itertools
from contextlib import AbstractContextManager
from pathlib import Path

import duckdb
import pytest
from asking import FilledStore, ask
from records import Label, Prediction

from inferspan_collector.publish import api, comparing
from inferspan_collector.publish.metrics.families import Folding
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.store.reader import StoreReader


class BusyStore(FilledStore):
    """Another prediction of each version, and its label, arrives before each question to it."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._numbers = itertools.count(1)
        self.arrive()
        self._reader = StoreReader(_Arriving(self))

    def arrive(self) -> None:
        for version in ("6", "7"):
            number = next(self._numbers)
            name = f"order-{number}"
            kind = "fraud" if number % 3 else "legit"
            self.add(
                Prediction(
                    name, kind, version=version, trace=number, span=number, score=number % 10 / 10
                ),
                Label(name, "fraud" if number % 5 else "legit", label_id=f"label-{number}"),
            )


class _Arriving:
    def __init__(self, store: BusyStore) -> None:
        self._store = store
        self.path = store.database.path

    def cursor(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        self._store.arrive()
        return self._store.database.cursor()


@pytest.fixture
def store(tmp_path: Path):
    store = BusyStore(tmp_path)
    for _ in range(30):
        store.arrive()
    yield store
    store.close()


def test_figures_of_counts_and_of_rows_rest_on_the_same_predictions(store: BusyStore) -> None:
    answer = ask(api.routes(store, store.config), "/api/v1/models/fraud/quality").json()
    (window,) = answer["windows"]
    said = {window["predictions"], window["labeled"]}
    said |= {window["metrics"][name]["n"] for name in ("accuracy", "roc_auc", "log_loss")}
    assert len(said) == 1, said


def test_two_versions_are_compared_as_they_were_at_one_moment(store: BusyStore) -> None:
    answer = ask(comparing.routes(store, store.config), "/api/v1/models/fraud/compare?a=6&b=7")
    found = answer.json()
    sides = [
        {found[side]["labeled"], found["figures"]["roc_auc"][side]["n"]} for side in ("a", "b")
    ]
    assert [len(side) for side in sides] == [1, 1], found


def test_models_have_as_many_labels_as_predictions(store: BusyStore) -> None:
    (model,) = ask(api.routes(store, store.config), "/api/v1/models").json()
    assert model["predictions"] == model["labeled"]


def test_figures_in_metrics_rest_on_the_same_predictions(store: BusyStore) -> None:
    figures = RowFigures(store, store.config, store.telemetry, lambda: 0.0)
    assert figures.make() == 1
    rests = {(score.labels[2], score.figure.n) for score in figures.scores()}
    for family in figures.families(10_000, Folding(store.telemetry)):
        if family.name == "inferspan_drift_values":
            rests |= {(sample.labels["version"], sample.value) for sample in family.samples}
    # Of each version one number, whatever it is that was counted.
    assert sorted(version for version, _ in rests) == ["6", "7"], rests
