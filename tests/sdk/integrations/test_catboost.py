"""CatBoost: answers are read by what was asked for, and only predictions are recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import chunks, semconv
from inferspan.testing import CapturedSpans

from .catboost_subjects import CANCER, DIABETES, IRIS, TOLD

X, Y = CANCER
TYPES = ("Class", "Probability", "LogProbability", "RawFormulaVal")


@pytest.fixture(autouse=True)
def _instrumented() -> None:
    inferspan.instrument("catboost")


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


def texts(classes: Any) -> tuple[str, ...]:
    return tuple(semconv.class_text(one) or "" for one in np.asarray(classes).ravel().tolist())


@pytest.mark.parametrize("asked", TYPES)
@pytest.mark.parametrize("names", [None, ["legit", "fraud"], [False, True], [0.0, 2.0]])
def test_whatever_is_asked_for_the_class_is_catboosts(
    asked: str, names: list[Any] | None, spans: CapturedSpans
) -> None:
    y = Y if names is None else np.array(names)[Y]
    model = catboost.CatBoostClassifier(**TOLD).fit(X, y)
    model.set_probability_threshold(0.8)
    model.predict(X, asked)
    found = attributes_of(spans)
    spans.clear()
    assert found[semconv.TASK_TYPE] == semconv.BINARY
    known = list(model.classes_)
    numbered = known in ([0, 1], [False, True])  # 1.2 has texts in the place of booleans
    positive = texts([known[1]])[0] if numbered else None
    assert found.get(semconv.OUTPUT_POSITIVE_CLASS) == positive
    if asked in ("Class", "RawFormulaVal") or numbered:
        assert found[semconv.OUTPUT_CLASSES_PREDICTED] == texts(model.predict(X))
    if "Prob" in asked and names is None:
        np.testing.assert_allclose(
            found[semconv.OUTPUT_SCORES], model.predict_proba(X)[:, 1], rtol=1e-12
        )


@pytest.mark.parametrize("asked", TYPES)
@pytest.mark.parametrize("loss", ["MultiClass", "MultiClassOneVsAll"])
def test_of_several_classes_too(asked: str, loss: str, spans: CapturedSpans) -> None:
    model = catboost.CatBoost({"loss_function": loss, **TOLD}).fit(*IRIS)
    model.predict(catboost.Pool(IRIS[0]), prediction_type=asked)
    found = attributes_of(spans)
    spans.clear()
    assert found[semconv.TASK_TYPE] == semconv.MULTICLASS
    expected = texts(model.predict(IRIS[0], prediction_type="Class"))
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == expected


@pytest.mark.parametrize("asked", TYPES)
def test_labels_of_which_several_hold(asked: str, spans: CapturedSpans) -> None:
    x, y = make_multilabel_classification(90, n_features=4, n_classes=3, random_state=0)
    model = catboost.CatBoostClassifier(loss_function="MultiLogloss", **TOLD).fit(x, y)
    model.predict(x, prediction_type=asked)
    found = attributes_of(spans)[semconv.OUTPUT_CLASSES_PREDICTED]
    held = model.predict(x)
    assert found == tuple(str(at) for row in held for at in np.flatnonzero(row))


@pytest.mark.parametrize("single", [X[0], X[0].tolist()])
def test_one_row_is_one_prediction(single: Any, spans: CapturedSpans) -> None:
    model = catboost.CatBoostClassifier(**TOLD).fit(X, Y)
    for ask in (model.predict, model.predict_proba):
        spans.clear()
        ask(single)
        found = attributes_of(spans)
        (said,) = found.get(semconv.OUTPUT_CLASSES_PREDICTED) or (found[semconv.OUTPUT_CLASS],)
        assert said == "0"
    several = catboost.CatBoostClassifier(**TOLD).fit(*IRIS)
    spans.clear()
    several.predict(IRIS[0][60])
    found = attributes_of(spans)
    (said,) = found.get(semconv.OUTPUT_CLASSES_PREDICTED) or (found[semconv.OUTPUT_CLASS],)
    assert said == "1"


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5", "RMSE", "MAE"])
def test_values_are_on_the_scale_of_what_is_predicted(loss: str, spans: CapturedSpans) -> None:
    x, y = DIABETES
    regressor = catboost.CatBoostRegressor(loss_function=loss, **TOLD).fit(x, y)
    said = regressor.predict(x)
    np.testing.assert_array_equal(attributes_of(spans)[semconv.OUTPUT_VALUES], said)
    plain = catboost.CatBoost({"loss_function": loss, **TOLD}).fit(x, y)
    spans.clear()
    plain.predict(x)
    np.testing.assert_allclose(attributes_of(spans)[semconv.OUTPUT_VALUES], said, rtol=1e-12)


def test_of_a_mean_and_a_variance_the_mean_is_the_value(spans: CapturedSpans) -> None:
    x, y = DIABETES
    model = catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **TOLD).fit(x, y)
    said = model.predict(x)
    np.testing.assert_array_equal(attributes_of(spans)[semconv.OUTPUT_VALUES], said[:, 0])


def test_what_a_model_was_not_trained_for_is_no_answer(spans: CapturedSpans) -> None:
    catboost.CatBoostRegressor(**TOLD).fit(*DIABETES).predict(DIABETES[0], "Exponent")
    found = attributes_of(spans)
    assert semconv.OUTPUT_VALUES not in found
    assert "Exponent" in str(found[semconv.CAPTURE_DROPPED])


@pytest.mark.parametrize("asked", ["Probability", "LogProbability", "Exponent"])
def test_a_mean_with_a_variance_is_no_probability(asked: str, spans: CapturedSpans) -> None:
    model = catboost.CatBoostRegressor(loss_function="RMSEWithUncertainty", **TOLD).fit(*DIABETES)
    model.predict(DIABETES[0], asked)
    found = attributes_of(spans)
    assert semconv.OUTPUT_VALUES not in found
    assert asked in str(found[semconv.CAPTURE_DROPPED])


def test_exponents_say_no_labels_of_which_several_hold(spans: CapturedSpans) -> None:
    x, y = make_multilabel_classification(90, n_features=4, n_classes=3, random_state=0)
    model = catboost.CatBoostClassifier(loss_function="MultiLogloss", **TOLD).fit(x, y)
    model.predict(x, prediction_type="Exponent")
    found = attributes_of(spans)
    assert semconv.OUTPUT_CLASSES_PREDICTED not in found
    assert "Exponent" in str(found[semconv.CAPTURE_DROPPED])


@pytest.mark.parametrize("rows", [DIABETES[0][0], DIABETES[0][0].tolist(), DIABETES[0][:2]])
@pytest.mark.parametrize("by_name", [False, True])
def test_several_values_of_one_row_are_not_several_rows(
    rows: Any, by_name: bool, spans: CapturedSpans
) -> None:
    loss = "MultiQuantile:alpha=0.1,0.5,0.9"
    model = catboost.CatBoostRegressor(loss_function=loss, **TOLD).fit(*DIABETES)
    model.predict(data=rows) if by_name else model.predict(rows)
    found = attributes_of(spans)
    assert semconv.OUTPUT_VALUES not in found
    assert semconv.OUTPUT_VALUE not in found
    assert semconv.CAPTURE_DROPPED in found


def test_a_ranker_has_scores_and_no_task(spans: CapturedSpans) -> None:
    x, y = DIABETES
    groups = np.arange(len(y)) // 10
    model = catboost.CatBoostRanker(**TOLD).fit(x, y / y.max(), group_id=groups)
    spans.clear()
    model.predict(x[:10])
    found = attributes_of(spans)
    assert semconv.TASK_TYPE not in found
    assert found[semconv.MODEL_NAME] == "CatBoostRanker"


def test_what_learns_or_judges_leaves_nothing(
    spans: CapturedSpans, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a search writes files, whatever it is told
    model = catboost.CatBoostClassifier(**TOLD).fit(X, Y)
    model.score(X, Y)
    model.eval_metrics(catboost.Pool(X, Y), ["AUC"])
    cross_val_score(model, X, Y, cv=2)
    untrained = catboost.CatBoostClassifier(**TOLD)
    untrained.grid_search({"depth": [2, 3]}, X, Y, cv=2, verbose=False, plot=False)
    catboost.cv(catboost.Pool(X, Y), {**TOLD, "loss_function": "Logloss"}, fold_count=2)
    assert list(spans) == []


def test_a_model_that_loads_another_answers_by_that(spans: CapturedSpans, tmp_path: Path) -> None:
    saved = str(tmp_path / "iris.cbm")
    catboost.CatBoostClassifier(**TOLD).fit(*IRIS).save_model(saved)
    model = catboost.CatBoostClassifier(**TOLD).fit(X, Y)
    model.predict(X[:2])
    model.load_model(saved)
    spans.clear()
    model.predict_proba(IRIS[0][:2])
    assert attributes_of(spans)[semconv.OUTPUT_CLASSES] == '["0","1","2"]'


def test_in_a_pipeline_it_is_a_stage(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    pipeline = make_pipeline(StandardScaler(), catboost.CatBoostClassifier(**TOLD)).fit(X, Y)
    pipeline.predict_proba(X[:3])
    assert [span.name for span in spans] == [
        "standardscaler CatBoostClassifier",
        "catboostclassifier CatBoostClassifier",
        "predict_proba CatBoostClassifier",
    ]


def test_a_large_pool_is_recorded_in_chunks(
    spans: CapturedSpans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "ROWS_MAX", 200)
    model = catboost.CatBoostClassifier(**TOLD).fit(X, Y)
    said = model.predict(catboost.Pool(X))
    found = [
        one
        for span in spans.predictions
        for one in (span.attributes or {})[semconv.OUTPUT_CLASSES_PREDICTED]  # type: ignore[union-attr]
    ]
    assert found == list(map(str, said))
    assert len(spans.predictions) == 3
