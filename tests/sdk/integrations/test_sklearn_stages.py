"""The parts of a composed estimator are stages of its prediction, each with what it made."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, make_multilabel_classification
from sklearn.ensemble import (
    BaggingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import inferspan
from inferspan import predictions, semconv
from inferspan.testing import CapturedSpans, capture_spans

X, Y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.iloc[:, :4]
LABELS = make_multilabel_classification(100, n_features=4, n_classes=3, random_state=0)
Tree = list[tuple[str, "Tree"]]
OUTPUTS = (
    semconv.OUTPUT_CLASS,
    semconv.OUTPUT_SCORE,
    semconv.OUTPUT_VALUE,
    semconv.OUTPUT_CLASSES_PREDICTED,
    semconv.OUTPUT_SCORES,
    semconv.OUTPUT_VALUES,
    semconv.OUTPUT_PROBABILITIES,
)


@pytest.fixture(autouse=True)
def _instrumented() -> None:
    inferspan.instrument("sklearn")


def linear() -> Any:
    return LogisticRegression(max_iter=3000)


def tree(spans: CapturedSpans) -> Tree:
    """What the one prediction consists of, by the names of stages."""

    def below(span: Any) -> Tree:
        children = [s for s in spans.stages if s.parent == span.context]
        children.sort(key=lambda stage: stage.start_time or 0)
        return [((c.attributes or {})[semconv.STAGE_NAME], below(c)) for c in children]  # type: ignore[misc]

    return below(spans.prediction())


def leaves(*names: str) -> Tree:
    return [(name, []) for name in names]


def scaled() -> Any:
    return Pipeline([("scale", StandardScaler()), ("classify", LogisticRegression())])


COLUMNS = ColumnTransformer(
    [("sizes", StandardScaler(), ["mean radius", "mean area"]), ("others", "passthrough", [1])]
)
COMPOSED: list[Any] = [
    (scaled(), leaves("scale", "classify")),
    (GridSearchCV(scaled(), {"classify__C": [0.1, 1.0]}, cv=2), leaves("scale", "classify")),
    (
        Pipeline([("columns", COLUMNS), ("classify", linear())]),
        [("columns", leaves("sizes", "others")), ("classify", [])],
    ),
    (
        Pipeline([("union", FeatureUnion([("a", StandardScaler())])), ("classify", linear())]),
        [("union", leaves("a")), ("classify", [])],
    ),
    (
        CalibratedClassifierCV(scaled(), cv=2),
        [(f"calibrated {fold}", leaves("scale", "classify")) for fold in (0, 1)],
    ),
    (VotingClassifier([("a", linear()), ("b", scaled())], voting="soft"), None),
    (StackingClassifier([("a", linear())], cv=2), leaves("a", "final_estimator")),
    (FixedThresholdClassifier(linear(), threshold=0.7), leaves("estimator")),
    (OneVsRestClassifier(linear()), leaves("output 0")),
    (TransformedTargetRegressor(Ridge()), leaves("regressor")),
    (BaggingClassifier(linear(), 3), []),  # members of an ensemble that are all alike
    (RandomForestClassifier(3), []),
    (linear(), []),
]


@pytest.mark.parametrize(("model", "expected"), COMPOSED, ids=lambda v: type(v).__name__)
def test_parts_are_stages_by_their_names(model: Any, expected: Tree | None) -> None:
    model.fit(X, Y)
    bare = np.asarray(model.predict(X[:5]))
    with capture_spans() as spans:
        answer = model.predict(X[:5])
    assert np.asarray(answer).tobytes() == bare.tobytes()
    if expected is None:
        expected = [("a", []), ("b", leaves("scale", "classify"))]
    assert tree(spans) == expected


def test_a_stage_says_how_the_state_looks(spans: CapturedSpans) -> None:
    model = scaled().fit(X, Y)
    made = model.named_steps["scale"].transform(X[:5])
    spans.clear()
    model.predict(X[:5])
    first, second = spans.stages
    assert dict(first.attributes or {}) == {
        semconv.STAGE_NAME: "scale",
        semconv.STATE_SHAPE: "5x4",
        semconv.STATE_DTYPE: "float64",
        semconv.STATE_MEAN: pytest.approx(made.mean()),
        semconv.STATE_STD: pytest.approx(made.std()),
        semconv.STATE_MIN: made.min(),
        semconv.STATE_MAX: made.max(),
    }
    assert (second.attributes or {})[semconv.STATE_SHAPE] == "5"
    assert (first.events, second.events) == ((), ())


def test_a_stage_of_one_number_says_it(spans: CapturedSpans) -> None:
    model = scaled().fit(X, Y)
    spans.clear()
    (answer,) = model.predict(X[:1])
    assert dict(spans.stages[1].attributes or {}) == {
        semconv.STAGE_NAME: "classify",
        semconv.STATE_SHAPE: "1",
        semconv.STATE_DTYPE: "int64",
        semconv.STATE_MEAN: answer,
    }


def test_a_state_that_is_redacted_is_not_described(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", redact=["scale"])
    model = scaled().fit(X, Y)
    spans.clear()
    model.predict(X[:5])
    first, second = spans.stages
    assert dict(first.attributes or {}) == {semconv.STAGE_NAME: "scale"}
    assert semconv.STATE_MEAN in (second.attributes or {})


def test_a_large_state_goes_along_where_values_may(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", capture="values")
    model = scaled().fit(X, Y)
    made = model.named_steps["scale"].transform(X[:20])
    spans.clear()
    model.predict(X[:20])
    found: dict[str, Any] = dict(spans.stages[0].attributes or {})
    assert found["inferspan.state." + semconv.TENSOR_NAME] == "scale"
    assert found["inferspan.state." + semconv.TENSOR_DATA] == made.tobytes()


def test_sparse_states_say_their_shape(spans: CapturedSpans) -> None:
    frame = pd.DataFrame({"kind": ["a", "b"] * 10})
    model = Pipeline([("encode", OneHotEncoder()), ("classify", LogisticRegression())])
    model.fit(frame, [0, 1] * 10).predict(frame[:4])
    assert (spans.stages[0].attributes or {})[semconv.STATE_SHAPE] == "4x2"


def test_without_capture_stages_say_nothing_of_the_state(spans: CapturedSpans) -> None:
    inferspan.instrument("sklearn", capture="none")
    scaled().fit(X, Y).predict(X[:5])
    assert [set(stage.attributes or {}) for stage in spans.stages] == [{semconv.STAGE_NAME}] * 2


def test_a_failing_step_fails_its_stage_and_the_prediction(spans: CapturedSpans) -> None:
    def refuse(x: Any) -> Any:
        if len(x) == 3:
            raise KeyError("three")
        return x

    model = Pipeline([("refuse", FunctionTransformer(refuse)), ("classify", linear())]).fit(X, Y)
    with pytest.raises(KeyError, match="three"):
        model.predict(X[:3])
    assert [(span.attributes or {})[semconv.ERROR_TYPE] for span in spans] == ["KeyError"] * 2


def test_a_wrapped_pipeline_has_stages_too(spans: CapturedSpans) -> None:
    model = inferspan.wrap(scaled(), model="churn", task="binary_classification").fit(X, Y)
    model.predict(X[:5])
    assert [span.name for span in spans] == ["scale churn", "classify churn", "predict churn"]


def test_a_transformer_by_itself_is_a_prediction_without_class(spans: CapturedSpans) -> None:
    StandardScaler().fit(X).transform(X[:5])
    span = spans.prediction("StandardScaler")
    assert span.name == "transform StandardScaler"
    assert semconv.CAPTURE_DROPPED not in (span.attributes or {})


def test_stages_of_one_prediction_are_limited(spans: CapturedSpans) -> None:
    class Asks(LogisticRegression):  # type: ignore[misc]
        def predict(self, x: Any) -> Any:
            return [scale.transform(x) for scale in self.scales][-1][:, 0] > 0

    model = Asks(max_iter=3000).fit(X, Y)
    model.scales = [StandardScaler().fit(X) for _ in range(predictions.STAGES_MAX + 3)]
    model.predict(X[:2])
    assert len(spans.stages) == predictions.STAGES_MAX
    (said,) = (spans.prediction().attributes or {})[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
    assert said.startswith("stages:more than 64")


@pytest.mark.parametrize(
    "model",
    [
        MultiOutputClassifier(LogisticRegression()),
        ClassifierChain(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
        RandomForestClassifier(5, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
def test_labels_of_several_outputs_are_sets(model: Any, spans: CapturedSpans) -> None:
    x, y = LABELS
    model.fit(x, y)
    for method in ("predict", "predict_proba"):
        getattr(model, method)(x[:6])
    expected = [np.flatnonzero(row).astype(str).tolist() for row in model.predict(x[:6])]
    for span in spans.predictions[:2]:
        attributes: dict[str, Any] = dict(span.attributes or {})
        assert attributes[semconv.TASK_TYPE] == semconv.MULTILABEL
        classes, at = (
            attributes[semconv.OUTPUT_CLASSES_PREDICTED],
            attributes[semconv.OUTPUT_OFFSETS],
        )
        rows = [list(classes[at[i] : at[i + 1]]) for i in range(6)]
        assert rows == expected


SEVERAL_NUMBERS = np.column_stack([LABELS[0][:, 0] * 2, LABELS[0][:, 1] - 1])
SEVERAL_CLASSES = np.column_stack([LABELS[1].sum(1), LABELS[1][:, 0] + 1])


@pytest.mark.parametrize(
    ("model", "y", "method"),
    [
        (MultiOutputRegressor(Ridge()), SEVERAL_NUMBERS, "predict"),
        (RandomForestRegressor(3), SEVERAL_NUMBERS, "predict"),
        (Ridge(), SEVERAL_NUMBERS, "predict"),
        (KNeighborsRegressor(), SEVERAL_NUMBERS, "predict"),
        (MultiOutputClassifier(linear()), SEVERAL_CLASSES, "predict"),
        (MultiOutputClassifier(linear()), SEVERAL_CLASSES.astype(float), "predict"),
        (MultiOutputClassifier(linear()), SEVERAL_CLASSES, "predict_proba"),
        (RandomForestClassifier(3), SEVERAL_CLASSES, "predict"),
        (KNeighborsClassifier(), SEVERAL_CLASSES, "predict_proba"),
    ],
    ids=lambda given: type(given).__name__ if hasattr(given, "fit") else str(given)[:13],
)
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_several_outputs_per_row_are_not_recorded_and_said(
    model: Any, y: Any, method: str, rows: int, spans: CapturedSpans
) -> None:
    x = LABELS[0]
    getattr(model.fit(x, y), method)(x[:rows])
    attributes = dict(spans.prediction().attributes or {})
    (said,) = attributes[semconv.CAPTURE_DROPPED]  # type: ignore[misc]
    assert "per row, and a prediction has one" in str(said)
    assert not [name for name in attributes if name in OUTPUTS]


def test_one_of_several_outputs_is_recorded_where_it_is_asked_for(spans: CapturedSpans) -> None:
    x = LABELS[0]
    model = MultiOutputRegressor(Ridge()).fit(x, SEVERAL_NUMBERS)
    price = inferspan.wrap(
        model, model="price", task="regression", output=lambda answer: answer[:, 0]
    )
    answer = price.predict(x[:4])
    assert answer.shape == (4, 2)
    attributes = dict(spans.prediction("price").attributes or {})
    assert attributes[semconv.OUTPUT_VALUES] == tuple(answer[:, 0])
    assert [stage.name for stage in spans.stages] == ["output 0 price", "output 1 price"]


@pytest.mark.parametrize("method", ["predict", "decision_function"])
def test_outliers_are_of_a_class(method: str, spans: CapturedSpans) -> None:
    model = IsolationForest(n_estimators=10, random_state=0).fit(X)
    getattr(model, method)(X[:40])
    attributes = dict(spans.prediction().attributes or {})
    expected = tuple(map(str, model.predict(X[:40])))
    assert {"-1", "1"} == set(expected)
    assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == expected


def test_a_threshold_is_the_models_own(spans: CapturedSpans) -> None:
    model = FixedThresholdClassifier(
        LogisticRegression(max_iter=3000), threshold=0.9, response_method="predict_proba"
    ).fit(X, Y)
    model.predict_proba(X[:200])
    attributes = dict(spans.prediction().attributes or {})
    assert attributes[semconv.OUTPUT_THRESHOLD] == 0.9
    expected = tuple(map(str, model.predict(X[:200])))
    assert attributes[semconv.OUTPUT_CLASSES_PREDICTED] == expected
