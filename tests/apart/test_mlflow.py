"""MLflow's pyfunc: one prediction, in which the flavour's own call is a stage."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import inferspan
from inferspan import semconv
from inferspan.testing import CapturedSpans

with warnings.catch_warnings(action="ignore"):  # of MLflow, at import, to its own users
    import mlflow.pyfunc
    import mlflow.sklearn
    import mlflow.xgboost

pytestmark = pytest.mark.filterwarnings("ignore")  # and as it saves and loads
FRAME, Y = load_breast_cancer(return_X_y=True, as_frame=True)
PIPELINE = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, Y)
TOLD = {"pip_requirements": [], "serialization_format": "cloudpickle"}


class Above(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A model of the user's own."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return (np.asarray(model_input)[:, 0] > 14).astype(int)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow writes `mlruns` to where it is; what is instrumented is put back."""
    monkeypatch.chdir(tmp_path)
    yield
    inferspan.uninstrument()


def loaded(path: Path, **options: Any) -> Any:
    mlflow.sklearn.save_model(PIPELINE, str(path), **{**TOLD, **options})
    return mlflow.pyfunc.load_model(str(path))


def attributes_of(spans: CapturedSpans) -> dict[str, Any]:
    return dict(spans.prediction().attributes or {})


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_model_is_known_by_the_one_within(
    method: str, spans: CapturedSpans, tmp_path: Path
) -> None:
    model = loaded(tmp_path / "model", pyfunc_predict_fn=method)
    inferspan.instrument("mlflow", prediction_id="index")
    answer = model.predict(FRAME)
    found = attributes_of(spans)
    assert found[semconv.MODEL_NAME] == "LogisticRegression"
    assert found[semconv.MODEL_VERSION] == model.metadata.model_uuid
    assert found[semconv.TASK_TYPE] == semconv.BINARY
    assert found[semconv.OUTPUT_POSITIVE_CLASS] == "1"
    assert found[semconv.PREDICTION_IDS] == tuple(map(str, FRAME.index))
    expected = tuple(map(str, PIPELINE.predict(FRAME)))
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == expected
    if method == "predict_proba":
        np.testing.assert_array_equal(found[semconv.OUTPUT_SCORES], np.asarray(answer)[:, 1])


def test_the_call_within_is_a_stage_with_its_own_stages(
    spans: CapturedSpans, tmp_path: Path
) -> None:
    model = loaded(tmp_path / "model")
    for library in ("sklearn", "mlflow"):
        inferspan.instrument(library)
    model.predict(FRAME[:3])
    prediction = spans.prediction()
    (within,) = [span for span in spans.stages if span.parent == prediction.context]
    steps = [span for span in spans.stages if span.parent == within.context]
    names = [(span.attributes or {})[semconv.STAGE_NAME] for span in (within, *steps)]
    assert names == ["LogisticRegression", "standardscaler", "logisticregression"]


def test_metadata_say_what_a_model_is(spans: CapturedSpans, tmp_path: Path) -> None:
    metadata = {
        "inferspan.model.name": "screening",
        "inferspan.model.version": "7",
        "inferspan.task.type": "binary_classification",
        "inferspan.output.classes": [0, 1],
        "inferspan.output.positive_class": 0,
    }
    path = str(tmp_path / "model")
    mlflow.pyfunc.save_model(path, python_model=Above(), metadata=metadata, pip_requirements=[])
    model = mlflow.pyfunc.load_model(path)
    inferspan.instrument("mlflow")
    answer = model.predict(FRAME)
    found = attributes_of(spans)
    assert (found[semconv.MODEL_NAME], found[semconv.MODEL_VERSION]) == ("screening", "7")
    assert found[semconv.OUTPUT_POSITIVE_CLASS] == "0"
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == tuple(map(str, answer))


def test_a_model_of_ones_own_is_called_by_its_class(spans: CapturedSpans, tmp_path: Path) -> None:
    path = str(tmp_path / "model")
    mlflow.pyfunc.save_model(path, python_model=Above(), pip_requirements=[])
    inferspan.instrument("mlflow", task="regression")
    mlflow.pyfunc.load_model(path).predict(pd.DataFrame(FRAME))
    found = attributes_of(spans)
    assert found[semconv.MODEL_NAME] == "Above"
    assert len(found[semconv.OUTPUT_VALUES]) == len(FRAME)


@pytest.mark.parametrize("booster", [False, True])
def test_answers_are_read_as_those_of_the_library_within(
    booster: bool, spans: CapturedSpans, tmp_path: Path
) -> None:
    fitted = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(FRAME, Y)
    path = str(tmp_path / "model")
    within = fitted.get_booster() if booster else fitted
    mlflow.xgboost.save_model(within, path, pip_requirements=[])
    model = mlflow.pyfunc.load_model(path)
    inferspan.instrument("mlflow")
    model.predict(FRAME)
    found = attributes_of(spans)
    assert found[semconv.MODEL_NAME] == type(within).__name__
    assert found[semconv.TASK_TYPE] == semconv.BINARY
    expected = tuple(map(str, fitted.predict(FRAME)))
    assert found[semconv.OUTPUT_CLASSES_PREDICTED] == expected
