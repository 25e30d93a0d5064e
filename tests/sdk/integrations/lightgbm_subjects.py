"""Models of LightGBM, by both of its interfaces, fitted on data that ships with scikit-learn."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from .subjects import Subject

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)
WRONG = np.zeros((2, 2))
BOTH = ("predict", "predict_proba")


def _estimator(name: str, model: Any, data: Any, methods: tuple[str, ...]) -> Subject:
    x, y = data
    model.set_params(n_estimators=5, n_jobs=1, verbose=-1).fit(x, y)
    return Subject(name, model, methods, x[:7], WRONG, lambda copy: clone(copy).fit(x, y))


def _booster(name: str, objective: str, data: Any, **params: Any) -> Subject:
    x, y = data

    def train(_: object = None) -> Any:
        told = {"objective": objective, "num_threads": 1, "verbose": -1, **params}
        return lightgbm.train(told, lightgbm.Dataset(x, y), 5)

    return Subject(name, train(), ("predict",), x[:7], WRONG, train)


SUBJECTS = [
    _estimator("binary", lightgbm.LGBMClassifier(), CANCER, BOTH),
    _estimator("iris", lightgbm.LGBMClassifier(), IRIS, BOTH),
    _estimator("regression", lightgbm.LGBMRegressor(), DIABETES, ("predict",)),
    _booster("booster", "binary", CANCER),
    _booster("several", "multiclass", IRIS, num_class=3),
    _booster("squares", "regression", DIABETES),
]
