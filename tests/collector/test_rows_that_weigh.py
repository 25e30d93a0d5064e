"""Rows that stand for others: figures are those of all that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from foreseen import HOUR_NS, HOUR_START_NS, get
from records import Label, Prediction
from test_metrics_arrivals import scraped, value

from inferspan_collector.config import Config, Model, Publish
from inferspan_collector.publish import api, prometheus
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.publish.parameters import rfc3339

HOURS, HOURLY = 10, 200
CONFIG = Config(
    models={"fraud": Model(costs={"fraud": {"legit": 100.0}, "legit": {"fraud": 3.0}})},
    publish=Publish(quality_windows=("1h", "1d")),
)
REFERENCE = f"&reference_to={rfc3339(HOUR_START_NS + HOURS * HOUR_NS)}"
NOW_NS = HOUR_START_NS + HOURS * HOUR_NS - 1
"""The last hour is the newest one."""


def sampled() -> list[tuple[Prediction, Label]]:
    """Hours whose scores promise too much; sure rows were sampled, and stand for three or five."""
    rng = np.random.default_rng(9)
    rows = []
    for i, score in enumerate(rng.beta(0.5, 0.5, HOURS * HOURLY).round(3).tolist()):
        key = f"order-{i}"
        time = HOUR_START_NS + i * (HOUR_NS // HOURLY)
        fraud = rng.random() < score**2
        prediction = Prediction(
            key,
            "fraud" if score >= 0.5 else "legit",
            score=score,
            trace=i + 1,
            span=i + 1,
            event_time=time,
            adjusted_count=(3.0 if i % 2 else 5.0) if abs(score - 0.5) > 0.3 else 1.0,
            features={"amount": float(rng.normal(score)), "country": "DE" if score < 0.8 else "FR"},
            slices={"country": "DE" if score < 0.8 else "FR"},
        )
        actual = "fraud" if fraud else "legit"
        rows.append((prediction, Label(key, actual, f"l-{key}", received=time, time=time)))
    return rows


def spread(rows: list[tuple[Prediction, Label]]) -> list[Prediction | Label]:
    """Everything that the rows stand for, one by one."""
    found: list[Prediction | Label] = []
    for prediction, label in rows:
        for copy in range(int(prediction.adjusted_count)):
            key, number = f"{prediction.prediction_id}-{copy}", prediction.trace * 10 + copy
            found.append(
                replace(
                    prediction, prediction_id=key, trace=number, span=number, adjusted_count=1.0
                )
            )
            found.append(replace(label, prediction_id=key, label_id=f"l-{key}"))
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FilledStore, FilledStore]]:
    """The sample, and what it stands for."""
    rows = sampled()
    pair = []
    for name, records in (
        ("sample", [record for row in rows for record in row]),
        ("population", spread(rows)),
    ):
        store = FilledStore(tmp_path_factory.mktemp(name), CONFIG)
        store.now = NOW_NS
        store.add(*records)
        pair.append(store)
    yield pair[0], pair[1]
    for store in pair:
        store.close()


def test_estimates_are_those_of_what_the_rows_stand_for(
    stores: tuple[FilledStore, FilledStore],
) -> None:
    sample, population = (get(store, "estimates", f"?every=1h{REFERENCE}") for store in stores)
    assert len(sample["windows"]) == HOURS
    for ours, theirs in zip(sample["windows"], population["windows"], strict=True):
        assert ours["predictions"] == HOURLY < theirs["predictions"]
        assert ours["metrics"].keys() == theirs["metrics"].keys() >= {"accuracy", "roc_auc"}
        for name, metric in ours["metrics"].items():
            whole = theirs["metrics"][name]
            for part in ("estimated", "realized"):
                expected, found = whole[part], metric[part]
                assert found["value"] == pytest.approx(expected["value"], abs=1e-9), (name, part)
                # And less sure: there are fewer rows.
                width = found["high"] - found["low"]
                assert width > expected["high"] - expected["low"], (name, part)
    for name, limits in sample["thresholds"].items():
        assert limits["lower_threshold"] == pytest.approx(
            population["thresholds"][name]["lower_threshold"]
        )


def test_drift_is_that_of_what_the_rows_stand_for(
    stores: tuple[FilledStore, FilledStore],
) -> None:
    sample, population = (get(store, "drift", f"?every=1h{REFERENCE}") for store in stores)
    assert {"feature.country", "predicted.class", "label.class"} <= sample["columns"].keys()
    for name in ("feature.country", "predicted.class", "label.class"):
        ours, theirs = sample["columns"][name], population["columns"][name]
        assert ours["values"] == [HOURLY] * HOURS
        for method in ("jensen_shannon", "hellinger", "l_infinity", "population_stability"):
            assert ours["figures"][method]["values"] == pytest.approx(
                theirs["figures"][method]["values"], abs=1e-9
            ), (name, method)
        # As large as so many rows as the weights are worth make it, and not more.
        for mine, whole in zip(
            ours["figures"]["chi_squared"]["values"],
            theirs["figures"]["chi_squared"]["values"],
            strict=True,
        ):
            assert mine < whole or mine == pytest.approx(whole), name


def test_mistakes_cost_what_all_of_those_cost(
    stores: tuple[FilledStore, FilledStore],
) -> None:
    windows = []
    for store in stores:
        answer = ask(api.routes(store, CONFIG), "/api/v1/models/fraud/quality").json()
        windows.append(answer["windows"][0]["metrics"])
    for name in ("cost_total", "cost_mean", "accuracy", "log_loss"):
        ours, theirs = (window[name] for window in windows)
        assert ours["value"] == pytest.approx(theirs["value"]), name
        assert ours["n"] == HOURS * HOURLY
        assert ours["low"] < ours["value"] < ours["high"]


def gauges(store: FilledStore) -> Any:
    figures = RowFigures(store, CONFIG, store.telemetry, lambda: 0.0)
    figures.make()
    return scraped(prometheus.routes(store, store.telemetry, CONFIG, figures))


def test_gauges_are_those_of_what_the_rows_stand_for(
    stores: tuple[FilledStore, FilledStore],
) -> None:
    ours, theirs = (gauges(store) for store in stores)
    for window, n in (("1h", HOURLY), ("1d", HOURS * HOURLY)):
        about = {"model": "fraud", "window": window, "target": "default"}
        for metric, average in (
            ("accuracy", ""), ("cohen_kappa", ""), ("f1", "binary"), ("recall", "macro"),
        ):  # fmt: skip
            labels = {**about, "metric": metric, "average": average}
            shown = value(ours, "inferspan_quality_score", **labels)
            assert shown == pytest.approx(value(theirs, "inferspan_quality_score", **labels))
        labels = {**about, "metric": "accuracy"}
        assert value(ours, "inferspan_quality_score_n", **labels) == n
    for text in ("DE", "FR"):
        labels = {"model": "fraud", "value": text, "metric": "accuracy"}
        shown = value(ours, "inferspan_slice_score", **labels)
        assert shown == pytest.approx(value(theirs, "inferspan_slice_score", **labels))
        width, whole = (
            value(found, "inferspan_slice_score_upper", **labels)
            - value(found, "inferspan_slice_score_lower", **labels)
            for found in (ours, theirs)
        )
        assert width > whole
    url = "/api/v1/models/fraud/quality?by=environment,version"
    (answered,) = ask(api.routes(stores[0], CONFIG), url).json()["windows"]
    labels = {"model": "fraud", "window": "1d", "metric": "accuracy"}
    for suffix, key in (("", "value"), ("_lower", "low"), ("_upper", "high")):
        shown = value(ours, f"inferspan_quality_score{suffix}", **labels)
        assert shown == pytest.approx(answered["metrics"]["accuracy"][key])
