"""A wrapped model predicts under spans and stays the model it is."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

X = np.random.default_rng(0).normal(size=(40, 2))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
BINARY = "binary_classification"


def churn(**options: object) -> LogisticRegression:
    options = {"task": BINARY, "positive": 1} | options
    return inferspan.wrap(LogisticRegression(), model="churn", version="3", **options)


def test_every_predicting_method_is_a_prediction(spans: CapturedSpans) -> None:
    model = churn().fit(X, Y)
    inner = model.__wrapped__  # type: ignore[attr-defined]
    assert list(spans) == []
    np.testing.assert_array_equal(model.predict(X[:3]), inner.predict(X[:3]))
    np.testing.assert_array_equal(model.predict_proba(X[:3]), inner.predict_proba(X[:3]))
    np.testing.assert_array_equal(model.decision_function(X[:3]), inner.decision_function(X[:3]))
    labels, probabilities, decisions = [dict(s.attributes or {}) for s in spans]
    assert [s.name for s in spans] == ["predict churn", "predict_proba churn", "predict churn"]
    expected = tuple(str(y) for y in inner.predict(X[:3]))
    for attributes in (labels, probabilities, decisions):
        assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == expected
        assert attributes[semconv.PREDICTION_COUNT] == 3
        assert attributes[semconv.MODEL_VERSION] == "3"
        assert attributes[semconv.MODEL_FRAMEWORK] == "sklearn"
        assert attributes[semconv.INPUT_SHAPE] == "3x2"
        assert semconv.CAPTURE_DROPPED not in attributes
    matrix = inner.predict_proba(X[:3])
    assert probabilities[semconv.OUTPUT_SCORES] == tuple(matrix[:, 1])
    assert probabilities[semconv.OUTPUT_PROBABILITIES] == tuple(matrix.ravel())
    assert probabilities[semconv.OUTPUT_CLASSES] == '["0","1"]'
    assert semconv.OUTPUT_SCORES not in decisions


@pytest.mark.parametrize("labels", [Y.astype(float), np.where(Y, "yes", "no"), Y.astype(bool)])
def test_labels_of_any_type_are_classes(spans: CapturedSpans, labels: np.ndarray) -> None:
    model = churn(positive=None).fit(X, labels)
    model = inferspan.wrap(model, model="churn", task=BINARY)
    predicted = model.predict(X[:5])
    expected = tuple(semconv.class_text(label) for label in predicted)
    assert (spans[0].attributes or {})[semconv.OUTPUT_CLASSES_PREDICTED] == expected


def test_refitting_changes_the_classes(spans: CapturedSpans) -> None:
    model = churn(positive=None)
    model.fit(X, Y)
    model.predict_proba(X[:1])
    model.fit(X, Y + 5)
    model.predict_proba(X[:1])
    assert [(s.attributes or {})[semconv.OUTPUT_CLASSES] for s in spans] == [
        '["0","1"]',
        '["5","6"]',
    ]


def test_a_pipeline_with_ids_slices_and_features_from_columns(spans: CapturedSpans) -> None:
    frame = pd.DataFrame({"amount": X[:, 0], "age": X[:, 1]}, index=range(40))

    class Scorer:
        def __init__(self) -> None:
            self.pipeline = make_pipeline(StandardScaler(), LogisticRegression())
            self.pipeline.fit(frame[["amount", "age"]], Y)

        def predict(self, X: pd.DataFrame) -> np.ndarray:
            return self.pipeline.predict(X[["amount", "age"]])

    model = inferspan.wrap(
        Scorer(),
        model="churn",
        task=BINARY,
        prediction_id="order_id",
        slices=["country"],
        features=["amount"],
    )
    model.predict(frame[:2].assign(order_id=["a", "b"], country=["DE", "NL"]))
    attributes = spans[0].attributes or {}
    assert attributes[semconv.PREDICTION_IDS] == ("a", "b")
    assert attributes[semconv.SLICE_PREFIX + "country"] == ("DE", "NL")
    assert attributes[semconv.FEATURE_DATA] == X[:2, 0].astype("<f8").tobytes()


def test_a_scikit_learn_pipeline_finds_ids_and_slices_in_columns(
    spans: CapturedSpans, caplog: pytest.LogCaptureFixture
) -> None:
    cellar = ColumnTransformer([("numbers", StandardScaler(), ["amount"])], remainder="drop")
    frame = pd.DataFrame({"amount": X[:, 0]}).assign(bottle_id="", cellar="")
    pipeline = Pipeline([("columns", cellar), ("model", LogisticRegression())]).fit(frame, Y)
    model = inferspan.wrap(
        pipeline, model="wine", task=BINARY, prediction_id="bottle_id", slices=["cellar"]
    )
    model.predict(frame[:2].assign(bottle_id=["a", "b"], cellar=["old", "new"]))
    model.predict(frame[:2].drop(columns=["bottle_id", "cellar"]))
    found, lacking = [dict(span.attributes or {}) for span in spans]
    assert found[semconv.PREDICTION_IDS] == ("a", "b")
    assert found[semconv.SLICE_PREFIX + "cellar"] == ("old", "new")
    assert semconv.CAPTURE_DROPPED not in found
    assert semconv.PREDICTION_IDS not in lacking
    assert "'X' has no column 'bottle_id': no usable id" in caplog.text
    assert "'X' has no column 'cellar' ('X' has amount)" in caplog.text
    assert "amount" not in repr(lacking)


def test_regressors_clusters_and_transformers(spans: CapturedSpans) -> None:
    inferspan.wrap(LinearRegression().fit(X, Y), model="r", task="regression").predict(X[:2])
    inferspan.wrap(KMeans(2, n_init=1).fit(X), model="k", task="multiclass_classification").predict(
        X[:2]
    )
    inferspan.wrap(StandardScaler().fit(X), model="s").transform(X[:2])
    regression, clusters, scaled = [dict(s.attributes or {}) for s in spans]
    assert len(regression[semconv.OUTPUT_VALUES]) == 2
    assert len(clusters[semconv.OUTPUT_CLASSES_PREDICTED]) == 2
    assert scaled[semconv.OPERATION_NAME] == "transform"
    assert semconv.CAPTURE_DROPPED not in scaled


def test_decisions_among_more_than_two_classes_are_not_guessed(spans: CapturedSpans) -> None:
    three = np.digitize(X[:, 0], [-0.5, 0.5])
    model = inferspan.wrap(LogisticRegression().fit(X, three), model="m", task=BINARY)
    assert model.decision_function(X[:2]).shape == (2, 3)
    attributes = spans[0].attributes or {}
    assert semconv.OUTPUT_CLASSES_PREDICTED not in attributes
    assert "decision_function of other than two" in str(attributes[semconv.CAPTURE_DROPPED])


def test_it_stays_the_model_it_is(spans: CapturedSpans) -> None:
    model = churn()
    assert isinstance(model, LogisticRegression)
    assert isinstance(model, BaseEstimator)
    assert model.C == 1.0
    model.set_params(C=2.0)
    assert model.get_params()["C"] == 2.0
    assert repr(model) == "LogisticRegression(C=2.0)"
    assert not callable(model)
    assert not hasattr(model, "transform")
    with pytest.raises(AttributeError):
        model.transform(X)
    assert cross_val_score(model, X, Y, cv=2).mean() > 0.5


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 0)),
    ],
    ids=["copy", "deepcopy", "pickle", "pickle as text"],
)
def test_copies_are_traced_models_again(spans: CapturedSpans, duplicate) -> None:
    model = churn()
    model.fit(X, Y)
    np.testing.assert_array_equal(duplicate(model).predict(X[:2]), model.predict(X[:2]))
    assert [s.name for s in spans] == ["predict churn", "predict churn"]


def test_a_clone_is_a_traced_unfitted_model(spans: CapturedSpans) -> None:
    cloned = clone(churn().set_params(C=3.0))
    cloned = clone(inferspan.wrap(cloned, model="cloned", task=BINARY))
    assert cloned.C == 3.0
    cloned.fit(X, Y)
    cloned.predict(X[:1])
    assert [s.name for s in spans] == ["predict cloned"]


def test_a_bound_method_pickles_with_its_model(spans: CapturedSpans) -> None:
    model = churn()
    model.fit(X, Y)
    method = pickle.loads(pickle.dumps(model.predict))
    np.testing.assert_array_equal(method(X[:2]), model.predict(X[:2]))
    assert len(spans) == 2


def test_a_bound_method_is_copied_with_its_model(spans: CapturedSpans) -> None:
    model = churn()
    model.fit(X, Y)
    same, other = copy.copy(model.predict), copy.deepcopy(model.predict)
    model.fit(X, Y + 5)
    assert [set(method(X)) for method in (same, other)] == [{5, 6}, {0, 1}]
    assert len(spans) == 2


class Callable:
    """Calls its own methods through whatever `self_` it was given."""

    def __init__(self) -> None:
        self.me: object = self

    def predict(self, x: list[float]) -> str:
        return self.me.predict_proba(x)["label"]  # type: ignore[attr-defined, no-any-return]

    def predict_proba(self, x: list[float]) -> dict[str, object]:
        return {"label": "a", "score": 0.5}

    def __call__(self, x: list[float]) -> str:
        return self.me.predict(x)  # type: ignore[attr-defined, no-any-return]


def test_its_own_inner_calls_are_the_same_prediction(spans: CapturedSpans) -> None:
    model = inferspan.wrap(Callable(), model="m", task=BINARY)
    model.me = model
    assert model([1.0]) == "a"
    assert model.predict([1.0]) == "a"
    assert model.predict_proba([1.0])["label"] == "a"
    assert [s.name for s in spans] == ["predict m", "predict m", "predict_proba m"]


def test_another_models_call_inside_is_its_own_prediction(spans: CapturedSpans) -> None:
    inner = inferspan.wrap(Callable(), model="inner", task=BINARY)
    outer = Callable()
    outer.me = inner
    inferspan.wrap(outer, model="outer", task=BINARY)([1.0])
    assert [s.name for s in spans] == ["predict inner", "predict outer"]


class Network:
    def __init__(self) -> None:
        self.loss = lambda: self

    def eval(self) -> Network:
        return self

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    async def __aenter__(self) -> Network:
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    def predict(self, x: int) -> str:
        return "a"


def test_what_answers_the_model_answers_the_traced_one(spans: CapturedSpans) -> None:
    estimator = churn()
    assert estimator.set_params(C=2.0).fit(X, Y) is estimator
    network = inferspan.wrap(Network(), model="net", task=BINARY)
    assert network.eval() is network
    assert pickle.loads(pickle.dumps(estimator.fit))(X, Y).C == 2.0
    assert network.loss() is network.__wrapped__  # type: ignore[attr-defined]
    with network as entered:
        assert entered is network
        entered.predict(1)
    assert [s.name for s in spans] == ["predict net"]

    async def enter() -> None:
        async with network as entered:
            assert entered is network

    asyncio.run(enter())


def test_a_search_gives_a_traced_model(spans: CapturedSpans) -> None:
    search = GridSearchCV(churn(), {"C": [1.0]}, cv=2).fit(X, Y)
    before = len(spans)
    search.predict(X[:2])
    assert [s.name for s in spans][before:] == ["predict churn"]


def test_wrapping_a_traced_model_declares_it_anew(spans: CapturedSpans) -> None:
    again = inferspan.wrap(churn().fit(X, Y), model="again", task=BINARY)
    again.predict(X[:1])
    assert [s.name for s in spans] == ["predict again"]


class Own:
    """As much as `clone` needs, without scikit-learn's base class."""

    def __init__(self, bias: int = 0) -> None:
        self.bias = bias

    def get_params(self, deep: bool = True) -> dict[str, int]:
        return {"bias": self.bias}

    def predict(self, x: int) -> float:
        return float(x + self.bias)


