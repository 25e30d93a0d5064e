"""Figures of scores, numbers, sets and evaluations in the API, over a filled store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from asking import FilledStore, ask
from records import MINUTE_NS, START_NS, Label, Prediction
from sklearn import metrics

from inferspan_collector.config import Config, Limits, Model, Target
from inferspan_collector.publish import api

HOUR_NS = 60 * MINUTE_NS


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilledStore]:
    filled = FilledStore(tmp_path)
    yield filled
    filled.close()


def quality(store: FilledStore, question: str = "", config: Config | None = None) -> list[Any]:
    answer = ask(
        api.routes(store, config or store.config), f"/api/v1/models/fraud/quality?{question}"
    )
    assert answer.status_code == 200, answer.text
    windows: list[Any] = answer.json()["windows"]
    return windows


def scored(n: int = 60, **fields: Any) -> tuple[list[Prediction], list[Label]]:
    """Predictions with scores, a minute apart, and their truths."""
    random = np.random.default_rng(1)
    score = random.integers(0, 1000, n) / 1000
    truth = random.random(n) < score
    predictions, labels = [], []
    for i in range(n):
        predictions.append(
            Prediction(
                f"order-{i}",
                predicted="fraud" if score[i] >= 0.5 else "legit",
                score=float(score[i]),
                trace=i + 1,
                span=i + 1,
                event_time=START_NS // HOUR_NS * HOUR_NS + i * MINUTE_NS,
                slices={"country": "DE" if i % 3 else "FR"},
                **fields,
            )
        )
        labels.append(Label(f"order-{i}", "fraud" if truth[i] else "legit", f"label-{i}"))
    return predictions, labels


def oracle(predictions: list[Prediction], labels: list[Label]) -> dict[str, float]:
    truth = [label.actual == "fraud" for label in labels]
    score = [prediction.score for prediction in predictions]
    return {
        "roc_auc": metrics.roc_auc_score(truth, score),
        "average_precision": metrics.average_precision_score(truth, score),
        "log_loss": metrics.log_loss(truth, score),
        "brier_score": metrics.brier_score_loss(truth, score),
    }


def equal(window: Any, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert window["metrics"][name]["value"] == pytest.approx(value, rel=0, abs=1e-9), name


def test_scores_are_measured_and_late_and_corrected_labels_change_their_window(
    store: FilledStore,
) -> None:
    predictions, labels = scored()
    wrong = [replace(label, actual="legit") for label in labels[:10]]
    store.add(*predictions, *wrong, *labels[10:40])
    store.add(*labels[40:])
    store.add(*(replace(label, revision=1) for label in labels[:10]))
    (window,) = quality(store)
    equal(window, oracle(predictions, labels))
    for name in ("roc_auc", "average_precision", "log_loss", "brier_score"):
        figure = window["metrics"][name]
        assert figure["low"] < figure["value"] < figure["high"]
        assert figure["n"] == 60


def test_windows_and_slices_have_figures_of_their_own(store: FilledStore) -> None:
    predictions, labels = scored(180)
    store.add(*predictions, *labels)
    for start, window in zip((0, 60, 120), quality(store, "every=1h"), strict=True):
        rows = slice(start, start + 60)
        equal(window, oracle(predictions[rows], labels[rows]))
    by_country = {
        window["group"]["slice.country"]: window for window in quality(store, "by=slice.country")
    }
    for country, window in by_country.items():
        mine = [i for i in range(180) if predictions[i].slices["country"] == country]
        equal(window, oracle([predictions[i] for i in mine], [labels[i] for i in mine]))


def test_a_window_without_labels_says_so_in_the_same_names(store: FilledStore) -> None:
    predictions, labels = scored(90)
    store.add(*predictions, *labels[:60])
    full, empty = quality(store, "every=1h")
    assert full["metrics"].keys() == empty["metrics"].keys()
    assert "no label has joined yet" in empty["metrics"]["roc_auc"]["reason"]


def test_each_figure_says_how_many_predictions_have_what_it_needs(store: FilledStore) -> None:
    predictions, labels = scored(60)
    without = [replace(p, score=math.nan) if i % 3 else p for i, p in enumerate(predictions)]
    store.add(*without, *labels[:45])
    (window,) = quality(store)
    assert window["metrics"]["accuracy"]["coverage"] == 0.75
    assert window["metrics"]["brier_score"]["coverage"] == 0.25
    assert {figure["coverage"] for figure in window["per_class"]["fraud"].values()
            if isinstance(figure, dict) and figure["value"] is not None} == {0.75}  # fmt: skip


def test_before_any_label_all_figures_are_named_with_the_reason(store: FilledStore) -> None:
    predictions, labels = scored(60)
    store.add(*predictions)
    (before,) = quality(store)
    assert before["metrics"]["roc_auc"]["value"] is None
    assert "no label has joined yet" in before["metrics"]["roc_auc"]["reason"]
    store.add(*labels)
    (after,) = quality(store)
    assert before["metrics"].keys() == after["metrics"].keys()


def test_without_scores_the_remedy_is_said(store: FilledStore) -> None:
    store.add(Prediction("order-1"), Label("order-1"))
    (window,) = quality(store)
    assert window["metrics"]["roc_auc"]["value"] is None
    assert "answer P(positive)" in window["metrics"]["roc_auc"]["reason"]


def test_calibration_and_thresholds_on_request(store: FilledStore) -> None:
    predictions, labels = scored()
    store.add(*predictions, *labels)
    assert "calibration" not in quality(store)[0]
    (window,) = quality(store, "include=calibration,thresholds")
    assert sum(point["n"] for point in window["calibration"]) == 60
    row = min(window["thresholds"], key=lambda row: abs(row["threshold"] - 0.5))
    said = [p.score >= row["threshold"] for p in predictions]
    truth = [label.actual == "fraud" for label in labels]
    tn, fp, fn, tp = metrics.confusion_matrix(truth, said).ravel().tolist()
    assert {key: row[key] for key in ("tn", "fp", "fn", "tp")} == {
        "tn": tn, "fp": fp, "fn": fn, "tp": tp,
    }  # fmt: skip
    answer = ask(api.routes(store, store.config), "/api/v1/models/fraud/quality?include=curves")
    assert answer.status_code == 400
    assert "calibration, thresholds" in answer.text


def test_numbers_have_errors_under_their_long_and_short_names(store: FilledStore) -> None:
    pairs = [(10.0, 12.0), (8.0, 5.0), (3.0, 3.5)]
    for i, (said, true) in enumerate(pairs):
        store.add(
            Prediction(
                f"p-{i}", predicted=None, positive_class=None, value=said, task="regression",
                trace=i + 1, span=i + 1,
            ),
            Label(f"p-{i}", str(true), f"l-{i}", value=true),
        )  # fmt: skip
    (window,) = quality(store)
    expected = metrics.mean_absolute_error([t for _, t in pairs], [p for p, _ in pairs])
    assert window["metrics"]["mean_absolute_error"]["value"] == pytest.approx(expected)
    assert window["metrics"]["mae"] == window["metrics"]["mean_absolute_error"]
    assert window["metrics"]["rmse"]["value"] == pytest.approx(math.sqrt((4 + 9 + 0.25) / 3))


def test_sets_have_figures_of_their_classes(store: FilledStore) -> None:
    for i, (said, true) in enumerate([('["a","b"]', '["a"]'), ('["b"]', '["b","c"]')]):
        store.add(
            Prediction(
                f"p-{i}", said, positive_class=None, task="multilabel_classification",
                trace=i + 1, span=i + 1,
            ),
            Label(f"p-{i}", true, f"l-{i}"),
        )  # fmt: skip
    (window,) = quality(store, "average=micro")
    assert window["metrics"]["precision"]["value"] == pytest.approx(2 / 3)
    assert window["metrics"]["recall"]["value"] == pytest.approx(2 / 3)
    assert window["metrics"]["hamming_loss"]["value"] == pytest.approx(2 / 6)
    assert window["per_class"]["b"]["recall"]["value"] == 1.0


def test_a_figure_of_few_predictions_is_not_yet_known(store: FilledStore) -> None:
    predictions, labels = scored(40)
    store.add(*predictions, *labels)
    (window,) = quality(store)
    assert "known" not in window["metrics"]["accuracy"]
    assert window["metrics"]["recall"]["n"] < 30
    assert window["metrics"]["recall"]["known"] is False
    strict = Config(models={"fraud": Model(minimum_n=41)})
    (window,) = quality(store, config=strict)
    assert window["metrics"]["accuracy"]["known"] is False


def test_too_many_rows_are_not_read(store: FilledStore) -> None:
    predictions, labels = scored(1100)
    store.add(*predictions, *labels)
    (window,) = quality(store, config=Config(limits=Limits(query_rows=1000)))
    assert "limits.query_rows" in window["metrics"]["roc_auc"]["reason"]
    assert window["metrics"]["accuracy"]["value"] is not None
    windows = quality(store, "every=1m")
    assert "roc_auc" not in windows[0]["metrics"]
    assert windows[0]["per_class"] == {}


def test_evaluations_pass_from_a_configured_score_on(store: FilledStore) -> None:
    config = Config(models={"fraud": Model(targets={"helpfulness": Target(passes_from=0.5)})})
    about = {"target": "helpfulness", "kind": "evaluation"}
    for i, score in enumerate((0.7, 0.4, 0.9)):
        store.add(
            Prediction(f"order-{i}", trace=i + 1, span=i + 1),
            Label(f"order-{i}", str(score), f"label-{i}", value=score, **about),  # type: ignore[arg-type]
        )
    (window,) = quality(store, "target=helpfulness", config)
    assert window["metrics"]["score_mean"]["value"] == pytest.approx(2 / 3)
    assert window["metrics"]["pass_rate"]["value"] == pytest.approx(2 / 3)
    (window,) = quality(store, "target=helpfulness")
    assert "passes_from" in window["metrics"]["pass_rate"]["reason"]


def test_a_teams_own_figures_and_costs(store: FilledStore) -> None:
    config = Config(
        models={
            "fraud": Model(
                figures={
                    "missed_in_germany": "count() where actual = 'fraud' and predicted != 'fraud'"
                    " and country = 'DE'",
                    "mean_score": "mean(score)",
                },
                costs={"fraud": {"legit": 100.0}},
            )
        }
    )
    predictions, labels = scored(90)
    store.add(*predictions, *labels)
    (window,) = quality(store, config=config)
    missed = [
        prediction.slices["country"]
        for prediction, label in zip(predictions, labels, strict=True)
        if label.actual == "fraud" and prediction.predicted == "legit"
    ]
    assert window["metrics"]["missed_in_germany"]["value"] == missed.count("DE")
    expected = sum(prediction.score for prediction in predictions) / 90
    assert window["metrics"]["mean_score"]["value"] == pytest.approx(expected)
    assert window["metrics"]["cost_total"]["value"] == 100.0 * len(missed)


def test_rankings_are_measured_by_sets_and_by_single_items(store: FilledStore) -> None:
    about = {"task": "ranking", "operation": "rank", "positive_class": None}
    ranking = '["a","b","c"]'
    store.add(
        Prediction("r-1", ranking, trace=1, span=1, version="sets", **about),  # type: ignore[arg-type]
        Label("r-1", '["b"]', "l-1"),
        Prediction("r-2", ranking, trace=2, span=2, version="items", **about),  # type: ignore[arg-type]
        Label("r-2", None, "l-2", item_id="c", value=2.0),
        Label("r-2", None, "l-3", item_id="z", value=1.0),
    )
    found = {
        window["group"]["version"]: window["metrics"] for window in quality(store, "by=version")
    }
    assert found["sets"]["mean_reciprocal_rank"]["value"] == 0.5
    assert found["sets"]["hit_rate_at_1"]["value"] == 0.0
    assert found["items"]["mean_reciprocal_rank"]["value"] == pytest.approx(1 / 3)
    expected = (2 / 2) / (2 + 1 / math.log2(3))
    assert found["items"]["ndcg_at_10"]["value"] == pytest.approx(expected)


def test_money_lost_to_missed_fraud(store: FilledStore) -> None:
    missed = "sum(amount) where actual = 'fraud' and predicted != 'fraud'"
    config = Config(
        models={
            "fraud": Model(
                figures={
                    "money_lost": missed,
                    "money_lost_online": f"{missed} and channel = 'online'",
                    "share_of_it": f"({missed}) / sum(amount)",
                }
            )
        }
    )
    predictions, labels = scored(90)
    amounts = [float(10 + i * i % 97) for i in range(90)]
    channels = ["online" if i % 4 else "shop" for i in range(90)]
    store.add(
        *(
            replace(each, features={"amount": amount, "channel": channel})
            for each, amount, channel in zip(predictions, amounts, channels, strict=True)
        ),
        *labels,
    )
    (window,) = quality(store, config=config)
    lost = {
        i: amounts[i]
        for i in range(90)
        if labels[i].actual == "fraud" and predictions[i].predicted != "fraud"
    }
    found = {name: figure["value"] for name, figure in window["metrics"].items()}
    assert found["money_lost"] == sum(lost.values())
    online = sum(amount for i, amount in lost.items() if channels[i] == "online")
    assert found["money_lost_online"] == online
    assert found["share_of_it"] == pytest.approx(sum(lost.values()) / sum(amounts))
    figure = window["metrics"]["money_lost"]
    assert figure["low"] < figure["value"] < figure["high"]
