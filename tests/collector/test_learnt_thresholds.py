"""Thresholds of quality figures, learnt from a reference, through the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask, labelled_predictions
from records import MINUTE_NS, START_NS

from inferspan_collector.config import Config, ConfigError, Model, load
from inferspan_collector.config.models import Reference
from inferspan_collector.drift.thresholds import Thresholds
from inferspan_collector.publish import api, learning
from inferspan_collector.publish.parameters import rfc3339

HOUR_NS = 60 * MINUTE_NS
HOUR_START_NS = START_NS - START_NS % HOUR_NS
RIGHT = [95, 93, 94, 96, 94, 70]
"""Of a hundred predictions in each hour; the last one is not as the others are."""
UNTIL = rfc3339(HOUR_START_NS + 5 * HOUR_NS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    for hour, right in enumerate(RIGHT):
        pairs = [("fraud", "fraud")] * right + [("fraud", "legit")] * (100 - right)
        filled.add(
            *labelled_predictions(pairs, first=hour * 100, start=HOUR_START_NS + hour * HOUR_NS)
        )
    yield filled
    filled.close()


def quality(store: FilledStore, query: str, config: Config | None = None) -> dict[str, Any]:
    response = ask(
        api.routes(store, config or store.config), f"/api/v1/models/fraud/quality{query}"
    )
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_thresholds_are_mean_and_three_deviations_of_the_reference(store: FilledStore) -> None:
    body = quality(store, f"?every=1h&reference_to={UNTIL}")
    assert body["reference"] == {"from": None, "to": UNTIL, "windows": 5}
    shares = np.array(RIGHT[:5]) / 100
    for window, right in zip(body["windows"], RIGHT, strict=True):
        accuracy = window["metrics"]["accuracy"]
        assert accuracy["value"] == right / 100
        assert accuracy["lower_threshold"] == pytest.approx(shares.mean() - 3 * shares.std())
        assert accuracy["upper_threshold"] == pytest.approx(shares.mean() + 3 * shares.std())
        assert accuracy["alert"] is (right == RIGHT[-1])


def test_a_configured_reference_needs_no_parameter(store: FilledStore) -> None:
    end = datetime.fromtimestamp(HOUR_START_NS // 10**9, tz=UTC) + timedelta(hours=5)
    config = Config(models={"fraud": Model(reference=Reference(until=end))})
    asked = quality(store, f"?every=1h&reference_to={UNTIL}")
    assert quality(store, "?every=1h", config)["windows"] == asked["windows"]


def test_each_group_has_thresholds_of_its_own(store: FilledStore) -> None:
    pairs = [("fraud", "fraud"), ("legit", "fraud")]
    for hour in range(5):
        store.add(
            *labelled_predictions(
                pairs,
                first=700 + 2 * hour,
                start=HOUR_START_NS + hour * HOUR_NS,
                version="8",
            )
        )
    body = quality(store, f"?every=1h&by=version&reference_to={UNTIL}")
    eights = [window for window in body["windows"] if window["group"] == {"version": "8"}]
    assert [window["metrics"]["accuracy"]["lower_threshold"] for window in eights] == [0.5] * 5


def test_no_threshold_lies_beyond_where_its_figure_ends(store: FilledStore) -> None:
    right = [("fraud", "fraud"), ("legit", "legit")]
    for hour in range(5):
        store.add(
            *labelled_predictions(
                right if hour % 2 else [("fraud", "legit"), ("legit", "legit")],
                first=800 + 2 * hour,
                start=HOUR_START_NS + hour * HOUR_NS,
                version="9",
            )
        )
    windows = quality(store, f"?every=1h&by=version&reference_to={UNTIL}")["windows"]
    nines = [window["metrics"] for window in windows if window["group"] == {"version": "9"}]
    for name, least in (("accuracy", 0.0), ("matthews_corrcoef", -1.0)):
        figures = [metrics[name] for metrics in nines]
        values = np.array([figure["value"] for figure in figures])
        assert values.mean() + 3 * values.std() > 1
        for figure in figures:
            assert figure["upper_threshold"] == 1.0
            below = values.mean() - 3 * values.std()
            assert figure["lower_threshold"] == pytest.approx(max(below, least))
            assert figure["alert"] is False


def test_without_a_reference_an_answer_has_no_thresholds(store: FilledStore) -> None:
    body = quality(store, "?every=1h")
    assert "reference" not in body
    assert "alert" not in body["windows"][0]["metrics"]["accuracy"]


@pytest.mark.parametrize("hours", [1, 4])
def test_too_few_windows_teach_nothing(store: FilledStore, hours: int) -> None:
    body = quality(store, f"?every=1h&reference_to={rfc3339(HOUR_START_NS + hours * HOUR_NS)}")
    for window in body["windows"]:
        accuracy = window["metrics"]["accuracy"]
        assert (accuracy["lower_threshold"], accuracy["upper_threshold"]) == (None, None)
        assert accuracy["alert"] is False


def test_a_latency_objective_shows_how_fast_its_budget_is_spent(store: FilledStore) -> None:
    objective = Model(latency_objective_ms=50.0, latency_objective_share=0.9)
    latency = quality(store, "", Config(models={"fraud": objective}))["windows"][0]["latency"]
    assert latency["objective"]["within"]["value"] == 1
    assert latency["objective"]["burn_rate"] == 0
    strict = Model(latency_objective_ms=1.0)
    latency = quality(store, "", Config(models={"fraud": strict}))["windows"][0]["latency"]
    assert latency["objective"]["within"]["value"] == 0
    assert latency["objective"]["burn_rate"] == pytest.approx(100)
    assert "objective" not in quality(store, "")["windows"][0]["latency"]


def test_a_figure_of_the_team_may_fall_below_zero(store: FilledStore) -> None:
    config = Config(
        models={
            "fraud": Model(
                figures={"loss": "0 - (count() where actual = predicted)"},
                costs={"fraud": {"fraud": -5.0}},
            )
        }
    )
    body = quality(store, f"?every=1h&reference_to={UNTIL}", config)
    for window, right in zip(body["windows"], RIGHT, strict=True):
        assert window["metrics"]["loss"]["value"] == -right
        assert window["metrics"]["loss"]["lower_threshold"] < -90
        assert window["metrics"]["cost_mean"]["lower_threshold"] < -4
        assert window["metrics"]["loss"]["alert"] is (right == RIGHT[-1])


def test_constants_go_before_what_is_learnt(store: FilledStore) -> None:
    said = {"accuracy": {"lower": 0.935}, "mae": {"upper": 3.0}}
    config = Config(models={"fraud": Model(thresholds=said)})
    for query in ("?every=1h", f"?every=1h&reference_to={UNTIL}"):
        body = quality(store, query, config)
        for window, right in zip(body["windows"], RIGHT, strict=True):
            accuracy = window["metrics"]["accuracy"]
            assert (accuracy["lower_threshold"], accuracy["upper_threshold"]) == (0.935, None)
            assert accuracy["alert"] is (right / 100 < 0.935)
    # The others are learnt, where there is something to learn from.
    assert body["windows"][0]["metrics"]["f1"]["lower_threshold"] is not None


def test_both_names_of_an_error_have_its_constant() -> None:
    for name in ("mae", "mean_absolute_error"):
        said = learning.constants(Model(thresholds={name: {"upper": 3.0}}))
        assert said["mae"] == said["mean_absolute_error"] == Thresholds(None, 3.0)


@pytest.mark.parametrize(
    ("thresholds", "said"),
    [
        ({"acuracy": {"lower": 0.9}}, "did you mean accuracy"),
        ({"amount.jensen_shannon": {"upper": 0.1}}, "one column's"),
        ({"feature.jensen_shannon": {"upper": 0.1}}, "one column's"),
        ({"accuracy": {}}, "neither lower nor upper"),
        ({"accuracy": {"lower": 0.9, "upper": 0.8}}, "above upper"),
        ({"accuracy": {"lower": float("nan")}}, "can never be crossed"),
        ({"accuracy": 0.9}, "accuracy"),
        ({"accuracy": {"least": 0.9}}, "least"),
    ],
)
def test_a_threshold_of_nothing_stops_the_start(thresholds: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(None, {"models": {"fraud": {"thresholds": thresholds}}})


def test_figures_of_the_teams_own_may_have_constants() -> None:
    sections = {"figures": {"lost": "sum(value) where predicted != actual"}}
    thresholds = {
        "lost": {"upper": 100},
        "feature.a.b.missing": {"upper": 0.1},
        "population_stability": {"upper": 0.2},
        "label.class.chi_squared": {"upper": 9},
    }
    found = load(None, {"models": {"fraud": {**sections, "thresholds": thresholds}}})
    assert set(found.model("fraud").thresholds) == set(thresholds)