def test_an_own_object_is_cloned_as_without_us(spans: CapturedSpans) -> None:
    cloned = clone(inferspan.wrap(Own(3), model="own", task="regression"))
    assert cloned.predict(1) == 4.0
    assert [s.name for s in spans] == ["predict own"]


class Indexed:
    classes_ = pd.Index(["no", "yes"])

    def predict_proba(self, x: int) -> np.ndarray:
        return np.array([[0.25, 0.75]])


class Unfitted:
    @property
    def classes_(self) -> list[str]:
        raise RuntimeError("not fitted")

    def predict(self, x: int) -> str:
        return "yes"


def test_classes_of_any_kind_and_classes_that_raise(spans: CapturedSpans) -> None:
    inferspan.wrap(Indexed(), model="indexed", task=BINARY).predict_proba(1)
    inferspan.wrap(Unfitted(), model="unfitted", task=BINARY).predict(1)
    indexed, unfitted = [dict(s.attributes or {}) for s in spans]
    assert indexed[semconv.OUTPUT_CLASS] == unfitted[semconv.OUTPUT_CLASS] == "yes"
    assert semconv.CAPTURE_DROPPED not in indexed
    assert unfitted[semconv.CAPTURE_DROPPED] == (
        "classes:classes_ raised RuntimeError; declare classes=[…]",
    )


