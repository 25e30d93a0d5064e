"""Gauges that need rows: estimates, lags, drift, figures of scores; as the API says them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from baseline_files import baseline_of
from records import MINUTE_NS, START_NS, Label, Prediction
from starlette.routing import Route
from test_metrics_arrivals import samples, scraped, value

from inferspan_collector.config import Config, Model, Publish
from inferspan_collector.config.models import Reference, Threshold
from inferspan_collector.publish import api, drifting, foreseeing, prometheus
from inferspan_collector.publish.metrics.families import Folding
from inferspan_collector.publish.metrics.row_figures import RowFigures
from inferspan_collector.store.reader import StoreReader
from inferspan_collector.telemetry import CONTAINED, FOLDED

HOUR_NS = 60 * MINUTE_NS
NOW_NS = START_NS - START_NS % HOUR_NS + 6 * HOUR_NS - 1
GROUP = {"model": "fraud", "version": "7"}
CONFIG = Config(
    models={
        "fraud": Model(
            costs={"fraud": {"legit": 100.0}},
            figures={"missed": "sum(amount) where actual = 'fraud' and predicted != 'fraud'"},
            thresholds={"accuracy": Threshold(lower=0.7), "roc_auc": Threshold(lower=0.75)},
            reference=Reference(first=600),
        )
    },
    publish=Publish(quality_windows=("1h",)),
)


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path, CONFIG)
    filled.now = NOW_NS
    yield filled
    filled.close()


def drawn(n: int, start_ns: int, seed: int, *, labelled: float, shift: float) -> list[Any]:
    """Predictions over an hour whose scores are probabilities, and labels of some of them."""
    rng = np.random.default_rng(seed)
    rows: list[Any] = []
    for i, score in enumerate(rng.beta(0.4, 0.4, n).tolist()):
        time = start_ns + i * (HOUR_NS // n)
        key = f"{seed}-{i}"
        rows.append(
            Prediction(
                key,
                predicted="fraud" if score >= 0.5 else "legit",
                score=score,
                trace=seed * 10_000 + i + 1,
                span=seed * 10_000 + i + 1,
                event_time=time,
                features={"amount": float(rng.normal(shift, 1)), "country": "DE"},
            )
        )
        if rng.random() < labelled:
            true = "fraud" if rng.random() < score else "legit"
            received = time + 10 * MINUTE_NS
            rows.append(Label(key, true, f"l-{key}", received=received, time=received))
    return rows


@pytest.fixture
def filled(store: FilledStore) -> FilledStore:
    """Five hours ago all was well; in the last hour the amounts have moved, and labels are few."""
    store.add(*drawn(600, NOW_NS + 1 - 6 * HOUR_NS, 1, labelled=1.0, shift=0.0))
    store.add(*drawn(300, NOW_NS + 1 - HOUR_NS, 2, labelled=0.5, shift=3.0))
    return store


def made(store: FilledStore, config: Config = CONFIG) -> list[Route]:
    figures = RowFigures(store, config, store.telemetry, Clock())
    figures.make()
    return prometheus.routes(store, store.telemetry, config, figures)


def asked(store: FilledStore, endpoint: str) -> Any:
    """The one window of the API that the gauges speak of."""
    times = [
        datetime.fromtimestamp(ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
        for ns in (NOW_NS + 1 - HOUR_NS, NOW_NS + 1)
    ]
    routes = [
        *api.routes(store, CONFIG),
        *drifting.routes(store, CONFIG),
        *foreseeing.routes(store, CONFIG),
    ]
    url = f"/api/v1/models/fraud/{endpoint}?version=7&from={times[0]}&to={times[1]}"
    answer = ask(routes, url)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_estimates_stand_beside_the_truth(filled: FilledStore) -> None:
    found = scraped(made(filled))
    (window,) = asked(filled, "estimates")["windows"]
    assert window["metrics"].keys() >= {"accuracy", "f1", "roc_auc"}
    for metric, said in window["metrics"].items():
        labels = {**GROUP, "target": "default", "metric": metric, "window": "1h"}
        for name, part in (("estimated_score", "estimated"), ("realized_score", "realized")):
            for suffix, key in (("", "value"), ("_lower", "low"), ("_upper", "high"), ("_n", "n")):
                shown = value(found, f"inferspan_{name}{suffix}", **labels)
                assert shown == pytest.approx(said[part][key], rel=1e-12)
        assert value(found, "inferspan_estimate_gap", **labels) == said["gap"]["value"]
        shown = value(found, "inferspan_estimate_gap_significant", **labels)
        assert shown == float(said["gap"]["significant"])
    labels = {**GROUP, "metric": "accuracy"}
    assert value(found, "inferspan_estimated_score_threshold_lower", **labels) == 0.7


def test_how_long_labels_take_and_how_much_is_settled(filled: FilledStore) -> None:
    found = scraped(made(filled))
    said = asked(filled, "estimates")
    settled = value(found, "inferspan_quality_settled_ratio", window="1h", **GROUP)
    assert settled == pytest.approx(said["windows"][0]["settled"], rel=1e-12)
    for quantile, key in (("0.5", "p50"), ("0.9", "p90"), ("0.99", "p99")):
        lag = value(found, "inferspan_label_lag_seconds", share=quantile, **GROUP)
        assert lag == said["label_lag"][key] == pytest.approx(600, rel=0.09)


def test_drift_of_each_column_with_its_thresholds(filled: FilledStore) -> None:
    found = scraped(made(filled))
    said = asked(filled, "drift")["columns"]
    assert {"feature.amount", "feature.country", "predicted.score", "label.class"} <= said.keys()
    for column, of_column in said.items():
        labels = {**GROUP, "column": column, "window": "1h"}
        assert value(found, "inferspan_drift_values", **labels) == of_column["values"][0]
        for method, course in of_column["figures"].items():
            shown = samples(found, "inferspan_drift_score", method=method, **labels)
            wanted = [v for v in course["values"] if v is not None]
            assert [v for v, _ in shown] == pytest.approx(wanted, rel=1e-12)
    moved = {**GROUP, "column": "feature.amount", "method": "jensen_shannon"}
    limit = value(found, "inferspan_drift_score_threshold_upper", **moved)
    assert value(found, "inferspan_drift_score", **moved) > 2 * limit


def test_figures_of_scores_and_of_ones_own(filled: FilledStore) -> None:
    found = scraped(made(filled))
    (window,) = asked(filled, "quality")["windows"]
    for metric in ("roc_auc", "log_loss", "brier_score", "missed", "cost_total"):
        figure = window["metrics"][metric]
        labels = {**GROUP, "metric": metric, "average": "", "window": "1h", "target": "default"}
        for suffix, key in (("", "value"), ("_lower", "low"), ("_upper", "high"), ("_n", "n")):
            shown = samples(found, f"inferspan_quality_score{suffix}", **labels)
            wanted = [] if figure[key] is None else [figure[key]]
            assert [v for v, _ in shown] == pytest.approx(wanted, rel=1e-12)
    for metric, least in (("accuracy", 0.7), ("roc_auc", 0.75)):
        name = "inferspan_quality_score_threshold_lower"
        labels = {**GROUP, "metric": metric, "average": "", "window": "1h", "target": "default"}
        assert value(found, name, **labels) == least
        assert value(found, "inferspan_quality_score", **labels) > 0


def test_scores_of_evaluators_are_their_targets(store: FilledStore) -> None:
    for i in range(40):
        key, time = f"answer-{i}", NOW_NS - 10**9 * (i + 1)
        store.add(
            Prediction(
                key, model="bot", task="generation", predicted="text", positive_class=None,
                trace=i + 1, span=i + 1, event_time=time,
            ),
            Label(
                key, None, f"e{i}", model="bot", target="faithful", kind="evaluation",
                value=i / 40, received=time + 1, time=time,
            ),
        )  # fmt: skip
    found = scraped(made(store))
    labels = {"model": "bot", "target": "faithful", "metric": "score_mean"}
    assert value(found, "inferspan_quality_score", **labels) == pytest.approx(0.4875)
    assert value(found, "inferspan_quality_score_n", **labels) == 40


def test_offline_figures_of_the_newest_baselines_stand_beside_live_ones(
    filled: FilledStore, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    kept = {}
    for version, n in (("7", 100), ("7", 200), (None, 300)):
        score = rng.random(n)
        columns = {
            "predicted": np.where(score >= 0.5, "fraud", "legit").tolist(),
            "actual": np.where(rng.random(n) < score, "fraud", "legit").tolist(),
            "score": score.tolist(),
        }
        told = {"version": version, "cross_validation": {"f1": (0.8, 0.9)}, "code_version": "4f2c"}
        path = tmp_path / f"eval-{n}.parquet"
        kept[version] = baseline_of(path, columns, told, positive="fraud")
        filled.keep_baseline("fraud", kept[version])
    found = scraped(made(filled))
    for version, newest in kept.items():
        of = {"model": "fraud", "version": version or "", "target": "default"}
        for metric, average in (
            ("accuracy", ""), ("roc_auc", ""), ("brier_score", ""), ("f1", "binary"),
        ):  # fmt: skip
            labels, figure = {**of, "metric": metric, "average": average}, newest.figures[metric]
            for suffix in ("value", "low", "high", "n"):
                names = {"value": "", "low": "_lower", "high": "_upper", "n": "_n"}
                shown = value(found, f"inferspan_baseline_score{names[suffix]}", **labels)
                assert shown == getattr(figure, suffix), (metric, suffix)
        folds = {"inferspan_baseline_cross_validation_mean": 0.85,
                 "inferspan_baseline_cross_validation_std": 0.05}  # fmt: skip
        for name, exact in folds.items():
            assert value(found, name, **of, metric="f1") == pytest.approx(exact)
        info = {**of, "source": newest.source, "code_version": "4f2c", "data_version": ""}
        assert value(found, "inferspan_baseline_info", **info) == 1
    # PromQL matches them to live ones by these labels.
    live = {"model": "fraud", "version": "7", "target": "default", "metric": "f1"}
    assert len(samples(found, "inferspan_quality_score", **live, average="binary")) == 1


def test_few_rows_have_figures_and_no_thresholds(store: FilledStore) -> None:
    store.add(*drawn(600, NOW_NS + 1 - 6 * HOUR_NS, 1, labelled=1.0, shift=0.0))
    store.add(*drawn(29, NOW_NS + 1 - HOUR_NS, 2, labelled=0.0, shift=3.0))
    found = scraped(made(store))
    for name, labels in (
        ("inferspan_drift_score", {"column": "feature.amount", "method": "jensen_shannon"}),
        ("inferspan_estimated_score", {"metric": "accuracy"}),
    ):
        assert len(samples(found, name, **GROUP, **labels)) == 1
        for side in ("lower", "upper"):
            assert samples(found, f"{name}_threshold_{side}", **GROUP, **labels) == []


def test_it_says_when_and_how_long(filled: FilledStore) -> None:
    found = scraped(made(filled))
    made_at = value(found, "inferspan_figures_timestamp_seconds", model="fraud")
    assert made_at == NOW_NS / 1e9
    assert value(found, "inferspan_figures_duration_seconds", model="fraud") == 0


def test_a_model_that_is_asked_no_more_leaves(filled: FilledStore) -> None:
    figures = RowFigures(filled, CONFIG, filled.telemetry, Clock())
    figures.make()
    routes = prometheus.routes(filled, filled.telemetry, CONFIG, figures)
    assert samples(scraped(routes), "inferspan_drift_score")
    filled.now += 3 * HOUR_NS
    figures.make()
    assert samples(scraped(routes), "inferspan_drift_score") == []
    assert samples(scraped(routes), "inferspan_estimated_score") == []


def test_they_are_made_when_it_is_time_and_take_a_tenth_of_it(filled: FilledStore) -> None:
    class Slow(Clock):
        """Each look takes a second more."""

        def __call__(self) -> float:
            self.now += 1.0
            return self.now

    clock = Slow()
    publish = CONFIG.publish.model_copy(update={"figures_seconds": 5.0})
    figures = RowFigures(
        filled, CONFIG.model_copy(update={"publish": publish}), filled.telemetry, clock
    )
    began = clock.now
    assert figures.make_due() == 1
    took = clock.now - began
    while figures.make_due() == 0:
        pass
    assert clock.now - began >= 9 * (took - 2)


def test_never_is_possible(filled: FilledStore) -> None:
    never = CONFIG.model_copy(update={"publish": Publish(figures_seconds=0)})
    assert RowFigures(filled, never, filled.telemetry, Clock()).make_due() == 0


def test_who_stops_the_collector_waits_for_no_other_model(filled: FilledStore) -> None:
    figures = RowFigures(filled, CONFIG, filled.telemetry, Clock())
    figures.close()
    figures.make()
    routes = prometheus.routes(filled, filled.telemetry, CONFIG, figures)
    assert samples(scraped(routes), "inferspan_figures_timestamp_seconds") == []


def test_one_model_that_fails_takes_no_other_with_it(
    filled: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.add(Prediction("x", model="broken", event_time=NOW_NS - 10**9, span=5, trace=5))
    rows = StoreReader.rows

    def failing(reader: StoreReader, query: Any) -> Any:
        if query.model == "broken":
            raise RuntimeError("boom")
        return rows(reader, query)

    monkeypatch.setattr(StoreReader, "rows", failing)
    found = scraped(made(filled))
    assert samples(found, "inferspan_drift_score", model="fraud")
    assert samples(found, "inferspan_drift_score", model="broken") == []
    assert filled.telemetry.get(CONTAINED, where="figures") == 1


def test_a_model_that_fails_keeps_its_last_figures_and_says_how_old_they_are(
    filled: FilledStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = RowFigures(filled, CONFIG, filled.telemetry, Clock())
    figures.make()
    routes = prometheus.routes(filled, filled.telemetry, CONFIG, figures)
    before = samples(scraped(routes), "inferspan_drift_score", model="fraud")

    def failing(reader: StoreReader, query: Any) -> Any:
        raise RuntimeError("boom")

    monkeypatch.setattr(StoreReader, "rows", failing)
    filled.now += MINUTE_NS
    figures.make()

    found = scraped(routes)
    assert before
    assert samples(found, "inferspan_drift_score", model="fraud") == before
    made_at = value(found, "inferspan_figures_timestamp_seconds", model="fraud")
    assert made_at == pytest.approx(NOW_NS / 1e9)
    assert filled.telemetry.get(CONTAINED, where="figures") == 1


def test_series_beyond_the_limit_are_left_out_and_counted(filled: FilledStore) -> None:
    figures = RowFigures(filled, CONFIG, filled.telemetry, Clock())
    figures.make()
    folding = Folding(filled.telemetry)

    def drift(room: int) -> int:
        return sum(
            len(family.samples)
            for family in figures.families(room, folding)
            if family.name == "inferspan_drift_score"
        )

    whole = drift(10_000)
    assert whole > 10
    for _ in range(2):
        assert drift(10) == 10
        assert filled.telemetry.get(FOLDED, label="metrics:drift_score") == whole - 10
