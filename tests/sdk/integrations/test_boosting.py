"""XGBoost and LightGBM: boosters answer by their objective, and only predictions are recorded."""

from __future__ import annotations

from pathlib import Path
from types import FunctionType
from typing import Any

import cloudpickle
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans, capture_spans

X, Y = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
ESTIMATORS: list[Any] = [
    xgboost.XGBClassifier(n_estimators=5, n_jobs=1),
    lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1),
]
each_estimator = pytest.mark.parametrize("model", ESTIMATORS, ids=lambda m: type(m).__name__)


@pytest.fixture(autouse=True)
def _instrumented() -> None:
    inferspan.instrument("xgboost")
    inferspan.instrument("lightgbm")


def library_of(model: Any) -> str:
    return type(model).__module__.partition(".")[0]


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


def test_a_booster_of_two_classes_answers_as_the_classifier(spans: CapturedSpans) -> None:
    for model in ESTIMATORS:
        model.fit(X, Y)
        booster = model.get_booster() if hasattr(model, "get_booster") else model.booster_
        predict = getattr(booster, "inplace_predict", booster.predict)
        spans.clear()
        scores = predict(X[:200])
        found = attributes_of(spans)
        assert found[semconv.MODEL_FRAMEWORK] == library_of(model)
        assert found[semconv.TASK_TYPE] == semconv.BINARY
        assert found[semconv.OUTPUT_POSITIVE_CLASS] == "1"
        np.testing.assert_array_equal(found[semconv.OUTPUT_SCORES], scores)
        expected = tuple(map(str, model.predict(X[:200]).tolist()))
        assert found[semconv.OUTPUT_CLASSES_PREDICTED] == expected


@each_estimator
def test_what_is_no_prediction_leaves_none(model: Any, spans: CapturedSpans) -> None:
    model.fit(X, Y)
    cross_val_score(model, X, Y, cv=2)
    asked = "output_margin" if library_of(model) == "xgboost" else "raw_score"
    model.predict(X[:3], **{asked: True})
    assert list(spans) == []
    model.predict(X[:3], **{asked: False})
    assert len(spans) == 1


def test_positional_arguments_ask_for_something_else_too(spans: CapturedSpans) -> None:
    model = ESTIMATORS[1].fit(X, Y)
    model.predict(X[:3], True)
    model.booster_.predict(X[:3], 0, None, False, True)
    assert list(spans) == []
    model.booster_.predict(X[:3], 0)
    assert len(spans) == 1


def test_contributions_and_leaves_of_a_booster_are_no_predictions(spans: CapturedSpans) -> None:
    rows = xgboost.DMatrix(X[:3])
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, Y), 2)
    for asked in ("pred_contribs", "pred_leaf", "pred_interactions", "output_margin"):
        booster.predict(rows, **{asked: True})
    booster.inplace_predict(X[:3], predict_type="margin")
    assert list(spans) == []


@pytest.mark.parametrize("order", [("sklearn", "xgboost"), ("xgboost", "sklearn")])
def test_beside_scikit_learn_a_model_is_its_own_librarys(
    order: tuple[str, str], spans: CapturedSpans
) -> None:
    inferspan.uninstrument()
    for library in order:
        inferspan.instrument(library, model=library)
    xgboost.XGBClassifier(n_estimators=2).fit(X, Y).predict(X[:3])
    assert attributes_of(spans)[semconv.MODEL_NAME] == "xgboost"


@each_estimator
def test_in_a_pipeline_it_is_a_stage_and_alone_a_prediction(
    model: Any, spans: CapturedSpans
) -> None:
    pipeline = make_pipeline(StandardScaler(), model).fit(X, Y)
    pipeline.predict(X[:3])  # scikit-learn asks, which nobody instrumented
    assert list(spans) == []
    inferspan.instrument("sklearn")
    pipeline.predict(X[:3])
    name = type(model).__name__
    assert [span.name for span in spans] == [
        f"standardscaler {name}",
        f"{name.lower()} {name}",
        f"predict {name}",
    ]


def test_a_booster_that_loads_another_model_answers_by_that(
    spans: CapturedSpans, tmp_path: Path
) -> None:
    saved = tmp_path / "iris.json"
    several = {"objective": "multi:softprob", "num_class": 3}
    xgboost.train(several, xgboost.DMatrix(*IRIS), 2).save_model(saved)
    booster = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, Y), 2)
    booster.inplace_predict(X[:2])
    assert attributes_of(spans)[semconv.TASK_TYPE] == semconv.BINARY
    booster.load_model(saved)
    spans.clear()
    booster.inplace_predict(IRIS[0][:2])
    assert attributes_of(spans)[semconv.OUTPUT_CLASSES] == '["0","1","2"]'


class Asks(lightgbm.LGBMClassifier):  # type: ignore[misc]
    """Shows which function it finds where it asks itself, and where it asks another model."""

    def predict(self, X: Any, **asked: Any) -> Any:
        self.own = self.predict_proba.__func__
        self.others = self.other.predict.__func__
        return super().predict(X, **asked)


def test_within_its_own_call_a_model_finds_the_librarys_function() -> None:
    inferspan.uninstrument()
    bare, bare_proba = vars(Asks)["predict"], lightgbm.LGBMClassifier.predict_proba
    model = Asks(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    model.other = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    inferspan.instrument("lightgbm")
    for found in (Asks.predict, model.predict.__func__, model.predict_proba.__func__):
        assert type(found) is FunctionType
        assert found not in (bare, bare_proba)
    with capture_spans() as spans:
        model.predict(X[:2])
    assert model.own is bare_proba
    assert model.others is lightgbm.LGBMClassifier.predict  # is traced: it would be a stage
    assert [span.name for span in spans] == ["predict Asks"]


def test_a_method_of_many_parameters_may_be_called_out_of_its_class(spans: CapturedSpans) -> None:
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    answer = vars(lightgbm.LGBMClassifier)["predict"](model, X[:2])
    np.testing.assert_array_equal(answer, model.predict(X[:2]))
    assert len(spans.predictions) == 2


def test_a_class_that_is_sent_by_value_has_plain_functions_where_it_arrives() -> None:
    class Local(lightgbm.LGBMClassifier):  # type: ignore[misc]
        def predict(self, X: Any, **asked: Any) -> Any:
            return super().predict(X, **asked)

    sent = cloudpickle.loads(cloudpickle.dumps(Local))
    assert type(vars(sent)["predict"]) is FunctionType
    model = sent(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    expected = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1).fit(X, Y)
    np.testing.assert_array_equal(model.predict(X), expected.predict(X))
