"""scikit-learn's own ways: what learns predicts nothing, and what predicts says what it knows."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, StackingClassifier
from sklearn.feature_selection import RFECV
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate, learning_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import semconv
from inferspan.instrumenting import instrument_installed
from inferspan.testing import CapturedSpans, capture_spans

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)[:, :6]
IRIS = load_iris(return_X_y=True)


def attributes_of(spans: CapturedSpans, model: str | None = None) -> dict[str, Any]:
    return dict(spans.prediction(model).attributes or {})


class Threshold(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A user's own classifier: its methods are its own, and ask another model."""

    def fit(self, x: Any, y: Any) -> Threshold:
        self.inner_ = LogisticRegression().fit(x, y)
        self.classes_ = self.inner_.classes_
        self.trained_ = self.inner_.predict(x).mean()
        return self

    def predict(self, x: Any) -> Any:
        return self.classes_[(self.inner_.predict_proba(x)[:, 1] > 0.7).astype(int)]


@pytest.mark.parametrize("own", [False, True])
def test_what_validates_and_searches_predicts_nothing(spans: CapturedSpans, own: bool) -> None:
    inferspan.instrument("sklearn")
    model = Threshold() if own else make_pipeline(StandardScaler(), LogisticRegression())
    cross_validate(model, X, Y, cv=2, scoring=["accuracy", "f1"])
    cross_val_predict(model, X, Y, cv=2)
    learning_curve(model, X, Y, cv=2, train_sizes=[0.5, 1.0])
    permutation_importance(model.fit(X, Y), X, Y, n_repeats=1)
    model.score(X, Y)
    assert list(spans) == []


