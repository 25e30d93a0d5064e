"""A baseline as a reference: the same answers as if its rows were in the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from baseline_files import baseline_of
from records import MINUTE_NS, START_NS, Label, Prediction
from starlette.routing import Route

from inferspan_collector.estimates import learnt_once
from inferspan_collector.estimates.learnt_once import LearntOnce
from inferspan_collector.publish import api, baselines, comparing, drifting, foreseeing
from inferspan_collector.publish.parameters import rfc3339
from inferspan_collector.store.row_columns import RowQuery

HOUR_NS = 60 * MINUTE_NS
HOUR_START_NS = START_NS - START_NS % HOUR_NS
HOURLY = 100
HOURS = 6
"""Of the reference; as many follow."""
UNTIL = rfc3339(HOUR_START_NS + HOURS * HOUR_NS)
LATER = f"?every=1h&from={UNTIL}"


class Rows:
    """Rows of one kind of task, for a store and for a file."""

    def __init__(self, n: int, seed: int, numbers: bool) -> None:
        rng = np.random.default_rng(seed)
        self.amount = rng.lognormal(size=n)
        if numbers:
            self.said: Any = self.amount * 10
            self.true: Any = self.said + rng.normal(size=n) * self.amount
            self.score = np.full(n, np.nan)
        else:
            self.score = rng.beta(0.5, 0.5, n)
            self.said = np.where(self.score >= 0.5, "fraud", "legit")
            self.true = np.where(rng.random(n) < self.score, "fraud", "legit")
        self.numbers = numbers

    def file(self, path: Path) -> dict[str, Any]:
        columns = {
            "predicted": self.said.tolist(),
            "actual": self.true.tolist(),
            "feature.amount": self.amount.tolist(),
        }
        return columns if self.numbers else columns | {"score": self.score.tolist()}

    def stored(self, first: int, version: str = "7") -> list[Any]:
        rows: list[Any] = []
        for i in range(len(self.amount)):
            number = first + i
            time = HOUR_START_NS + number * (HOUR_NS // HOURLY)
            output: dict[str, Any]
            truth: dict[str, Any]
            if self.numbers:
                output = {"value": float(self.said[i]), "predicted": None}
                truth = {"value": float(self.true[i]), "actual": None}
            else:
                output = {"predicted": str(self.said[i]), "score": float(self.score[i])}
                truth = {"actual": str(self.true[i])}
            rows.append(
                Prediction(
                    prediction_id=f"order-{number}",
                    version=version,
                    task="regression" if self.numbers else "binary_classification",
                    positive_class=None if self.numbers else "fraud",
                    trace=number + 1,
                    span=number + 1,
                    event_time=time,
                    features={"amount": float(self.amount[i])},
                    **output,
                )
            )
            rows.append(
                Label(
                    prediction_id=f"order-{number}",
                    label_id=f"label-{number}",
                    received=time + HOUR_NS,
                    **truth,
                )
            )
        return rows


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path / "data")
    filled.now = HOUR_START_NS + 48 * HOUR_NS
    yield filled
    filled.close()


def get(routes: list[Route], what: str, query: str = "") -> dict[str, Any]:
    response = ask(routes, f"/api/v1/models/fraud/{what}{query}")
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def answers(store: FilledStore, query: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return (
        get(drifting.routes(store, store.config), "drift", LATER + query),
        get(foreseeing.routes(store, store.config), "estimates", LATER + query),
    )


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
def test_a_file_is_the_same_reference_as_its_rows_in_the_store(
    store: FilledStore, tmp_path: Path, numbers: bool
) -> None:
    before, later = (Rows(HOURS * HOURLY, seed, numbers) for seed in (1, 2))
    store.add(*before.stored(0), *later.stored(HOURS * HOURLY))
    named = {} if numbers else {"positive": "fraud"}
    path = tmp_path / "eval.parquet"
    made = baseline_of(path, before.file(path), {"window_rows": HOURLY}, **named)
    store.keep_baseline("fraud", made)

    drift, estimates = answers(store, "")
    drift_of_rows, estimates_of_rows = answers(store, f"&reference_to={UNTIL}")

    assert drift["reference"]["source"] == "baseline"
    assert drift["columns"] == drift_of_rows["columns"]
    assert "feature.amount" in drift["columns"]
    assert estimates["reference"]["learnt_from"] == HOURS * HOURLY
    for key in ("method", "positive_class", "thresholds", "windows"):
        assert estimates[key] == estimates_of_rows[key]
    assert estimates["method"] == ("dle" if numbers else "cbpe")


def test_offline_figures_stand_beside_live_ones(store: FilledStore, tmp_path: Path) -> None:
    rows = Rows(HOURS * HOURLY, 1, numbers=False)
    store.add(*rows.stored(0))
    path = tmp_path / "eval.parquet"
    told = {
        "version": "7",
        "window_rows": HOURLY,
        "parameters": {"depth": "6"},
        "data_version": "2026-10",
        "code_version": "4f2c1d",
        "cross_validation": {"accuracy": (0.5, 0.7)},
    }
    made = baseline_of(path, rows.file(path), told, positive="fraud")
    number = store.keep_baseline("fraud", made)

    quality = get(api.routes(store, store.config), "quality", "?every=1h&by=version")

    (baseline,) = quality["reference"]["baselines"]
    assert baseline["number"] == number
    assert baseline["parameters"] == {"depth": "6"}
    assert (baseline["data_version"], baseline["code_version"]) == ("2026-10", "4f2c1d")
    assert baseline["cross_validation"]["accuracy"] == {
        "mean": pytest.approx(0.6), "std": pytest.approx(0.1), "folds": 2,
    }  # fmt: skip
    # Of so few windows of that length, ten parts of the file are learnt from.
    shares = np.array([part.mean() for part in np.split(rows.said == rows.true, 10)])
    assert baseline["figures"]["accuracy"]["value"] == pytest.approx(shares.mean())
    for window in quality["windows"]:
        accuracy = window["metrics"]["accuracy"]
        assert accuracy["lower_threshold"] == pytest.approx(shares.mean() - 3 * shares.std())
        assert accuracy["alert"] is False
    # The very figures of the same rows, live and offline.
    whole = get(api.routes(store, store.config), "quality")["windows"][0]["metrics"]
    for name in ("accuracy", "f1", "roc_auc", "log_loss", "matthews_corrcoef"):
        assert whole[name]["value"] == pytest.approx(baseline["figures"][name]["value"], abs=1e-12)
        assert whole[name]["n"] == baseline["figures"][name]["n"]


def test_a_version_has_its_own_baseline(store: FilledStore, tmp_path: Path) -> None:
    rows = Rows(HOURLY, 1, numbers=False)
    store.add(*rows.stored(0, "6"), *rows.stored(HOURLY, "7"), *rows.stored(2 * HOURLY, "8"))
    path = tmp_path / "eval.parquet"
    numbers = {
        version: store.keep_baseline(
            "fraud", baseline_of(path, rows.file(path), {"version": version}, positive="fraud")
        )
        for version in ("6", "7", None)
    }
    ours = drifting.routes(store, store.config)
    for query, expected in {
        "?version=6": numbers["6"],
        "?version=7": numbers["7"],
        # Of none, the one of any version; of all, the newest.
        "?version=8": numbers[None],
        "": numbers[None],
        f"?reference_baseline={numbers['7']}": numbers["7"],
    }.items():
        assert get(ours, "drift", query)["reference"]["baseline"]["number"] == expected
    assert get(ours, "drift", "?reference_baseline=none")["reference"]["source"] == "first"
    unknown = ask(ours, "/api/v1/models/fraud/drift?reference_baseline=99")
    assert unknown.status_code == 400
    assert "known: 3, 2, 1" in unknown.json()["detail"]
    both = f"/api/v1/models/fraud/drift?reference_baseline=1&reference_to={UNTIL}"
    assert ask(ours, both).status_code == 400

    compared = get(comparing.routes(store, store.config), "compare", "?a=6&b=7")

    assert [compared[side]["baseline"]["number"] for side in ("a", "b")] == [
        numbers["6"], numbers["7"],
    ]  # fmt: skip
    by_version = get(api.routes(store, store.config), "quality", "?by=version")
    assert [each["number"] for each in by_version["reference"]["baselines"]] == [1, 2, 3]


def test_a_reference_is_learnt_from_once(
    store: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = LearntOnce(held_max=2)
    learnings = []
    original = learnt_once.foresight

    def counted(*arguments: Any) -> Any:
        learnings.append(len(arguments[0]))
        return original(*arguments)

    monkeypatch.setattr(learnt_once, "foresight", counted)
    rows = Rows(4 * HOURLY, 1, numbers=True)
    store.add(*rows.stored(0))

    def asked(n: int) -> Any:
        query = RowQuery(model="fraud", most=n, oldest=True, features=True)
        return learnt(store.reader.rows(query), None)

    assert asked(300) is asked(300)
    assert learnings == [300]
    # A correction makes another reference.
    store.add(
        Label(prediction_id="order-3", label_id="label-3", revision=2, value=9.0, actual=None)
    )
    asked(300)
    assert learnings == [300, 300]
    asked(301)
    assert len(learnt) == 2


def test_baselines_are_listed_newest_first(store: FilledStore, tmp_path: Path) -> None:
    path = tmp_path / "eval.parquet"
    rows = Rows(HOURLY, 1, numbers=False)
    for version in ("6", "7"):
        store.keep_baseline(
            "fraud", baseline_of(path, rows.file(path), {"version": version}, positive="fraud")
        )
    routes = [r for r in baselines.routes(store, None, store.config) if r.path == baselines.LIST]  # type: ignore[arg-type]
    listed = get(routes, "baselines")["baselines"]
    assert [(each["number"], each["version"]) for each in listed] == [(2, "7"), (1, "6")]
    assert listed[0]["columns"]["feature.amount"] == "number"