def test_a_task_that_outlives_its_call_predicts_anew(spans: CapturedSpans) -> None:
    model: Any = None
    released = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def later() -> None:
        await released.wait()
        assert inferspan.current_prediction() is None
        await model.predict(2)

    class Starting:
        async def predict(self, x: int) -> str:
            if x == 1:
                tasks.append(asyncio.create_task(later()))
            return "a"

    async def serve() -> None:
        await model.predict(1)
        released.set()
        await tasks[0]

    model = inferspan.wrap(Starting(), model="m", task=BINARY)
    asyncio.run(serve())
    assert [s.name for s in spans] == ["predict m", "predict m"]


def test_classes_and_functions_are_not_wrapped() -> None:
    with pytest.raises(TypeError, match=r"the class LogisticRegression: .*LogisticRegression\(…\)"):
        inferspan.wrap(LogisticRegression)
    with pytest.raises(TypeError, match=r"for a function use @inferspan\.predict"):
        inferspan.wrap(lambda x: x)


def test_what_cannot_be_wrapped_is_said() -> None:
    with pytest.raises(TypeError, match="int: must have one of predict, predict_proba"):
        inferspan.wrap(3, model="m")
    with pytest.raises(ValueError, match="must be one of binary_classification"):
        inferspan.wrap(LogisticRegression(), task="binary")
    with pytest.raises(ValueError, match=r"'no\.such'.*has no such argument"):
        inferspan.wrap(Callable(), prediction_id="no.such")