def test_what_fits_with_the_answers_of_others_predicts_nothing(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    members = [("own", Threshold()), ("linear", LogisticRegression())]
    StackingClassifier(members, cv=2).fit(X, Y)
    CalibratedClassifierCV(LogisticRegression(), cv=2).fit(X, Y)
    BaggingClassifier(Threshold(), 2).fit(X, Y)
    RFECV(LogisticRegression(), cv=2, step=3).fit(X, Y)
    RandomForestClassifier(40, oob_score=True).fit(X, Y)
    scores = GridSearchCV(
        LogisticRegression(),
        {"C": [0.1, 1.0]},
        cv=2,
        scoring=lambda model, x, y: (model.predict(x) == y).mean(),  # a scorer of the user's
    )
    scores.fit(X, Y)
    assert list(spans) == []


def test_processes_of_a_search_predict_nothing(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    search = GridSearchCV(Threshold(), {}, cv=2, n_jobs=2).fit(X, Y)
    assert list(spans) == []
    search.predict(X[:3])
    assert attributes_of(spans)[semconv.MODEL_NAME] == "Threshold"


def test_a_class_that_comes_later_is_instrumented_and_given_back(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")

    class Mean(RegressorMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: Any, y: Any) -> Mean:
            self.mean_ = float(np.mean(y))
            return self

        def predict(self, x: Any) -> Any:
            return np.full(len(x), self.mean_)

    model = Mean().fit(X, Y)
    model.predict(X[:2])
    assert attributes_of(spans, "Mean")[semconv.OUTPUT_VALUES] == (model.mean_, model.mean_)
    assert clone(model).get_params() == {}
    inferspan.uninstrument("sklearn")
    assert vars(Mean)["predict"].__qualname__.endswith("Mean.predict")
    assert not hasattr(vars(Mean)["predict"], "__wrapped__")
    model.predict(X[:2])
    assert len(spans.predictions) == 1


def test_a_models_own_inner_model_is_a_stage(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    Threshold().fit(X, Y).predict(X[:4])
    prediction = spans.prediction("Threshold")
    (stage,) = spans.stages
    assert stage.name == "LogisticRegression Threshold"
    assert stage.parent == prediction.context


def test_methods_that_call_each_other_are_one_prediction(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    forest = RandomForestClassifier(5, random_state=0).fit(X, Y)
    forest.predict(X[:2])  # asks predict_proba, which asks the trees
    assert [span.name for span in spans] == ["predict RandomForestClassifier"]


def test_a_class_refitted_with_other_classes_answers_by_them(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn")
    model = LogisticRegression(max_iter=1000).fit(X, Y)
    model.predict_proba(X[:1])
    model.fit(*IRIS)
    model.predict_proba(IRIS[0][:1])
    first, second = [dict(span.attributes or {}) for span in spans.predictions]
    assert first[semconv.TASK_TYPE] == semconv.BINARY
    assert second[semconv.TASK_TYPE] == semconv.MULTICLASS
    assert second[semconv.OUTPUT_CLASSES] == '["0","1","2"]'


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (Y, "1"),
        (Y.astype(float), "1"),
        (Y.astype(bool), "true"),
        (2 * Y - 1, "1"),
        (np.where(Y, "yes", "no"), None),
        (Y + 1, None),
    ],
)
def test_the_positive_class_is_that_of_the_librarys_metrics(
    labels: Any, positive: str | None, spans: CapturedSpans
) -> None:
    inferspan.instrument("sklearn")
    model = LogisticRegression().fit(X, labels)
    model.predict(X[:2])
    attributes = attributes_of(spans)
    assert attributes.get(semconv.OUTPUT_POSITIVE_CLASS) == positive
    expected = tuple(map(semconv.class_text, model.predict(X[:2]).tolist()))
    assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == expected


def test_options_tell_models_and_rows_apart(spans: CapturedSpans) -> None:
    frame = pd.DataFrame(X[:, :2], columns=["age", "income"])
    inferspan.instrument(
        "sklearn",
        model=lambda model: f"{type(model).__name__.lower()}-churn",
        version=lambda model: model.n_features_in_,
        prediction_id=lambda x: x.index,
        slices={"old": lambda x: np.where(x["age"] > 0, "yes", "no")},
        features=["income"],
    )
    Ridge().fit(frame, Y).predict(frame[3:5])
    attributes = attributes_of(spans, "ridge-churn")
    assert attributes[semconv.MODEL_VERSION] == "2"
    assert attributes[semconv.PREDICTION_IDS] == ("3", "4")
    old = tuple(np.where(frame["age"][3:5] > 0, "yes", "no").tolist())
    assert attributes[semconv.SLICE_PREFIX + "old"] == old
    assert "income" in attributes[semconv.FEATURE_NAMES]


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("given", ["frame", "array"])
def test_all_that_is_declared_of_one_row_is_recorded(
    spans: CapturedSpans, given: str, method: str
) -> None:
    frame = pd.DataFrame(X[:, :2], columns=["amount", "hour"])
    model = LogisticRegression().fit(frame, Y)
    inferspan.instrument(
        "sklearn", features=["amount"], slices=["hour"], prediction_id=lambda x: ["order-7"]
    )
    with warnings.catch_warnings():  # that an array has no names
        warnings.simplefilter("ignore")
        getattr(model, method)(frame[7:8] if given == "frame" else X[7:8, :2])
    attributes = attributes_of(spans)
    assert semconv.CAPTURE_DROPPED not in attributes
    assert attributes[semconv.PREDICTION_ID] == "order-7"
    assert attributes[semconv.SLICE_PREFIX + "hour"] == repr(float(X[7, 1]))
    assert attributes[semconv.FEATURE_NAMES] == '["amount"]'
    assert np.frombuffer(attributes[semconv.FEATURE_DATA], "<f8").tolist() == [X[7, 0]]


def test_slim_records_of_one_row_hold_all_that_is_declared() -> None:
    frame = pd.DataFrame(X[:, :2], columns=["amount", "hour"], index=[f"o{i}" for i in range(569)])
    model = LogisticRegression().fit(frame, Y)
    inferspan.instrument("sklearn", features=["amount"], slices=["hour"], prediction_id="index")
    with capture_spans(sampler=ALWAYS_OFF) as spans:
        for row in (3, 5):
            model.predict_proba(frame[row : row + 1])
        (record,) = spans.records
    found = dict(record.attributes or {})
    hours = tuple(repr(float(X[row, 1])) for row in (3, 5))
    assert found[semconv.RECORD_IDS] == ("o3", "o5")
    assert found[semconv.RECORD_SLICE_PREFIX + "hour"] == hours
    assert found[semconv.RECORD_FEATURE_NAMES] == '["amount"]'
    amounts = np.frombuffer(found[semconv.RECORD_FEATURE_DATA], "<f8")
    assert amounts.tolist() == X[[3, 5], 0].tolist()


def test_what_a_name_function_raises_stays_away_from_the_caller(
    spans: CapturedSpans, contained_errors: list[BaseException]
) -> None:
    inferspan.instrument("sklearn", model=lambda model: 1 / 0)
    LinearRegression().fit(X, Y).predict(X[:1])
    assert attributes_of(spans)[semconv.MODEL_NAME] == "LinearRegression"
    assert [type(error) for error in contained_errors] == [ZeroDivisionError]
    contained_errors.clear()


def test_wrong_names_are_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"there is no such integration; there are .*sklearn"):
        inferspan.instrument("scikit-learn")
    with pytest.raises(TypeError, match="did you mean 'prediction_id'"):
        inferspan.instrument("sklearn", prediction_ids="id")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="no such integration"):
        inferspan.uninstrument("skleran")


PROGRAM = """
import json
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
import inferspan.testing
x, y = load_iris(return_X_y=True)
with inferspan.testing.capture_spans() as spans:
    LogisticRegression(max_iter=500).fit(x, y).predict(x[:2])
print([span.name for span in spans])
"""


@pytest.mark.parametrize("disabled", ["", "sklearn"])
def test_without_a_line_in_the_code(disabled: str, tmp_path: Path) -> None:

    exporters = dict.fromkeys(
        ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"
    )
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    done = subprocess.run(
        [command, sys.executable, "-c", PROGRAM],
        env={**os.environ, **exporters, "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled},
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == ("[]" if disabled else "['predict LogisticRegression']")


def test_wrong_options_in_the_environment_are_said_and_count_as_absent(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    for told in ("[1]", "{", '{"sklearn": {"verison": 7}}', '{"sklearn": {}, "skleran": {}}'):
        instrument_installed(told=told)
    assert [record.getMessage().partition(": ")[2][:60] for record in caplog.records] == [
        "INFERSPAN_INSTRUMENT is '[1]': must be a JSON object such as"[:60],
        "INFERSPAN_INSTRUMENT is '{': must be a JSON object such as {"[:60],
        "INFERSPAN_INSTRUMENT: instrument() has no option 'verison'; d"[:60],
        "INFERSPAN_INSTRUMENT names skleran: there is no such integrat"[:60],
    ]
    LinearRegression().fit(X, Y).predict(X[:1])
    assert spans.prediction("LinearRegression")


def test_the_index_of_a_frame_and_its_column_of_that_name(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", prediction_id="index")
    frame = pd.DataFrame({"index": [1.0, 2.0, 3.0], "b": [2.0, 3.0, 5.0]}, index=["x", "y", "z"])
    LinearRegression().fit(frame[["b"]], [1, 2, 3]).predict(frame[["b"]])
    LinearRegression().fit(frame, [1, 2, 3]).predict(frame)
    ids = [(span.attributes or {})[semconv.PREDICTION_IDS] for span in spans.predictions]
    assert ids == [("x", "y", "z"), ("1", "2", "3")]
