"""Models of MLflow that were saved and loaded again, around those of scikit-learn and of users."""

from __future__ import annotations

import atexit
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .subjects import Subject

with warnings.catch_warnings(action="ignore"):  # of MLflow, at import, to its own users
    import mlflow.pyfunc
    import mlflow.sklearn

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
WRONG = np.zeros((2, 2))
_SAVED = tempfile.TemporaryDirectory()
atexit.register(_SAVED.cleanup)
mlflow.set_tracking_uri(Path(_SAVED.name).as_uri())  # else it writes `mlruns` to where it is


def saved(name: str, model: Any, **options: Any) -> str:
    """Where a model of scikit-learn was saved, with no requirements looked for."""
    path = str(Path(_SAVED.name) / name)
    told = {"pip_requirements": [], "serialization_format": "cloudpickle", **options}
    with warnings.catch_warnings(action="ignore"):
        mlflow.sklearn.save_model(model, path, **told)
    return path


def _subject(name: str, model: Any, data: Any, **options: Any) -> Subject:
    path = saved(name, model.fit(*data), **options)

    def load(_: object = None) -> Any:
        return mlflow.pyfunc.load_model(path)

    return Subject(name, load(), ("predict",), data[0][:7], WRONG, load)


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


SUBJECTS = [
    _subject("binary", _scaled(LogisticRegression()), CANCER),
    _subject("iris", _scaled(LogisticRegression()), IRIS, pyfunc_predict_fn="predict_proba"),
    _subject("regression", LinearRegression(), DIABETES),
]
